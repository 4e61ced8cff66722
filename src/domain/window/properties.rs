//! The window against a slow, obvious model: a list of accepted identities, searched from end to end.

use proptest::prelude::*;

use super::*;

const HORIZON_US: i64 = 120_000_000;
const MAX_AHEAD_US: i64 = 70_000_000;
const MAX_ENTRIES: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    customer: u8,
    detected_us: i64,
    beacon: u8,
    accepted_us: i64,
}

/// Everything ever accepted and not undone; the first `gone` have left.
#[derive(Default)]
struct Model {
    accepted: Vec<Identity>,
    gone: usize,
    durable: usize,
    stored: usize,
}

impl Model {
    fn conflicts(&self, customer: u8, detected_us: i64) -> Vec<usize> {
        (self.gone..self.accepted.len())
            .filter(|at| {
                let other = self.accepted[*at];
                other.customer == customer && (other.detected_us - detected_us).abs() < 60_000_000
            })
            .collect()
    }

    /// Whether this is a right answer. Of two durable conflicts either may be named.
    fn allows(&self, standing: Standing, customer: u8, detected_us: i64, beacon: u8) -> bool {
        let conflicts = self.conflicts(customer, detected_us);
        let same =
            |at: usize| (self.accepted[at].detected_us, self.accepted[at].beacon) == (detected_us, beacon);
        match standing {
            Standing::Clear => conflicts.is_empty(),
            Standing::Redelivery(position) => conflicts == [index(position)] && same(index(position)),
            Standing::Duplicate(position) => {
                let named = index(position);
                let any_durable = conflicts.iter().any(|at| *at < self.durable);
                conflicts.contains(&named)
                    && !same(named)
                    && if any_durable { named < self.durable } else { named == conflicts[0] }
            }
        }
    }

    fn expire(&mut self, now_us: i64, at_most: usize) -> usize {
        let before = self.gone;
        while self.gone - before < at_most && self.gone < self.stored {
            let oldest = self.accepted[self.gone];
            let old_enough = now_us - oldest.accepted_us > HORIZON_US;
            let out_of_reach = now_us - HORIZON_US - oldest.detected_us >= 60_000_000;
            if !(old_enough && out_of_reach) {
                break;
            }
            self.gone += 1;
        }
        self.gone - before
    }
}

/// Just below where the low 32 bits of positions wrap.
const FIRST: u64 = u32::MAX as u64 - 15;

/// Where the model has the entry of a position.
fn index(position: Position) -> usize {
    usize::try_from(position.0 - FIRST).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Sighting {
        customer: u8,
        ahead_us: i64,
        beacon: u8,
    },
    /// Watermarks move to a fraction (of 255) of what they may.
    Durable(u8),
    Stored(u8),
    RollBack,
    Expire {
        at_most: usize,
    },
    Pass {
        us: i64,
    },
}

/// Offsets to now: whole and half minutes, and to the microsecond around them, ahead and back.
fn offsets() -> impl Strategy<Value = i64> {
    (-8..=2_i64, prop::sample::select(vec![-1, 0, 1, 29_999_999, 30_000_000]))
        .prop_map(|(minutes, more)| (minutes * 60_000_000 + more).min(MAX_AHEAD_US))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..3_u8, offsets(), 0..2_u8)
            .prop_map(|(customer, ahead_us, beacon)| Step::Sighting { customer, ahead_us, beacon }),
        3 => any::<u8>().prop_map(Step::Durable),
        3 => any::<u8>().prop_map(Step::Stored),
        1 => Just(Step::RollBack),
        3 => (0..6_usize).prop_map(|at_most| Step::Expire { at_most }),
        4 => prop::sample::select(vec![0, 1, 1_000_000, 59_999_999, 60_000_000, 60_000_001, 130_000_000])
            .prop_map(|us| Step::Pass { us }),
    ];
    prop::collection::vec(step, 1..120)
}

/// The last of a range's positions at `fraction` of it, if it has any.
fn part(from: usize, to: usize, fraction: u8) -> Option<Position> {
    let count = (to - from) * (usize::from(fraction) + 1) / 256;
    (count > 0).then(|| Position(FIRST + (from + count) as u64 - 1))
}

struct Both {
    window: DuplicateWindow,
    model: Model,
    hasher: CustomerHasher,
    now_us: i64,
}

impl Both {
    fn new(start_us: i64) -> Self {
        let limits = WindowLimits::new(HORIZON_US, MAX_AHEAD_US, MAX_ENTRIES);
        Self {
            window: DuplicateWindow::starting_at(limits, FIRST),
            model: Model::default(),
            hasher: CustomerHasher::new([9; 16]),
            now_us: start_us,
        }
    }

    fn key(&self, customer: u8) -> CustomerKey {
        self.hasher.key(&[customer])
    }

    fn check(&self, customer: u8, detected_us: i64, beacon: u8) -> Standing {
        let beacon = BeaconId::from_bytes([beacon; 16]);
        self.window.check(self.key(customer), Timestamp::from_micros(detected_us), &beacon)
    }

    fn sighting(&mut self, customer: u8, detected_us: i64, beacon: u8) -> Result<(), TestCaseError> {
        let standing = self.check(customer, detected_us, beacon);
        prop_assert!(self.model.allows(standing, customer, detected_us, beacon), "{standing:?}");
        if standing != Standing::Clear {
            return Ok(());
        }
        let key = self.key(customer);
        let accepted = self.window.accept(
            key,
            Timestamp::from_micros(detected_us),
            &BeaconId::from_bytes([beacon; 16]),
            Timestamp::from_micros(self.now_us),
        );
        if self.model.accepted.len() - self.model.gone == MAX_ENTRIES {
            prop_assert_eq!(accepted, Err(Full));
            return Ok(());
        }
        prop_assert_eq!(accepted, Ok(Position(FIRST + self.model.accepted.len() as u64)));
        let accepted_us = self.now_us;
        self.model.accepted.push(Identity { customer, detected_us, beacon, accepted_us });
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Sighting { customer, ahead_us, beacon } => {
                self.sighting(customer, self.now_us + ahead_us, beacon)?;
            }
            Step::Durable(fraction) => {
                let model = &mut self.model;
                if let Some(position) = part(model.durable, model.accepted.len(), fraction) {
                    self.window.durable(position.after());
                    model.durable = index(position) + 1;
                }
            }
            Step::Stored(fraction) => {
                let model = &mut self.model;
                if let Some(position) = part(model.stored, model.accepted.len(), fraction) {
                    self.window.stored(position.after());
                    model.stored = index(position) + 1;
                    model.durable = model.durable.max(model.stored);
                }
            }
            Step::RollBack => {
                let pending = self.model.accepted.len() - self.model.durable;
                self.model.accepted.truncate(self.model.durable);
                prop_assert_eq!(self.window.roll_back(), pending);
            }
            Step::Expire { at_most } => {
                let left = self.window.expire(Timestamp::from_micros(self.now_us), at_most);
                prop_assert_eq!(left, self.model.expire(self.now_us, at_most));
            }
            Step::Pass { us } => self.now_us += us,
        }
        Ok(())
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let (window, model) = (&self.window, &self.model);
        let end = FIRST + model.accepted.len() as u64;
        prop_assert_eq!(window.len(), model.accepted.len() - model.gone);
        prop_assert_eq!(window.pending(), (model.accepted.len() - model.durable) as u64);
        prop_assert_eq!(window.next_position(), Position(end));
        prop_assert_eq!(window.late_has_room(), window.len() < 21);
        for position in FIRST..end + 1 {
            let pending = position >= FIRST + model.durable as u64 && position < end;
            prop_assert_eq!(window.is_pending(Position(position)), pending);
        }
        for customer in 0..3 {
            for identity in &model.accepted {
                for off_us in [-60_000_000, -59_999_999, 0, 59_999_999, 60_000_000] {
                    let at = identity.detected_us + off_us;
                    let standing = self.check(customer, at, 0);
                    prop_assert!(model.allows(standing, customer, at, 0), "{standing:?} at {at}");
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// After any history every sighting stands to the window as to the list of what was accepted and has
    /// not left; positions, counts and limits are those of the list; a roll back leaves what was durable.
    /// Times lie around the epoch, around now, and at the edges of a minute to the microsecond.
    #[test]
    fn the_window_decides_as_the_obvious_list(
        start_us in prop::sample::select(vec![-90_000_000, 0, 1, 1_790_000_000_000_000]),
        steps in steps(),
    ) {
        let mut both = Both::new(start_us);
        for step in &steps {
            both.step(step)?;
            both.compare()?;
        }
    }

    /// No customer has two kept identities less than a minute apart, whatever the order of arrival.
    #[test]
    fn no_customer_is_kept_twice_within_a_minute(steps in steps()) {
        let mut both = Both::new(0);
        for step in &steps {
            both.step(step)?;
        }
        let kept = &both.model.accepted[both.model.gone..];
        for (at, one) in kept.iter().enumerate() {
            for other in &kept[at + 1..] {
                let apart_us = (one.detected_us - other.detected_us).abs();
                prop_assert!(one.customer != other.customer || apart_us >= 60_000_000);
            }
        }
    }

    /// Whatever leaves was stored, and no sighting that is fresh then or later conflicts with it: the
    /// decision on a fresh one is the same as if nothing had ever left.
    #[test]
    fn a_fresh_sighting_is_decided_as_if_nothing_had_left(steps in steps(), sightings in prop::collection::vec((0..3_u8, offsets()), 20)) {
        let mut both = Both::new(0);
        for step in &steps {
            both.step(step)?;
            prop_assert!(both.model.gone <= both.model.stored);
            for (customer, ahead_us) in &sightings {
                let detected_us = both.now_us + ahead_us;
                if !both.window.is_fresh(Timestamp::from_micros(detected_us), Timestamp::from_micros(both.now_us)) {
                    continue;
                }
                let all = Model { gone: 0, accepted: both.model.accepted.clone(), ..Model::default() };
                let clear = all.conflicts(*customer, detected_us).is_empty();
                prop_assert_eq!(both.check(*customer, detected_us, 0) == Standing::Clear, clear);
            }
        }
    }

    /// Customers, times and beacons of any value are decided without a panic, and an identity accepted
    /// at any time is then found there again.
    #[test]
    fn any_time_at_all_is_decided(times in prop::collection::vec(
        prop_oneof![any::<i64>(), prop::sample::select(vec![i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX])],
        1..40,
    )) {
        let mut window = DuplicateWindow::new(WindowLimits::new(i64::MAX, i64::MAX, 100));
        let key = CustomerHasher::new([1; 16]).key(b"");
        let beacon = BeaconId::from_bytes([0; 16]);
        for micros in times {
            let at = Timestamp::from_micros(micros);
            if window.check(key, at, &beacon) == Standing::Clear {
                let position = window.accept(key, at, &beacon, at).unwrap();
                window.stored(position.after());
                prop_assert_eq!(window.check(key, at, &beacon), Standing::Redelivery(position));
            }
            prop_assert!(window.expire(at, 1) <= 1);
            prop_assert!(!window.is_fresh(Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX)));
        }
    }
}
