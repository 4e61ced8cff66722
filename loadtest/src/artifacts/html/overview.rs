//! The top of the page: the verdict, the figures that matter most, and the objectives.

use std::fmt::{self, Write};

use super::{Text, mark, time};
use crate::artifacts::words;
use crate::figures::{count, rate};
use crate::measurement::{Judged, Latency, Measurement, metric};
use crate::slo::{Objective, measured_text};

pub(super) fn write(page: &mut String, measurement: &Measurement) -> fmt::Result {
    let Measurement { verdict, stamp, .. } = measurement;
    let (class, sign) = mark(verdict.kind);
    writeln!(page, "<header>")?;
    writeln!(page, r#"<p class="kicker">beacond load test</p>"#)?;
    writeln!(page, "<h1>{}</h1>", Text(&stamp.scenario_name))?;
    writeln!(page, r#"<p class="what">{}</p>"#, Text(&words::run_line(measurement)))?;
    writeln!(page, "</header>")?;
    writeln!(page, r#"<section class="verdict {class}" id="verdict">"#)?;
    let word = words::verdict(verdict.kind);
    writeln!(page, r#"<p class="word"><span class="sign">{sign}</span>{word}</p>"#)?;
    let held = verdict.objectives.iter().filter(|judged| judged.holds).count();
    match verdict.objectives.len() {
        0 => writeln!(page, "<div><p>No objective was judged.</p>")?,
        all => writeln!(page, "<div><p>{held} of {all} objectives hold.</p>")?,
    }
    let missed = verdict.objectives.iter().filter(|judged| !judged.holds);
    let missed: Vec<String> =
        missed.map(|judged| format!("{} ({})", judged.objective, measured_text(judged))).collect();
    if !missed.is_empty() {
        writeln!(page, "<p><b>Missed:</b> {}</p>", Text(&missed.join(", ")))?;
    }
    for reason in &verdict.invalid_because {
        writeln!(page, "<p><b>The run proves nothing:</b> {}</p>", Text(reason))?;
    }
    writeln!(page, "</div></section>")?;
    caveats(page, measurement)?;
    headline(page, measurement)?;
    objectives(page, &verdict.objectives)
}

fn caveats(page: &mut String, measurement: &Measurement) -> fmt::Result {
    let stamp = &measurement.stamp;
    let stubs = stamp.stores.iter().filter(|(_, store)| words::is_stub(store));
    for (part, store) in stubs {
        let (part, store) = (words::store_part(part), Text(store));
        writeln!(
            page,
            r#"<p class="stub" id="stub"><b>{store}</b> stood in for the {part}: nothing here is said of a real one.</p>"#
        )?;
    }
    if measurement.verdict.caveats.is_empty() {
        return Ok(());
    }
    writeln!(page, r#"<section class="caveats"><h2>To know beside</h2><ul>"#)?;
    for caveat in &measurement.verdict.caveats {
        writeln!(page, "<li>{}</li>", Text(caveat))?;
    }
    writeln!(page, "</ul></section>")
}

fn headline(page: &mut String, measurement: &Measurement) -> fmt::Result {
    let Measurement { counts, window, .. } = measurement;
    let latency = |name| measurement.latencies.get(name).filter(|latency: &&Latency| latency.count > 0);
    let p99 = |name| latency(name).map_or_else(|| "not measured".to_owned(), |latency| time(latency.p99));
    let beside =
        |name| latency(name).map_or_else(String::new, |latency| format!("longest {}", time(latency.max)));
    let acked = if window.measured_s > 0.0 {
        rate(counts.acked_measured, window.measured_s)
    } else {
        "not measured".to_owned()
    };
    let uncorrected = latency(metric::ACK_UNCORRECTED)
        .map_or_else(|| beside(metric::ACK), |latency| format!("uncorrected {}", time(latency.p99)));
    let of_sent = format!("of {} sent", count(counts.sent));
    let cards = [
        ("acknowledged", acked, "sightings".to_owned(), false),
        ("ack p99", p99(metric::ACK), uncorrected, false),
        ("stored p99", p99(metric::STORED), beside(metric::STORED), false),
        ("read p99", p99(metric::READ), beside(metric::READ), false),
        ("lost", count(counts.lost), of_sent.clone(), counts.lost > 0),
        ("answered wrongly", count(counts.wrong), of_sent, counts.wrong > 0),
    ];
    writeln!(page, r#"<section class="cards" id="headline">"#)?;
    for (name, value, beside, is_bad) in cards {
        let class = match value.as_str() {
            "not measured" => " absent",
            _ if is_bad => " bad",
            _ => "",
        };
        writeln!(
            page,
            r#"<div class="card{class}"><p class="name">{name}</p><p class="value">{}</p><p class="beside">{}</p></div>"#,
            Text(&value),
            Text(&beside)
        )?;
    }
    writeln!(page, "</section>")
}

fn objectives(page: &mut String, objectives: &[Judged]) -> fmt::Result {
    if objectives.is_empty() {
        return Ok(());
    }
    writeln!(page, r#"<section id="objectives"><h2>Objectives</h2><table>"#)?;
    writeln!(
        page,
        "<thead><tr><th></th><th>objective</th><th class=n>measured</th><th>of the limit</th></tr></thead><tbody>"
    )?;
    for judged in objectives {
        let (class, sign, word) =
            if judged.holds { ("pass", "✓", "holds") } else { ("fail", "✗", "missed") };
        writeln!(
            page,
            r#"<tr class="{class}"><td class="held"><span class="sign">{sign}</span> {word}</td><td><code>{}</code></td><td class=n>{}</td><td class="bar">{}</td></tr>"#,
            Text(&judged.objective),
            Text(&measured_text(judged).replace(" us", " µs")),
            bar(judged)
        )?;
    }
    writeln!(page, "</tbody></table></section>")
}

/// How much of the limit is used, where less is better and the limit is not nothing.
fn bar(judged: &Judged) -> String {
    let objective = judged.objective.parse::<Objective>().ok();
    let Some((objective, measured)) =
        objective.filter(|objective| objective.is_ceiling()).zip(judged.measured)
    else {
        return String::new();
    };
    if objective.limit() <= 0.0 {
        return String::new();
    }
    let part = measured / objective.limit() * 100.0;
    let (width, digits) = (part.clamp(0.5, 100.0), if part < 9.95 { 1 } else { 0 });
    format!(
        r#"<svg class="used" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="all" width="100" height="8"/><rect class="part" width="{width:.1}" height="8"/></svg><span>{part:.digits$}%</span>"#
    )
}
