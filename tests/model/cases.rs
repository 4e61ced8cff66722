//! Sequences of sightings of one customer whose outcomes follow from the document by hand.

use super::Outcome::{self, BeaconInactive, BeaconMismatch, Duplicate, Forbidden, Identified, LowConfidence};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;

/// Strong enough at every type of location.
const STRONG: i8 = -40;
/// Too weak at every type of location.
const WEAK: i8 = -90;

/// Which beacon, as seen by the gateway that reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// One that is active and may be reported.
    Here,
    /// Another such.
    There,
    /// The first one's UUID with another Minor.
    Copied,
    /// One that is retired.
    Retired,
    /// One of a store that this gateway may not report.
    Foreign,
}

use Place::{Copied, Foreign, Here, Retired, There};

/// One sighting: when after the case's start, where, how strong, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step(pub(crate) i64, pub(crate) Place, pub(crate) i8, pub(crate) Outcome);

/// A case: what it shows, and its sightings in the order of arrival.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) shows: &'static str,
    pub(crate) steps: &'static [Step],
}

impl Case {
    const fn new(shows: &'static str, steps: &'static [Step]) -> Self {
        Self { shows, steps }
    }
}

/// The edge of the minute, redelivery, and what a refusal does and does not undo.
pub(crate) const CASES: &[Case] = &[
    Case::new(
        "a microsecond under a minute later is a duplicate",
        &[Step(0, Here, STRONG, Identified), Step(MINUTE - 1, There, STRONG, Duplicate)],
    ),
    Case::new(
        "a minute later is none",
        &[Step(0, Here, STRONG, Identified), Step(MINUTE, There, STRONG, Identified)],
    ),
    Case::new(
        "a microsecond over a minute later is none",
        &[Step(0, Here, STRONG, Identified), Step(MINUTE + 1, Here, STRONG, Identified)],
    ),
    Case::new(
        "a microsecond under a minute earlier is a duplicate",
        &[Step(MINUTE - 1, There, STRONG, Identified), Step(0, Here, STRONG, Duplicate)],
    ),
    Case::new(
        "a minute earlier is none",
        &[Step(MINUTE, There, STRONG, Identified), Step(0, Here, STRONG, Identified)],
    ),
    Case::new(
        "a microsecond over a minute earlier is none",
        &[Step(MINUTE + 1, Here, STRONG, Identified), Step(0, Here, STRONG, Identified)],
    ),
    Case::new(
        "exactly between two that are two minutes apart there is room",
        &[
            Step(0, Here, STRONG, Identified),
            Step(2 * MINUTE, There, STRONG, Identified),
            Step(MINUTE, Here, STRONG, Identified),
        ],
    ),
    Case::new(
        "a microsecond less, and there is none",
        &[
            Step(0, Here, STRONG, Identified),
            Step(2 * MINUTE - 1, There, STRONG, Identified),
            Step(MINUTE, Here, STRONG, Duplicate),
            Step(MINUTE - 1, Here, STRONG, Duplicate),
        ],
    ),
    Case::new(
        "a duplicate starts no minute of its own",
        &[
            Step(0, Here, STRONG, Identified),
            Step(MINUTE - 1, Here, STRONG, Duplicate),
            Step(MINUTE, Here, STRONG, Identified),
            Step(2 * MINUTE - 1, There, STRONG, Duplicate),
            Step(2 * MINUTE, There, STRONG, Identified),
        ],
    ),
    Case::new(
        "a redelivery is identified again",
        &[
            Step(0, Here, STRONG, Identified),
            Step(0, Here, STRONG, Identified),
            Step(20 * SECOND, Here, STRONG, Duplicate),
            Step(0, Here, STRONG, Identified),
        ],
    ),
    Case::new(
        "a redelivery is known by customer, time and beacon, not by its strength",
        &[Step(0, Here, STRONG, Identified), Step(0, Here, STRONG - 10, Identified)],
    ),
    Case::new(
        "equal time at another beacon is a duplicate",
        &[
            Step(0, Here, STRONG, Identified),
            Step(0, There, STRONG, Duplicate),
            Step(0, Here, STRONG, Identified),
            Step(0, There, STRONG, Duplicate),
        ],
    ),
    Case::new(
        "a redelivered duplicate stays one",
        &[
            Step(0, Here, STRONG, Identified),
            Step(10 * SECOND, There, STRONG, Duplicate),
            Step(10 * SECOND, There, STRONG, Duplicate),
        ],
    ),
    Case::new(
        "a redelivery is judged anew, and its refusal unmakes nothing",
        &[
            Step(0, Here, STRONG, Identified),
            Step(0, Here, WEAK, LowConfidence),
            Step(0, Copied, STRONG, BeaconMismatch),
            Step(30 * SECOND, Here, STRONG, Duplicate),
            Step(0, Here, STRONG, Identified),
        ],
    ),
    Case::new(
        "what was refused stands in nobody's way",
        &[
            Step(0, Here, WEAK, LowConfidence),
            Step(0, Copied, STRONG, BeaconMismatch),
            Step(0, Retired, STRONG, BeaconInactive),
            Step(0, Foreign, STRONG, Forbidden),
            Step(SECOND, Here, STRONG, Identified),
            Step(0, Here, STRONG, Duplicate),
        ],
    ),
    Case::new(
        "the first refusal in the order of the rules is the outcome",
        &[
            Step(0, Copied, WEAK, BeaconMismatch),
            Step(0, Retired, WEAK, BeaconInactive),
            Step(0, Foreign, WEAK, Forbidden),
        ],
    ),
    Case::new(
        "one that comes after a later one is compared around its own time",
        &[
            Step(3 * MINUTE, Here, STRONG, Identified),
            Step(0, There, STRONG, Identified),
            Step(90 * SECOND, Here, STRONG, Identified),
            Step(31 * SECOND, Here, STRONG, Duplicate),
            Step(150 * SECOND, Here, STRONG, Duplicate),
        ],
    ),
];
