//! What a record says of a frame, held against what must become of each of its sightings.

use beacon_protocol::client::Answer;
use beacon_protocol::{OUTCOME_CODES, OutcomeCode, RecordStatus};

use crate::population::Heard;

/// Outcomes whose sightings a record lists: everything but those of eligible and of weak ones.
const LISTED: std::ops::RangeInclusive<u8> = OutcomeCode::Invalid as u8..=OutcomeCode::Forbidden as u8;

/// What became of a frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// Sightings by outcome; nothing of a repeat, whose outcomes were told once before.
    pub(crate) outcomes: [u64; OUTCOME_CODES],
    /// Sightings of a repeat.
    pub(crate) repeated: u64,
    pub(crate) dead_lettered: u64,
    /// Sightings that became something else than they must.
    pub(crate) wrong: u64,
    /// One of them in words. It names no customer.
    pub(crate) example: Option<String>,
    /// Places of those that are to be sent again.
    pub(crate) undecided: Vec<u16>,
}

impl Judgement {
    /// Sightings with a final outcome.
    pub(crate) fn acked(&self) -> u64 {
        self.outcomes.iter().skip(1).sum::<u64>() + self.repeated
    }

    fn wrong(&mut self, sightings: u64, example: impl FnOnce() -> String) {
        self.wrong += sightings;
        self.example.get_or_insert_with(example);
    }
}

/// Judges the answer of a frame; `gateway` and `order` are how an example names it.
pub(crate) fn judge(gateway: u32, order: u64, heard: &[Heard], answer: &Answer) -> Judgement {
    let mut judgement = Judgement { dead_lettered: answer.dead_lettered.into(), ..Judgement::default() };
    match answer.status {
        RecordStatus::Decided => {}
        RecordStatus::Repeat => {
            judgement.repeated = heard.len() as u64;
            return judgement;
        }
        other => {
            judgement.wrong(heard.len() as u64, || {
                format!(
                    "gateway {}, frame {order}: answered {other:?}, which is not of sightings",
                    gateway + 1
                )
            });
            return judgement;
        }
    }
    judgement.outcomes = answer.counts.map(u64::from);
    let mut listed = answer.exceptions.iter().peekable();
    let (mut weak, mut listed_by_code) = (0_u64, [0_u64; OUTCOME_CODES]);
    for (index, heard) in heard.iter().enumerate() {
        let exception = listed.next_if(|exception| usize::from(exception.index) == index);
        let answered = exception.map(|exception| exception.code);
        if let Some(code) = answered {
            listed_by_code[usize::from(code.byte())] += 1;
        }
        let may_be_left_out = matches!(heard.expected, OutcomeCode::Identified | OutcomeCode::LowConfidence);
        match answered {
            Some(OutcomeCode::Undecided) => judgement.undecided.extend(u16::try_from(index)),
            Some(code) if code == heard.expected => {}
            None if may_be_left_out => weak += u64::from(heard.expected == OutcomeCode::LowConfidence),
            answered => judgement.wrong(1, || {
                let answered = answered.map_or("nothing", OutcomeCode::label);
                let (gateway, expected) = (gateway + 1, heard.expected.label());
                format!(
                    "gateway {gateway}, frame {order}, sighting {index}: {expected}, but answered {answered}"
                )
            }),
        }
    }
    let counted_weak = judgement.outcomes[OutcomeCode::LowConfidence as usize];
    if counted_weak != weak {
        judgement.wrong(counted_weak.abs_diff(weak), || {
            format!(
                "gateway {}, frame {order}: {weak} of low_confidence, but answered {counted_weak}",
                gateway + 1
            )
        });
    }
    for code in OutcomeCode::ALL.into_iter().filter(|code| LISTED.contains(&code.byte())) {
        let (counted, listed) = (judgement.outcomes[code as usize], listed_by_code[code as usize]);
        if counted != listed {
            judgement.wrong(counted.abs_diff(listed), || {
                let (gateway, label) = (gateway + 1, code.label());
                format!("gateway {gateway}, frame {order}: {counted} counted as {label}, but {listed} listed")
            });
        }
    }
    judgement
}

#[cfg(test)]
mod tests {
    use beacon_protocol::Exception;
    use tokio::time::Instant;

    use super::*;

    fn heard(expected: OutcomeCode) -> Heard {
        Heard { customer: 1, beacon: 2, at_us: 3, rssi_dbm: -60, expected, opens_visit: false }
    }

    fn answer(outcomes: &[(OutcomeCode, u16)], listed: &[(u16, OutcomeCode)]) -> Answer {
        let mut counts = [0; OUTCOME_CODES];
        for (code, count) in outcomes {
            counts[*code as usize] = *count;
        }
        let now = Instant::now();
        Answer {
            sequence: 1,
            tag: 0,
            sighting_count: counts.iter().sum(),
            status: RecordStatus::Decided,
            counts,
            dead_lettered: 0,
            exceptions: listed.iter().map(|&(index, code)| Exception { index, code, detail: 0 }).collect(),
            to_be_resent: 0,
            sent_at: now,
            answered_at: now,
            transmissions: 1,
        }
    }

    use OutcomeCode::{Duplicate, Identified, Invalid, LowConfidence, Undecided, UnknownBeacon};

    #[test]
    fn a_right_answer_is_right_and_what_is_undecided_is_named() {
        let frame = [Identified, LowConfidence, Invalid, Identified, Identified].map(heard);
        let answer = answer(
            &[(Identified, 1), (Duplicate, 1), (LowConfidence, 1), (Invalid, 1), (Undecided, 1)],
            &[(2, Invalid), (4, Undecided)],
        );
        let judgement = judge(0, 1, &frame, &answer);
        assert_eq!((judgement.wrong, judgement.acked()), (0, 4));
        assert_eq!((judgement.undecided, judgement.example), (vec![4], None));
    }

    #[test]
    fn every_wrong_answer_is_seen() {
        let frame = [Identified, LowConfidence, Invalid].map(heard);
        let wrong = [
            answer(&[(Identified, 1), (LowConfidence, 1), (Invalid, 1)], &[]),
            answer(&[(Identified, 1), (LowConfidence, 1), (UnknownBeacon, 1)], &[(2, UnknownBeacon)]),
            answer(&[(Identified, 2), (Invalid, 1)], &[(2, Invalid)]),
            answer(&[(LowConfidence, 2), (Invalid, 1)], &[(2, Invalid)]),
            answer(&[(LowConfidence, 1), (Invalid, 2)], &[(0, Invalid), (2, Invalid)]),
            answer(&[(Identified, 1), (LowConfidence, 1), (UnknownBeacon, 1)], &[(2, Invalid)]),
        ];
        for answer in wrong {
            let judgement = judge(6, 9, &frame, &answer);
            assert!(judgement.wrong > 0, "{answer:?}");
            assert!(judgement.example.unwrap().starts_with("gateway 7, frame 9"));
        }
    }
}
