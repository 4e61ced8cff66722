//! The summary in Markdown, short enough for a pull request.

use std::fmt::Write as _;

use super::words::{self, LATENCIES};
use crate::figures::{bytes, count, microseconds, rate};
use crate::measurement::{Latency, Measurement};
use crate::slo::measured_text;

/// The whole file.
pub(super) fn page(measurement: &Measurement) -> String {
    let mut page = String::new();
    // Text grows without failing.
    let _ = write(&mut page, measurement);
    page
}

fn write(page: &mut String, measurement: &Measurement) -> std::fmt::Result {
    let Measurement { verdict, stamp, window, counts, .. } = measurement;
    writeln!(page, "# {}: {}\n", cell(&stamp.scenario_name), words::verdict(verdict.kind))?;
    writeln!(page, "{}\n", cell(&words::run_line(measurement)))?;
    for reason in &verdict.invalid_because {
        writeln!(page, "- **Invalid:** {}", cell(reason))?;
    }
    for (part, store) in stamp.stores.iter().filter(|(_, store)| words::is_stub(store)) {
        let (part, store) = (words::store_part(part), cell(store));
        writeln!(page, "- **{store}** stood in for the {part}: nothing here is said of a real one.")?;
    }
    for caveat in &verdict.caveats {
        writeln!(page, "- Caveat: {}", cell(caveat))?;
    }
    if !verdict.objectives.is_empty() {
        writeln!(page, "\n| objective | measured | holds |\n|---|---:|---|")?;
    }
    for judged in &verdict.objectives {
        let holds = if judged.holds { "yes" } else { "**no**" };
        writeln!(page, "| {} | {} | {holds} |", cell(&judged.objective), measured_text(judged))?;
    }
    writeln!(page, "\n| | p50 | p90 | p99 | p99.9 | p99.99 | max | count |")?;
    writeln!(page, "|---|---:|---:|---:|---:|---:|---:|---:|")?;
    for (name, _) in LATENCIES {
        let Some(latency) = measurement.latencies.get(name).filter(|latency| latency.count > 0) else {
            continue;
        };
        let Latency { p50, p90, p99, p999, p9999, max, .. } = *latency;
        let values = [p50, p90, p99, p999, p9999, max].map(microseconds).join(" | ");
        writeln!(page, "| {} | {values} | {} |", words::latency(name), count(latency.count))?;
    }
    writeln!(
        page,
        "\n{} sightings sent = {} acked + {} lost + {} undecided; {} in the measured {:.0} s; {} wrong.",
        count(counts.sent),
        count(counts.acked),
        count(counts.lost),
        count(counts.undecided_left),
        rate(counts.acked_measured, window.measured_s),
        window.measured_s,
        count(counts.wrong),
    )?;
    let stores: Vec<String> =
        stamp.stores.iter().map(|(part, store)| format!("{}: {store}", words::store_part(part))).collect();
    let host = &stamp.host;
    writeln!(
        page,
        "\n{}. {}, {} cores, {}, kernel {}; loadtest {} of revision {}.",
        cell(&stores.join("; ")),
        cell(&host.processor),
        host.cores,
        bytes(host.memory_bytes),
        cell(&host.kernel),
        cell(&stamp.version),
        cell(&stamp.revision),
    )
}

/// Text that stays in its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::sample;

    #[test]
    fn the_summary_says_what_held() {
        let page = page(&sample::stalled());
        assert!(page.starts_with("# ten-million-lunch: FAIL\n"), "{page}");
        assert!(page.contains("| ack.p99&lt;1s | ") && page.contains("| yes |"), "{page}");
        assert!(page.contains("| ack.p99.9&lt;1s | ") && page.contains("| **no** |"), "{page}");
        assert!(page.contains("- **dynamodb-stub** stood in for the store of events: "), "{page}");
        assert!(page.contains("; store of events: dynamodb-stub; "), "{page}");
    }

    #[test]
    fn a_text_with_a_bar_keeps_its_cell() {
        let mut measurement = sample::empty();
        measurement.stamp.scenario_name = "a|b\n<c".to_owned();
        assert!(page(&measurement).starts_with("# a\\|b &lt;c: INVALID\n"));
    }
}
