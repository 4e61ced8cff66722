//! The report as one page that needs nothing else: no script, no network, light and dark, on screen and on paper.

mod figures;
mod latencies;
mod overview;
mod record;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};
use std::io;

use crate::measurement::{Measurement, VerdictKind};

const STYLE: &str = include_str!("html/style.css");

/// The whole file.
///
/// # Errors
/// When a histogram of the document cannot be read.
pub(super) fn page(measurement: &Measurement) -> io::Result<String> {
    let figures = figures::all(measurement)?;
    let mut page = String::with_capacity(1 << 19);
    // Text grows without failing.
    let _ = write(&mut page, measurement, &figures);
    Ok(page)
}

fn write(page: &mut String, measurement: &Measurement, figures: &str) -> fmt::Result {
    let name = Text(&measurement.stamp.scenario_name);
    let verdict = super::words::verdict(measurement.verdict.kind);
    write!(
        page,
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{verdict}: {name} - beacond load test</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
"#
    )?;
    overview::write(page, measurement)?;
    latencies::write(page, measurement)?;
    page.push_str(figures);
    record::write(page, measurement)?;
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

/// Text of others in HTML, between tags or in quotes.
pub(super) struct Text<'t>(pub(super) &'t str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'', '\0']) {
            let (sound, from) = rest.split_at(at);
            f.write_str(sound)?;
            let mut letters = from.chars();
            f.write_str(match letters.next() {
                Some('&') => "&amp;",
                Some('<') => "&lt;",
                Some('>') => "&gt;",
                Some('"') => "&quot;",
                Some('\'') => "&#39;",
                _ => "\u{fffd}",
            })?;
            rest = letters.as_str();
        }
        f.write_str(rest)
    }
}

/// A time for people.
fn time(us: u64) -> String {
    crate::figures::microseconds(us).replace(" us", " µs")
}

/// The class of a verdict and its mark, so that it is told by more than colour.
const fn mark(kind: VerdictKind) -> (&'static str, &'static str) {
    match kind {
        VerdictKind::Pass => ("pass", "✓"),
        VerdictKind::Fail => ("fail", "✗"),
        VerdictKind::Invalid => ("invalid", "!"),
    }
}
