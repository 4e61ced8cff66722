//! The first reading of the evidence: what there is, whether answers are what the rules say, and how to take the sightings
//! in parts that fit the memory.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use beacon_protocol::{OUTCOME_CODES, OutcomeCode};
use serde::Serialize;

use super::MINUTE_US;
use super::findings::Tally;
use super::names::Names;
use super::sent::{Frame, Sent, is_acked};
use crate::ending::Failure;
use crate::evidence::{Answered, EvidenceHead, EvidenceReader, FrameEvidence, FrameVerdict};
use crate::scenario::{self, Scenario};

/// Ranges of customers that parts are made of.
const RANGES: u32 = 4_096;

/// A generator has at least one gateway, of which there are no more.
const MAX_PARTS: u32 = 100_000;

/// What was sent, in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Figures {
    pub(super) frames: u64,
    pub(super) sightings: u64,
    /// Those that had to be identified, or be duplicates within the minute.
    pub(super) eligible: u64,
    /// Those of them that were acknowledged.
    pub(super) acked: u64,
    pub(super) identified: u64,
    pub(super) duplicates: u64,
    /// Answered `undecided`; they were sent again.
    pub(super) undecided: u64,
    pub(super) frames_unanswered: u64,
    pub(super) sightings_unanswered: u64,
    /// Frames acknowledged as repeats of what was durable.
    pub(super) frames_repeated: u64,
}

/// The evidence, read once.
#[derive(Debug)]
pub(super) struct Survey {
    files: Vec<PathBuf>,
    pub(super) names: Names,
    /// The earliest of the files' begins.
    pub(super) began_at_us: i64,
    pub(super) frames: Vec<Frame>,
    pub(super) figures: Figures,
    /// By outcome code, what gateways were told, frame by frame.
    pub(super) answered: [u64; OUTCOME_CODES],
    /// From the first sighting to the last, both included, but for those that are too old or of the future.
    pub(super) span: RangeInclusive<i64>,
    /// Customer and time of those, where it is a minute and more outside of [`span`](Self::span); sorted.
    pub(super) outside: Vec<(u32, i64)>,
    pub(super) answers: Tally,
    /// Why the order of decisions is not known, if it is not.
    pub(super) inexact_because: Option<String>,
    /// Sightings by range of customers.
    ranges: Vec<u64>,
    customers: u32,
}

impl Survey {
    /// Reads all of it.
    ///
    /// # Errors
    /// When a file cannot be read, is cut, or is of another run than the first.
    pub(super) fn of(files: Vec<PathBuf>, shows_customers: bool) -> Result<Self, Failure> {
        let heads = files.iter().map(|file| head(file)).collect::<Result<Vec<_>, _>>()?;
        let scenario = one_run(&files, &heads)?;
        let names = Names::new(&scenario, shows_customers);
        let customers = scenario.population.customers;
        let mut survey = Self {
            names,
            began_at_us: heads.iter().map(|head| head.began_at_us).min().unwrap_or(0),
            frames: Vec::new(),
            figures: Figures::default(),
            answered: [0; OUTCOME_CODES],
            span: RangeInclusive::new(i64::MAX, i64::MIN),
            outside: Vec::new(),
            answers: Tally::default(),
            inexact_because: None,
            ranges: vec![0; RANGES as usize],
            customers,
            files: Vec::new(),
        };
        let mut is_exact = true;
        for file in &files {
            is_exact &= read(file, |began_at_us, frame| survey.take(began_at_us, frame))?.is_exact;
        }
        survey.files = files;
        survey.keep_what_lies_outside();
        if survey.figures.eligible == 0 {
            return Err(wrong(survey.files.first(), "not one eligible sighting was sent: nothing to verify"));
        }
        survey.inexact_because = survey.why_inexact(is_exact, &scenario);
        Ok(survey)
    }

    /// Ranges of customers, each with at most so many sightings if it is more than one of [`RANGES`].
    pub(super) fn parts(&self, sightings_at_most: u64) -> Vec<Range<u32>> {
        let mut parts = Vec::new();
        let (mut begin, mut held) = (0, 0);
        for (range, count) in self.ranges.iter().enumerate() {
            if held > 0 && held + count > sightings_at_most {
                parts.push(self.first_of(begin)..self.first_of(range));
                (begin, held) = (range, 0);
            }
            held += count;
        }
        parts.push(self.first_of(begin)..self.customers);
        parts
    }

    /// The sightings of these customers, sorted by [`Sent::key`].
    ///
    /// # Errors
    /// When a file cannot be read any more.
    pub(super) fn collect(&self, customers: &Range<u32>, into: &mut Vec<Sent>) -> Result<(), Failure> {
        into.clear();
        let (first, end) = (self.range_of(customers.start), self.range_of(customers.end.saturating_sub(1)));
        let here: u64 = self.ranges.iter().take(end + 1).skip(first).sum();
        into.reserve_exact(usize::try_from(here).unwrap_or(0));
        let mut number = 0;
        for file in &self.files {
            read(file, |began_at_us, frame| {
                for (index, sighting) in (0..).zip(&frame.sightings) {
                    if customers.contains(&sighting.heard.customer) {
                        into.push(Sent::new(began_at_us, number, index, frame, sighting));
                    }
                }
                number += 1;
                Ok(())
            })?;
        }
        into.sort_unstable_by_key(Sent::key);
        Ok(())
    }

    /// Shows some frames again, by number, ascending.
    ///
    /// # Errors
    /// When a file cannot be read any more.
    pub(super) fn show(&self, frames: &[u32], mut visit: impl FnMut(u32, Vec<Sent>)) -> Result<(), Failure> {
        let mut number = 0;
        for file in &self.files {
            read(file, |began_at_us, frame| {
                if frames.binary_search(&number).is_ok() {
                    let sightings = (0..).zip(&frame.sightings);
                    let sent = |(index, one)| Sent::new(began_at_us, number, index, frame, one);
                    visit(number, sightings.map(sent).collect());
                }
                number += 1;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn take(&mut self, began_at_us: i64, frame: &FrameEvidence) -> Result<(), String> {
        let number = u32::try_from(self.frames.len()).map_err(|_| "more frames than 4,294,967,295")?;
        self.frames.push(frame.into());
        let mut acked = 0;
        for (index, sighting) in (0..).zip(&frame.sightings) {
            let heard = &sighting.heard;
            if heard.customer >= self.customers || heard.beacon >= self.names.layout.beacons() {
                return Err("it tells of customers or beacons that its scenario has not".to_owned());
            }
            let sent = Sent::new(began_at_us, number, index, frame, sighting);
            let range = self.range_of(heard.customer);
            if let Some(count) = self.ranges.get_mut(range) {
                *count += 1;
            }
            self.figures.eligible += u64::from(sent.is_eligible());
            if matches!(heard.expected, OutcomeCode::TooOld | OutcomeCode::ClockSkew) {
                self.outside.push((sent.customer, sent.at_us));
            } else {
                self.span = sent.at_us.min(*self.span.start())..=sent.at_us.max(*self.span.end());
            }
            acked += u64::from(is_acked(frame.verdict, sighting));
            self.judge(&sent, sighting.answered, frame);
        }
        self.figures.acked += acked;
        self.count(frame, acked);
        Ok(())
    }

    fn count(&mut self, frame: &FrameEvidence, acked: u64) {
        let figures = &mut self.figures;
        let sightings = frame.sightings.len() as u64;
        figures.frames += 1;
        figures.sightings += sightings;
        match frame.verdict {
            FrameVerdict::Unanswered => {
                figures.frames_unanswered += 1;
                figures.sightings_unanswered += sightings;
            }
            FrameVerdict::Repeat => figures.frames_repeated += 1,
            FrameVerdict::Decided { identified, duplicate } => {
                figures.identified += u64::from(identified);
                figures.duplicates += u64::from(duplicate);
                self.answered[usize::from(OutcomeCode::Identified.byte())] += u64::from(identified);
                self.answered[usize::from(OutcomeCode::Duplicate.byte())] += u64::from(duplicate);
                if u64::from(identified) + u64::from(duplicate) != acked {
                    let frame = self.names.frame(&frame.into());
                    self.answers.breach(|| {
                        format!("{frame}: {identified} identified and {duplicate} duplicates of {acked} eligible ones")
                    });
                }
            }
        }
    }

    /// Whether a sighting of a decided frame was answered what the rules say.
    fn judge(&mut self, sent: &Sent, answered: Answered, frame: &FrameEvidence) {
        if !matches!(frame.verdict, FrameVerdict::Decided { .. }) {
            return;
        }
        self.answers.examined += 1;
        let expected = sent.expected();
        let is_right = match answered {
            Answered::NotListed => {
                if expected == OutcomeCode::LowConfidence {
                    self.answered[usize::from(expected.byte())] += 1;
                }
                matches!(expected, OutcomeCode::Identified | OutcomeCode::LowConfidence)
            }
            Answered::Listed(code) => {
                self.answered[usize::from(code.byte())] += 1;
                self.figures.undecided += u64::from(code == OutcomeCode::Undecided);
                code == OutcomeCode::Undecided || code == expected && code.is_listed()
            }
        };
        if !is_right {
            let (names, told) = (
                &self.names,
                match answered {
                    Answered::NotListed => "as one that need not be listed",
                    Answered::Listed(code) => code.label(),
                },
            );
            self.answers.breach(|| {
                let sighting = names.sighting(sent, &frame.into());
                format!("{sighting}: is {} and was answered {told}", expected.label())
            });
        }
    }

    fn keep_what_lies_outside(&mut self) {
        let near = self.near();
        self.outside.retain(|(_, at_us)| !near.contains(at_us));
        self.outside.sort_unstable();
        self.outside.dedup();
        self.outside.shrink_to_fit();
    }

    /// The times whose identities matter to those of the span.
    pub(super) fn near(&self) -> RangeInclusive<i64> {
        self.span.start().saturating_sub(MINUTE_US)..=self.span.end().saturating_add(MINUTE_US)
    }

    fn why_inexact(&self, is_exact: bool, scenario: &Scenario) -> Option<String> {
        let figures = &self.figures;
        let reasons = [
            (figures.frames_unanswered, "frames have no answer"),
            (figures.frames_repeated, "frames were answered as repeats"),
            (figures.undecided, "sightings were undecided"),
        ];
        let mut reasons: Vec<String> = reasons
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", crate::figures::count(count)))
            .collect();
        if scenario.sessions.in_flight > 1 {
            reasons.push(format!("sessions.in_flight is {}", scenario.sessions.in_flight));
        }
        if scenario.population.guests > 0.0 {
            reasons.push("population.guests are heard by several gateways".to_owned());
        }
        match (is_exact, reasons.is_empty()) {
            (true, _) if self.figures.frames_unanswered + self.figures.frames_repeated == 0 => None,
            (_, true) => Some("a session was lost, or a customer heard by several gateways".to_owned()),
            (_, false) => Some(reasons.join(", ")),
        }
    }

    fn range_of(&self, customer: u32) -> usize {
        (customer / self.range_width()) as usize
    }

    fn first_of(&self, range: usize) -> u32 {
        u32::try_from(range).unwrap_or(u32::MAX).saturating_mul(self.range_width()).min(self.customers)
    }

    fn range_width(&self) -> u32 {
        self.customers.div_ceil(RANGES).max(1)
    }
}

/// Every frame of a file, with the time its own count from; at the end what is known then.
fn read(
    file: &Path,
    mut visit: impl FnMut(i64, &FrameEvidence) -> Result<(), String>,
) -> Result<EvidenceHead, Failure> {
    let unreadable = |error: std::io::Error| wrong(Some(file), error);
    let mut reader = EvidenceReader::open(file).map_err(unreadable)?;
    let began_at_us = reader.head().began_at_us;
    let mut frame = FrameEvidence::empty();
    while reader.read_frame(&mut frame).map_err(unreadable)? {
        visit(began_at_us, &frame).map_err(|reason| wrong(Some(file), reason))?;
    }
    Ok(reader.head().clone())
}

fn head(file: &Path) -> Result<EvidenceHead, Failure> {
    let reader = EvidenceReader::open(file).map_err(|error| wrong(Some(file), error))?;
    Ok(reader.head().clone())
}

/// The scenario of all these files, if they are all the parts of one run.
fn one_run(files: &[PathBuf], heads: &[EvidenceHead]) -> Result<Scenario, Failure> {
    let Some((first, parts)) = heads.first().map(|head| (head, head.shard.1)) else {
        return Err(Failure::Usage("no evidence was named".to_owned()));
    };
    if parts == 0 || parts > MAX_PARTS {
        return Err(wrong(files.first(), format!("it is one of {parts} parts")));
    }
    let mut here = vec![false; parts as usize];
    for (file, head) in files.iter().zip(heads) {
        let (part, of) = head.shard;
        if head.scenario != first.scenario || of != parts {
            return Err(wrong(Some(file), "it is of another run than the first"));
        }
        let place = part.checked_sub(1).and_then(|place| here.get_mut(place as usize));
        match place {
            Some(place) if !*place => *place = true,
            _ => {
                return Err(wrong(
                    Some(file),
                    format!("part {part}/{of} is here twice, or there is no such"),
                ));
            }
        }
    }
    let missing: Vec<String> = (1..)
        .zip(&here)
        .filter(|(_, here)| !**here)
        .map(|(part, _): (u32, _)| format!("{part}/{parts}"))
        .collect();
    if !missing.is_empty() {
        let reason = format!("the evidence of the other generators is wanted too: {}", missing.join(", "));
        return Err(wrong(files.first(), reason));
    }
    scenario::parse("its scenario", &first.scenario).map_err(|error| wrong(files.first(), error))
}

fn wrong<P: AsRef<Path>>(file: Option<P>, reason: impl ToString) -> Failure {
    let file = file.map_or_else(String::new, |file| file.as_ref().display().to_string());
    Failure::File { file, reason: reason.to_string() }
}
