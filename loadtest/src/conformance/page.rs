//! The result for people, and as JSON.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;

use super::rules::{CHAPTERS, Side};
use super::verdict::{Judged, Tally, Verdict, tally};

/// What was tested.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) side: Side,
    /// Its address, or the one it came to.
    pub(super) address: &'a str,
    pub(super) took_s: f64,
}

/// Where details begin.
const DETAIL_COLUMN: usize = 15;
/// Wider no terminal needs to be.
const WIDTH: usize = 110;

/// Prints a table, group by group; of rules that bind the other side only their number.
pub(super) fn print(out: &mut impl Write, subject: &Subject<'_>, judged: &[Judged]) -> io::Result<()> {
    let side = subject.side;
    writeln!(out, "conformance of the {} at {}, protocol/SPEC.md", side.word(), subject.address)?;
    for chapter in CHAPTERS {
        let inside = |judged: &&Judged| (chapter.first..=chapter.last).contains(&judged.rule.number);
        let binding = |judged: &&Judged| judged.rule.parties.include(side);
        let rules: Vec<&Judged> = judged.iter().filter(inside).filter(binding).collect();
        if rules.is_empty() {
            continue;
        }
        writeln!(out, "\n{}", chapter.title)?;
        for judged in rules {
            row(out, judged)?;
        }
    }
    let Tally { kept, broken, not_tried, bind_the_other_side } = tally(judged, side);
    writeln!(
        out,
        "\nkept {kept}, broken {broken}, not tried {not_tried} of {} (of them {bind_the_other_side} bind the other side), {:.1} s",
        judged.len(),
        subject.took_s
    )
}

fn row(out: &mut impl Write, judged: &Judged) -> io::Result<()> {
    let word = match &judged.verdict {
        Verdict::Kept { .. } => "kept",
        Verdict::Broken { .. } => "BROKEN",
        Verdict::NotTried { .. } => "not tried",
    };
    let number = format!("R{}", judged.rule.number);
    writeln!(out, "  {number:<4}{word:<10}{}", judged.rule.title)?;
    match &judged.verdict {
        Verdict::Kept { .. } => Ok(()),
        Verdict::Broken { seen } => {
            seen.iter().try_for_each(|breach| detail(out, &format!("{}: {}", breach.check, breach.seen)))
        }
        Verdict::NotTried { why } => detail(out, why),
    }
}

/// Lines of a sentence, below the title.
fn detail(out: &mut impl Write, text: &str) -> io::Result<()> {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && DETAIL_COLUMN + line.len() + word.len() >= WIDTH {
            writeln!(out, "{:DETAIL_COLUMN$} {line}", "")?;
            line.clear();
        }
        let gap = if line.is_empty() { "" } else { " " };
        // A String takes all there is.
        let _ = write!(line, "{gap}{word}");
    }
    writeln!(out, "{:DETAIL_COLUMN$} {line}", "")
}

#[derive(Serialize)]
struct Document<'a> {
    format: u8,
    side: &'static str,
    address: &'a str,
    took_s: f64,
    summary: Tally,
    rules: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    rule: String,
    binds: &'static str,
    title: &'static str,
    #[serde(flatten)]
    verdict: &'a Verdict,
}

/// The same for programs.
pub(super) fn json(subject: &Subject<'_>, judged: &[Judged]) -> serde_json::Result<Vec<u8>> {
    let rules = judged.iter().map(|Judged { rule, verdict }| Line {
        rule: format!("R{}", rule.number),
        binds: rule.parties.mark(),
        title: rule.title,
        verdict,
    });
    serde_json::to_vec_pretty(&Document {
        format: 1,
        side: subject.side.word(),
        address: subject.address,
        took_s: subject.took_s,
        summary: tally(judged, subject.side),
        rules: rules.collect(),
    })
}
