//! Whatever fails and whenever it is killed: what was said to be durable is there, or it is named where bits flipped.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::faulty::Disk;
use super::sample::{entry, state};
use crate::domain::time::Timestamp;
use crate::journal::{
    AppendError, DamagedRange, JournalEntry, JournalSettings, JournalState, Opened, open_on,
};

const SEGMENT_BYTES: u64 = 4 * 4096;

#[derive(Debug, Clone)]
enum Step {
    /// So many new entries, behind those whose append failed, of so many identities each.
    Append {
        entries: u64,
        identities: usize,
        with_state: bool,
    },
    /// What was not appended is undone: its numbers are given anew.
    Undo,
    /// All but so many of the entries are in every store.
    Recycle {
        waiting: u64,
    },
    SyncsFail(u32),
    Full(bool),
    ReadOnly(bool),
    ShortWrites(bool),
    DiesAfter(u32),
    /// Killed and started again.
    Kill,
    PowerLoss(u64),
    /// Bits flip while it is down.
    Flip {
        bits: Vec<(prop::sample::Index, prop::sample::Index, u8)>,
    },
}

fn step(flips: bool) -> impl Strategy<Value = Step> {
    let append = (1u64..4, 0usize..12, any::<bool>())
        .prop_map(|(entries, identities, with_state)| Step::Append { entries, identities, with_state });
    let flip =
        proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..8), 1..3)
            .prop_map(|bits| Step::Flip { bits });
    prop_oneof![
        20 => append,
        1 => Just(Step::Undo),
        2 => (0u64..20).prop_map(|waiting| Step::Recycle { waiting }),
        2 => (1u32..3).prop_map(Step::SyncsFail),
        1 => any::<bool>().prop_map(Step::Full),
        1 => any::<bool>().prop_map(Step::ReadOnly),
        1 => any::<bool>().prop_map(Step::ShortWrites),
        2 => (0u32..12).prop_map(Step::DiesAfter),
        1 => Just(Step::Kill),
        3 => any::<u64>().prop_map(Step::PowerLoss),
        1 => if flips { flip.boxed() } else { Just(Step::Kill).boxed() },
    ]
}

struct Model {
    disk: Disk,
    opened: Option<Opened>,
    /// Every version of an entry that was handed over.
    attempted: BTreeMap<u64, Vec<Arc<JournalEntry>>>,
    durable: BTreeMap<u64, Arc<JournalEntry>>,
    /// Handed over without success; to be handed over again.
    failed: Vec<Arc<JournalEntry>>,
    states: Vec<JournalState>,
    /// States from this one on are as good as the newest durable.
    durable_state: usize,
    keep_from: u64,
    next: (u64, u64),
    flipped: bool,
    versions: i64,
}

impl Model {
    fn new() -> Self {
        let mut model = Self {
            disk: Disk::default(),
            opened: None,
            attempted: BTreeMap::new(),
            durable: BTreeMap::new(),
            failed: Vec::new(),
            states: Vec::new(),
            durable_state: 0,
            keep_from: 1,
            next: (1, 0),
            flipped: false,
            versions: 0,
        };
        model.open();
        model
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Append { entries, identities, with_state } => {
                for _ in 0..entries {
                    self.versions += 1;
                    let mut new = Arc::unwrap_or_clone(entry(self.next.0, self.next.1, identities));
                    new.accepted_at = Timestamp::from_micros(self.versions);
                    self.next = (new.number + 1, new.end_identity());
                    self.attempted.entry(new.number).or_default().push(Arc::new(new.clone()));
                    self.failed.push(Arc::new(new));
                }
                self.append(with_state);
            }
            Step::Undo => {
                // Not of the tail: that may have been durable.
                let tail_end = self.opened.as_ref().unwrap().recovery.next_number;
                let tail = self.failed.partition_point(|entry| entry.number < tail_end);
                if let Some(first) = self.failed.get(tail) {
                    self.next = (first.number, first.first_identity);
                    self.failed.truncate(tail);
                }
            }
            Step::Recycle { waiting } => {
                let durable_end = self.durable.last_key_value().map_or(1, |(number, _)| number + 1);
                self.keep_from = self.keep_from.max(durable_end.saturating_sub(waiting));
                let before = self.failed.clone();
                self.failed.clear();
                let appended = self.append(true);
                self.failed = before;
                if appended {
                    self.opened.as_mut().unwrap().appender.recycle(self.keep_from).ok();
                    self.durable_state = self.states.len() - 1;
                }
            }
            Step::SyncsFail(syncs) => self.disk.set_faults(|faults| faults.syncs = syncs),
            Step::Full(full) => self.disk.set_faults(|faults| faults.full = full),
            Step::ReadOnly(read_only) => self.disk.set_faults(|faults| faults.read_only = read_only),
            Step::ShortWrites(short) => self.disk.set_faults(|faults| faults.short_writes = short),
            Step::DiesAfter(changes) => self.disk.set_faults(|faults| faults.dies_after = Some(changes)),
            Step::Kill => {
                self.opened = None;
                self.open();
            }
            Step::PowerLoss(seed) => {
                self.opened = None;
                self.disk.lose_power(seed);
                self.open();
            }
            Step::Flip { bits } => {
                self.opened = None;
                for (segment, at, bit) in bits {
                    let segments = self.disk.segments();
                    let segments: Vec<_> = segments.iter().filter(|(_, bytes)| *bytes > 0).collect();
                    if !segments.is_empty() {
                        let (name, bytes) = segment.get(&segments);
                        self.disk.flip(name, at.index(*bytes), bit);
                        self.flipped = true;
                    }
                }
                self.open();
            }
        }
    }

    fn append(&mut self, with_state: bool) -> bool {
        let new_state = with_state.then(|| {
            let mut new = state(self.keep_from);
            new.known_from = Timestamp::from_micros(self.states.len() as i64);
            self.states.push(new.clone());
            new
        });
        let opened = self.opened.as_mut().unwrap();
        match opened.appender.append(&self.failed, new_state.as_ref()) {
            Ok(()) => {
                self.durable.extend(self.failed.drain(..).map(|entry| (entry.number, entry)));
                if with_state {
                    self.durable_state = self.states.len() - 1;
                }
                true
            }
            Err(AppendError::Full { .. } | AppendError::Io(_)) => false,
        }
    }

    /// Starts again on a disk that is whole, and checks what is there.
    fn open(&mut self) {
        self.disk.mend();
        let settings = JournalSettings {
            directory: "journal".into(),
            segment_bytes: SEGMENT_BYTES,
            max_bytes: 12 * SEGMENT_BYTES,
        };
        let mut visited = Vec::new();
        let opened =
            open_on(Arc::new(self.disk.clone()), &settings, &mut |entry| visited.push(entry)).unwrap();
        let recovery = &opened.recovery;
        let held: Vec<_> = visited.iter().chain(&recovery.tail).cloned().collect();
        assert!(held.is_sorted_by(|a, b| a.number < b.number), "numbers ascend");
        for entry in &held {
            assert!(self.attempted[&entry.number].contains(entry), "{} was never appended", entry.number);
            if let Some(durable) = self.durable.get(&entry.number) {
                assert_eq!(entry, durable, "another version than the durable one");
            }
        }
        assert!(self.flipped || recovery.damage.is_empty(), "{:?}", recovery.damage);
        let lost = |number| {
            let torn = recovery.torn.as_ref().map_or(u64::MAX, |torn| torn.first_number);
            self.flipped
                && (number >= torn || number >= recovery.next_number || in_ranges(&recovery.damage, number))
        };
        for number in self.durable.range(self.keep_from..).map(|(number, _)| *number) {
            let there = held.binary_search_by_key(&number, |entry| entry.number).is_ok();
            assert!(there || lost(number), "{number} is lost: {recovery:?}");
        }
        self.check_state(recovery.state.as_ref());
        let last = held.last().map_or(0, |entry| entry.number);
        assert!(recovery.next_number > last);
        if let Some(entry) = held.last().filter(|entry| entry.number + 1 == recovery.next_number) {
            assert_eq!(recovery.next_identity, entry.end_identity());
        }
        assert_eq!(recovery.first_number, held.first().map_or(recovery.next_number, |entry| entry.number));
        self.durable.retain(|number, _| held.binary_search_by_key(number, |entry| entry.number).is_ok());
        // A failed append may have got some of its entries to the disk, in a segment of their own.
        self.durable.extend(visited.iter().map(|entry| (entry.number, Arc::clone(entry))));
        self.next = (recovery.next_number, recovery.next_identity);
        self.failed = recovery.tail.clone();
        self.opened = Some(opened);
        let room = self.opened.as_ref().unwrap().recovery.bytes + 3 * SEGMENT_BYTES <= 12 * SEGMENT_BYTES;
        assert!(self.append(true) || !room, "a sound disk with room takes the tail");
        self.read();
        assert!(self.disk.bytes() <= 12 * SEGMENT_BYTES || self.flipped, "{} bytes", self.disk.bytes());
    }

    fn check_state(&self, found: Option<&JournalState>) {
        match found {
            _ if self.flipped => assert!(found.is_none_or(|found| self.states.contains(found))),
            None => assert!(self.states.is_empty() || self.durable_state == 0, "the state is gone"),
            Some(found) => {
                assert!(self.states[self.durable_state..].contains(found), "an old state came back");
            }
        }
    }

    /// A reader finds what is durable.
    fn read(&mut self) {
        let reader = &mut self.opened.as_mut().unwrap().reader;
        let (mut from, mut read, mut lost) = (self.keep_from, Vec::new(), Vec::new());
        loop {
            let before = read.len();
            let on = reader.read(from, 7, usize::MAX, &mut read).unwrap();
            lost.extend(on.lost);
            if read.len() == before {
                break;
            }
            from = on.next;
        }
        assert!(self.flipped || lost.is_empty(), "{lost:?}");
        // A tail that there was no room for is not read yet.
        let end = self.failed.first().map_or(u64::MAX, |entry| entry.number).max(self.keep_from);
        let wanted =
            self.durable.range(self.keep_from..end).filter(|(number, _)| !in_ranges(&lost, **number));
        let held = read.iter().filter(|entry| !in_ranges(&lost, entry.number)).count();
        assert_eq!(held, read.len(), "read and named as lost: {lost:?}");
        let wanted: Vec<_> = wanted.map(|(_, entry)| Arc::clone(entry)).collect();
        let numbers =
            |entries: &[Arc<JournalEntry>]| entries.iter().map(|entry| entry.number).collect::<Vec<_>>();
        assert_eq!(numbers(&read), numbers(&wanted), "read from {}", self.keep_from);
        assert!(read == wanted, "another version than the durable one");
    }
}

fn in_ranges(ranges: &[DamagedRange], number: u64) -> bool {
    ranges.iter().any(|range| (range.first_number..range.end_number).contains(&number))
}

fn run(steps: Vec<Step>) {
    let mut model = Model::new();
    for step in steps {
        model.run(step);
    }
    model.run(Step::PowerLoss(1));
    model.run(Step::Kill);
}

proptest! {
    /// Invariant: an entry whose append succeeded is there after any kill, power loss and failed sync.
    #[test]
    fn nothing_durable_is_ever_lost(steps in proptest::collection::vec(step(false), 1..60)) {
        run(steps);
    }

    /// Invariant: where bits flip, what that costs is named, and nothing else is missing.
    #[test]
    fn what_flipped_bits_cost_is_named(steps in proptest::collection::vec(step(true), 1..60)) {
        run(steps);
    }
}
