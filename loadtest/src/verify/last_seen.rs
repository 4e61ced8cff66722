//! The time a customer was last seen, held against the latest of the customer's identities.

use super::findings::{Finding, Tally};
use super::held::Row;
use super::names::Names;
use super::time;

/// The customers of a run, each of whom the system of record must know.
#[derive(Debug)]
pub(super) struct LastSeen<'a> {
    names: &'a Names,
    rows: &'a [Row],
    /// After it, others have seen them since.
    ends_us: i64,
    begins_us: i64,
    /// Of each customer's last row, whether the customer came.
    came: Vec<bool>,
    tally: Tally,
}

impl<'a> LastSeen<'a> {
    /// Of the customers who have these rows, sorted; the run was from `begins_us` to `ends_us`.
    pub(super) fn new(names: &'a Names, rows: &'a [Row], begins_us: i64, ends_us: i64) -> Self {
        Self { names, rows, ends_us, begins_us, came: vec![false; rows.len()], tally: Tally::default() }
    }

    /// Looks at a row of `customers`.
    pub(super) fn customer(&mut self, id: &str, last_seen_us: Option<i64>) {
        let Some(customer) = self.names.naming.customer(id.as_bytes()) else { return };
        let last = self.rows.partition_point(|row| row.customer <= customer).checked_sub(1);
        let latest = last.and_then(|last| self.rows.get(last)).filter(|row| row.customer == customer);
        let names = self.names;
        let told = || last_seen_us.map_or_else(|| "no time".to_owned(), time::text);
        match (latest, last_seen_us) {
            (Some(latest), last_seen_us) => {
                if let Some(came) = last.and_then(|last| self.came.get_mut(last)) {
                    *came = true;
                }
                self.tally.examined += 1;
                let is_right = last_seen_us.is_some_and(|seen| seen == latest.at_us || seen > self.ends_us);
                if !is_right {
                    let customer = || names.customer(customer);
                    let latest = || time::text(latest.at_us);
                    self.tally
                        .breach(|| format!("{}: {}, and identified at {}", customer(), told(), latest()));
                }
            }
            (None, Some(seen)) if (self.begins_us..=self.ends_us).contains(&seen) => {
                self.tally.examined += 1;
                self.tally
                    .breach(|| format!("{}: {}, and never identified", names.customer(customer), told()));
            }
            (None, _) => {}
        }
    }

    pub(super) fn finding(mut self, store: &str) -> Finding {
        let mut end = 0;
        for of_customer in self.rows.chunk_by(|row, next| row.customer == next.customer) {
            end += of_customer.len();
            if let ([row, ..], Some(false)) = (of_customer, self.came.get(end - 1)) {
                self.tally.examined += 1;
                self.tally.breach(|| format!("{}: is not in customers", self.names.customer(row.customer)));
            }
        }
        Finding::new("iv", Some(store), "every customer's last_seen is the latest identity", self.tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::Naming;
    use crate::scenario::Scenario;
    use crate::verify::held::Row;

    fn broken(customers: &[(u32, i64)]) -> (u64, Vec<String>) {
        let names = Names::new(&Scenario::default(), false);
        let rows = [Row::at(1, 100), Row::at(1, 200), Row::at(3, 150)];
        let mut last_seen = LastSeen::new(&names, &rows, 50, 250);
        for (customer, at_us) in customers {
            let id = String::from_utf8(Naming::customer_id(*customer).into()).unwrap();
            last_seen.customer(&id, Some(*at_us));
        }
        last_seen.customer("a real one", Some(120));
        let finding = last_seen.finding("SQLite");
        (finding.broken, finding.examples)
    }

    #[test]
    fn last_seen_is_the_latest_identity_or_after_the_run() {
        assert_eq!(broken(&[(1, 200), (3, 150)]), (0, vec![]));
        assert_eq!(broken(&[(3, 251), (1, 200)]).0, 0);
        // Of an earlier run.
        assert_eq!(broken(&[(1, 200), (2, 49), (3, 150)]).0, 0);
        for wrong in [
            [(1, 100), (3, 150)].as_slice(),
            &[(1, 201), (3, 150)],
            &[(1, 200)],
            &[(1, 200), (2, 120), (3, 150)],
        ] {
            assert_eq!(broken(wrong).0, 1, "{wrong:?}");
        }
        assert_eq!(broken(&[(1, 200)]).1, ["customer 3: is not in customers"]);
    }
}
