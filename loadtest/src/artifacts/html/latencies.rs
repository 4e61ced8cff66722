//! The tables of latencies: those measured from outside, and the daemon's own stages.

use std::fmt::{self, Write};

use super::{Text, time};
use crate::artifacts::words::{self, LATENCIES};
use crate::figures::{count, rounded};
use crate::measurement::{Latency, Measurement, metric};

/// Uncorrected times that are so many times shorter hide a stall.
const HIDDEN: f64 = 2.0;

const HEAD: &str = "<th class=n>p50</th><th class=n>p90</th><th class=n>p99</th><th class=n>p99.9</th>\
    <th class=n>p99.99</th><th class=n>max</th><th class=n>mean</th><th class=n>count</th></tr></thead><tbody>";

pub(super) fn write(page: &mut String, measurement: &Measurement) -> fmt::Result {
    writeln!(page, r#"<section id="latencies"><h2>Latencies</h2>"#)?;
    writeln!(page, r#"<div class="scroll"><table class="figures"><thead><tr><th></th>{HEAD}"#)?;
    for (name, meaning) in LATENCIES {
        let latency = measurement.latencies.get(name).filter(|latency| latency.count > 0);
        let main = matches!(name, metric::ACK | metric::STORED | metric::READ);
        let class = if main { " class=main" } else { "" };
        let row = latency.map_or_else(|| "<td class=absent colspan=8>not measured</td>".to_owned(), cells);
        writeln!(
            page,
            r#"<tr{class}><th>{}<span class="meaning">{meaning}</span></th>{row}</tr>"#,
            words::latency(name)
        )?;
    }
    writeln!(page, "</tbody></table></div>")?;
    if let Some(words) = hidden(measurement) {
        writeln!(page, r#"<p class="note" id="hidden">{words}</p>"#)?;
    }
    writeln!(page, "</section>")
}

/// The daemon's stages, where it was asked.
pub(super) fn stages(page: &mut String, measurement: &Measurement) -> fmt::Result {
    let stages: Vec<(&str, &Latency)> = measurement
        .latencies
        .iter()
        .filter_map(|(name, latency)| Some((name.strip_prefix(metric::DAEMON)?, latency)))
        .filter(|(_, latency)| latency.count > 0)
        .collect();
    writeln!(page, r#"<section id="stages"><h2>The daemon of itself</h2>"#)?;
    if stages.is_empty() {
        return writeln!(page, r#"<p class="absent">Not measured: its page was not asked.</p></section>"#);
    }
    writeln!(page, r#"<div class="scroll"><table class="figures"><thead><tr><th>stage</th>{HEAD}"#)?;
    for (name, latency) in stages {
        writeln!(page, "<tr><th><code>{}</code></th>{}</tr>", Text(name), cells(latency))?;
    }
    writeln!(page, "</tbody></table></div></section>")
}

fn cells(latency: &Latency) -> String {
    let Latency { p50, p90, p99, p999, p9999, max, mean, count: number, .. } = *latency;
    let mut cells = String::new();
    for us in [p50, p90, p99, p999, p9999, max, rounded(mean)] {
        let _ = write!(cells, "<td class=n>{}</td>", time(us));
    }
    cells + &format!("<td class=n>{}</td>", count(number))
}

/// What the uncorrected times would have made believe, where it matters.
fn hidden(measurement: &Measurement) -> Option<String> {
    let (ack, uncorrected) =
        (measurement.latencies.get(metric::ACK)?, measurement.latencies.get(metric::ACK_UNCORRECTED)?);
    let at = [
        ("p99", ack.p99, uncorrected.p99),
        ("p99.9", ack.p999, uncorrected.p999),
        ("p99.99", ack.p9999, uncorrected.p9999),
    ];
    let times = |corrected: u64, uncorrected: u64| corrected as f64 / uncorrected.max(1) as f64;
    let (name, corrected, uncorrected) =
        at.into_iter().max_by(|a, b| times(a.1, a.2).total_cmp(&times(b.1, b.2)))?;
    let times = times(corrected, uncorrected);
    (times >= HIDDEN).then(|| {
        format!(
            "Counted from when frames were really sent, {name} would be {}: {times:.0} times less than the {} that \
             customers had. Something stood still, and what should have been sent meanwhile waited unsent.",
            time(uncorrected),
            time(corrected)
        )
    })
}
