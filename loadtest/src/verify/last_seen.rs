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
        for (pair, came) in
            self.rows.iter().zip(self.rows.iter().skip(1).map(Some).chain([None])).zip(&self.came)
        {
            let (row, next) = pair;
            if !came && next.is_none_or(|next| next.customer != row.customer) {
                self.tally.examined += 1;
                self.tally.breach(|| format!("{}: is not there", self.names.customer(row.customer)));
            }
        }
        Finding::new("iv", Some(store), "every customer's last_seen is the latest identity", self.tally)
    }
}
