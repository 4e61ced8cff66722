//! A plan as people read it: users side by side, then what it rests on.

use std::io::{self, Write};

use super::Plan;
use super::needs::Needs;
use crate::figures::{bytes, count, rounded};

/// A row's name, and how its value is told.
type Row = (&'static str, fn(&Needs) -> String);

const ROWS: [(&str, &[Row]); 5] = [
    (
        "at the height of a day",
        &[
            ("stores", |needs| number(needs.stores)),
            ("beacons", |needs| number(needs.beacons)),
            ("gateways", |needs| number(needs.gateways)),
            ("sightings/s", |needs| number(needs.sightings_per_s)),
            ("identities/s", |needs| number(needs.identities_per_s)),
            ("identities a day", |needs| number(needs.identities_per_day)),
            ("network, from gateways", |needs| bits(needs.network_bits_per_s)),
        ],
    ),
    (
        "beacond",
        &[
            ("cores kept busy", |needs| format!("{:.1}", needs.daemon.cores)),
            ("machines", |needs| number(needs.daemon.machines)),
            ("memory, all together", |needs| size(needs.daemon.memory_bytes)),
            ("disk for the journal", |needs| size(needs.daemon.journal_bytes)),
        ],
    ),
    (
        "PostgreSQL",
        &[
            ("rows/s", |needs| number(needs.postgres.rows_per_s)),
            ("servers of 2 cores, by rate", |needs| number(needs.postgres.servers)),
            ("grows a day by", |needs| size(needs.postgres.bytes_per_day)),
            ("after 5 years", |needs| size(needs.postgres.bytes_full)),
        ],
    ),
    (
        "Redis",
        &[
            ("memory", |needs| size(needs.redis.memory_bytes)),
            ("writes/s", |needs| number(needs.redis.writes_per_s)),
            ("nodes, by rate", |needs| number(needs.redis.nodes)),
        ],
    ),
    (
        "DynamoDB",
        &[
            ("write units/s, index included", |needs| number(needs.dynamodb.writes_per_s)),
            ("a month, on demand", |needs| dollars(needs.dynamodb.on_demand_usd_per_month)),
            ("a month, provisioned", |needs| dollars(needs.dynamodb.provisioned_usd_per_month)),
            ("after a year", |needs| size(needs.dynamodb.bytes_full)),
            ("a month for that", |needs| dollars(needs.dynamodb.storage_usd_per_month)),
        ],
    ),
];

pub(super) fn write(out: &mut impl Write, plan: &Plan) -> io::Result<()> {
    writeln!(out, "What {} needs\n", plan.scenario)?;
    line(out, "users", plan, |needs| count(needs.users))?;
    for (title, rows) in ROWS {
        writeln!(out, "\n{title}")?;
        for (name, value) in rows {
            line(out, &format!("  {name}"), plan, value)?;
        }
    }
    writeln!(out, "\nWhat that rests on")?;
    for assumption in &plan.assumptions {
        let value = plain(assumption.value);
        writeln!(out, "  {}: {value} {}", assumption.name, assumption.unit)?;
        writeln!(out, "      {}", assumption.source)?;
    }
    writeln!(
        out,
        "\nOne daemon writes one journal: more than one machine is several daemons, each with its own gateways. Rates\n\
         beyond those measured, by more servers or more cores, are arithmetic and not measurement."
    )
}

fn line(out: &mut impl Write, name: &str, plan: &Plan, value: impl Fn(&Needs) -> String) -> io::Result<()> {
    write!(out, "{name:<34}")?;
    for needs in &plan.plans {
        write!(out, "{:>20}", value(needs))?;
    }
    writeln!(out)
}

/// Three digits that count, since no more are known.
fn number(value: f64) -> String {
    if value < 1_000.0 {
        return count(rounded(value.ceil()));
    }
    let step = 10_f64.powf(value.log10().floor() - 2.0);
    count(rounded((value / step).round() * step))
}

fn size(value: f64) -> String {
    if value >= 999.5e12 { format!("{:.2} PB", value / 1e15) } else { bytes(rounded(value)) }
}

fn bits(value: f64) -> String {
    if value >= 999.5e6 { format!("{:.2} Gbit/s", value / 1e9) } else { format!("{:.1} Mbit/s", value / 1e6) }
}

fn dollars(value: f64) -> String {
    format!("USD {}", number(value))
}

/// As it was written, without digits that say nothing.
fn plain(value: f64) -> String {
    if value >= 1_000.0 {
        return count(rounded(value));
    }
    let text = format!("{value:.5}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_that_count() {
        assert_eq!(number(16_666.7), "16,700");
        assert_eq!(number(0.2), "1");
        assert_eq!(size(131.4e15), "131.40 PB");
        assert_eq!(bits(19_800_000.0), "19.8 Mbit/s");
        assert_eq!(dollars(54_720.0), "USD 54,700");
        assert_eq!(
            (plain(0.000_65).as_str(), plain(6.0).as_str(), plain(900.5).as_str()),
            ("0.00065", "6", "900.5")
        );
    }
}
