//! The bottom of the page: what the counts were, what the daemon says, and what was run where.

use std::fmt::{self, Write};

use beacon_protocol::OutcomeCode;

use super::{Text, latencies, time};
use crate::artifacts::words;
use crate::figures::{bytes, count, percent};
use crate::measurement::{Counts, Measurement, Sampled};

pub(super) fn write(page: &mut String, measurement: &Measurement) -> fmt::Result {
    counts(page, &measurement.counts)?;
    latencies::stages(page, measurement)?;
    stamp(page, measurement)
}

fn counts(page: &mut String, counts: &Counts) -> fmt::Result {
    let Counts { sent, acked, lost, undecided_left, wrong, .. } = counts;
    writeln!(page, r#"<section id="counts"><h2>Every sighting counted</h2>"#)?;
    writeln!(page, r#"<p class="equation">"#)?;
    let terms = [
        ("sent", *sent, "="),
        ("acknowledged", *acked, "+"),
        ("lost", *lost, "+"),
        ("undecided", *undecided_left, ""),
    ];
    for (name, value, sign) in terms {
        write!(page, "<span><b>{}</b>{name}</span>", count(value))?;
        if !sign.is_empty() {
            write!(page, "<i>{sign}</i>")?;
        }
    }
    writeln!(page, "</p>")?;
    if *sent != acked + lost + undecided_left {
        writeln!(page, r#"<p class="stub">These do not add up: a fault of the load tester.</p>"#)?;
    }
    writeln!(page, r#"<div class="columns">"#)?;
    outcomes(page, counts)?;
    others(page, counts)?;
    writeln!(page, "</div>")?;
    if *wrong > 0 {
        writeln!(page, "<h3>Answered otherwise than the rules say</h3><ul>")?;
        for example in &counts.wrong_examples {
            writeln!(page, "<li>{}</li>", Text(example))?;
        }
        writeln!(page, "</ul>")?;
    }
    writeln!(page, "</section>")
}

fn outcomes(page: &mut String, counts: &Counts) -> fmt::Result {
    writeln!(
        page,
        "<div><table><thead><tr><th>outcome</th><th class=n>meant</th><th class=n>answered</th><th class=n></th></tr></thead><tbody>"
    )?;
    for code in OutcomeCode::ALL.into_iter().rev() {
        let of = |outcomes: &std::collections::BTreeMap<String, u64>| outcomes.get(code.label()).copied();
        let (meant, answered) = (of(&counts.meant), of(&counts.outcomes).unwrap_or_default());
        // How many eligible ones are duplicates is for the daemon to find.
        let meant = match (code, meant) {
            (OutcomeCode::Duplicate | OutcomeCode::Undecided, None | Some(0)) => String::new(),
            (_, meant) => count(meant.unwrap_or_default()),
        };
        writeln!(
            page,
            r#"<tr><td><i class="key o-{0}"></i>{0}</td><td class=n>{meant}</td><td class=n>{1}</td><td class=n>{2}</td></tr>"#,
            code.label(),
            count(answered),
            percent(answered, counts.sent)
        )?;
    }
    writeln!(page, "</tbody></table>")?;
    writeln!(
        page,
        r#"<p class="meaning">What was meant to be identified is every eligible sighting; the daemon finds which are duplicates.</p></div>"#
    )
}

fn others(page: &mut String, counts: &Counts) -> fmt::Result {
    writeln!(page, "<table><tbody>")?;
    let rows = [
        ("answered wrongly", counts.wrong),
        ("answered undecided, and sent again", counts.undecided),
        ("in dead letters", counts.dead_lettered),
        ("acknowledged as repeats", counts.repeated),
        ("frames", counts.frames),
        ("transmissions beyond a frame's first", counts.retransmissions),
        ("sessions", counts.sessions),
        ("sessions lost", counts.sessions_lost),
    ];
    for (name, value) in rows {
        writeln!(page, "<tr><td>{name}</td><td class=n>{}</td></tr>", count(value))?;
    }
    for (store, Sampled { found, missing }) in &counts.sampled {
        let name = words::store_part(store);
        writeln!(
            page,
            "<tr><td>sampled in the {}: found</td><td class=n>{}</td></tr>",
            Text(name),
            count(*found)
        )?;
        let class = if *missing > 0 { " class=bad" } else { "" };
        writeln!(
            page,
            "<tr{class}><td>sampled in the {}: missing</td><td class=n>{}</td></tr>",
            Text(name),
            count(*missing)
        )?;
    }
    for (name, Sampled { found, missing }) in &counts.reads {
        let name = words::latency(name);
        let of = format!("{} of {}", count(*found), count(found + missing));
        writeln!(page, "<tr><td>{} found an identity</td><td class=n>{of}</td></tr>", Text(name))?;
    }
    writeln!(page, "</tbody></table>")
}

fn stamp(page: &mut String, measurement: &Measurement) -> fmt::Result {
    let stamp = &measurement.stamp;
    let host = &stamp.host;
    let or_unknown = |text: &str| if text.is_empty() { "not known".to_owned() } else { text.to_owned() };
    let mut rows = vec![
        ("began", stamp.began_at.clone()),
        ("targets", stamp.targets.join(", ")),
        ("ack level", stamp.ack_level.clone()),
    ];
    let names = [("record", "system of record"), ("cache", "cache"), ("events", "store of events")];
    for (part, name) in names {
        rows.push((name, stamp.stores.get(part).cloned().unwrap_or_else(|| "not asked".to_owned())));
    }
    let revision = or_unknown(&stamp.revision);
    rows.extend([
        ("load tester", format!("{}, revision {revision}", stamp.version)),
        (
            "daemon",
            if stamp.daemon_version.is_empty() {
                "not asked".to_owned()
            } else {
                stamp.daemon_version.clone()
            },
        ),
        ("processor", format!("{}, {} cores", or_unknown(&host.processor), host.cores)),
        ("memory", bytes(host.memory_bytes)),
        ("kernel", or_unknown(&host.kernel)),
        ("open files, at most", count(host.open_files_limit)),
        ("scale", stamp.scale.to_string()),
        ("seed", stamp.seed.to_string()),
        ("fingerprint of all bytes", or_unknown(&stamp.fingerprint)),
        ("shards", stamp.shards.join(", ")),
        ("timer's finest step", time(stamp.timer_step_us)),
        ("stores looked into every", time(stamp.look_every_us)),
    ]);
    writeln!(page, r#"<section id="stamp"><h2>What was run, and where</h2><dl>"#)?;
    for (name, value) in rows {
        writeln!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", Text(&value))?;
    }
    writeln!(
        page,
        "</dl><details><summary>The scenario as it ran</summary><pre>{}</pre></details>",
        Text(&stamp.scenario)
    )?;
    writeln!(page, "</section>")
}
