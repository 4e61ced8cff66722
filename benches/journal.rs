//! The journal beside a bare loop that writes the same bytes into a file made ready before, and syncs as often; and how
//! long a start takes to read it.
//!
//! Both take turns in one run, in the same directory. The journal is in its steady state: segments are recycled.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops at what it does not expect, and prints its table"
)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beacond::domain::beacon::BeaconId;
use beacond::domain::block::Block;
use beacond::domain::confidence::Confidence;
use beacond::domain::customer::CustomerId;
use beacond::domain::frame::{AckLevel, FrameId, FrameMark};
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::time::Timestamp;
use beacond::journal::{
    Appender, EntryKind, JournalEntry, JournalSettings, JournalState, Opened, StoreCursor, open,
};

const SEGMENT_BYTES: u64 = 64 << 20;
const ROUNDS: usize = 9;
const ROUND_BYTES: u64 = 96 << 20;
const RECOVERED_IDENTITIES: u64 = 4_000_000;

struct Way {
    name: &'static str,
    frames: usize,
    identities: usize,
}

/// 1,040 identities with ids of 16 characters are 64 KiB in the journal.
const WAYS: [Way; 4] = [
    Way { name: "16 frames of 64, 64 KiB", frames: 16, identities: 64 },
    Way { name: "1 frame of 1,040, 64 KiB", frames: 1, identities: 1_040 },
    Way { name: "4 frames of 1,040, 256 KiB", frames: 4, identities: 1_040 },
    Way { name: "256 frames of 64, 1 MiB", frames: 256, identities: 64 },
];

fn main() {
    // Tests of all targets start benchmarks without this; there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    println!(
        "{:<28} {:>13} {:>13} {:>10} {:>10} {:>7}",
        "a group", "journal MB/s", "identities/s", "p99 us", "bare MB/s", "ratio"
    );
    for way in &WAYS {
        measure(way, directory.path());
    }
    recovery(directory.path());
}

fn measure(way: &Way, directory: &Path) {
    let mut journal = Writing::begin(&directory.join("journal"));
    let template = frame(way.identities);
    // Until segments are recycled.
    journal.write(way, &template, 12 * SEGMENT_BYTES / 2);
    let bare = bare_file(&directory.join("bare"));
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let group_bytes = journal.group_bytes;
        let (written, bare_rate);
        if round % 2 == 0 {
            written = journal.write(way, &template, ROUND_BYTES);
            bare_rate = bare_loop(&bare, group_bytes, written.groups.len());
        } else {
            let groups = usize::try_from(ROUND_BYTES / group_bytes).unwrap();
            bare_rate = bare_loop(&bare, group_bytes, groups);
            written = journal.write(way, &template, ROUND_BYTES);
        }
        rounds.push(Round::new(written, bare_rate));
    }
    let median = |value: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!(
        "{:<28} {:>13.0} {:>13.0} {:>10.0} {:>10.0} {:>7.2}",
        way.name,
        median(|round| round.megabytes),
        median(|round| round.identities),
        median(|round| round.p99_us),
        median(|round| round.bare_megabytes),
        median(|round| round.megabytes / round.bare_megabytes),
    );
}

struct Round {
    megabytes: f64,
    identities: f64,
    p99_us: f64,
    bare_megabytes: f64,
}

impl Round {
    fn new(mut written: Written, bare_megabytes: f64) -> Self {
        let bytes = written.bytes as f64;
        written.groups.sort();
        let p99 = written.groups[written.groups.len() * 99 / 100];
        Self {
            megabytes: bytes / written.took.as_secs_f64() / 1e6,
            identities: written.identities as f64 / written.took.as_secs_f64(),
            p99_us: p99.as_secs_f64() * 1e6,
            bare_megabytes,
        }
    }
}

/// A journal that is being written.
struct Writing {
    appender: Appender,
    number: u64,
    identity: u64,
    recycled_at: u64,
    group_bytes: u64,
}

struct Written {
    took: Duration,
    groups: Vec<Duration>,
    bytes: u64,
    identities: u64,
}

impl Writing {
    fn begin(directory: &Path) -> Self {
        let _ = std::fs::remove_dir_all(directory);
        let Opened { appender, .. } = open(&settings(directory), &mut |_| {}).unwrap();
        Self { appender, number: 1, identity: 0, recycled_at: 0, group_bytes: 1 }
    }

    fn write(&mut self, way: &Way, template: &JournalEntry, bytes: u64) -> Written {
        let before = self.appender.usage();
        let (first_identity, mut groups) = (self.identity, Vec::new());
        let mut took = Duration::ZERO;
        while self.appender.usage().bytes_written - before.bytes_written < bytes {
            let group: Vec<_> = (0..way.frames).map(|_| self.next(template)).collect();
            let started = Instant::now();
            self.appender.append(&group, None).unwrap();
            // What recycling takes of the time belongs to it.
            let written = self.appender.usage().bytes_written;
            if written - self.recycled_at > SEGMENT_BYTES {
                self.recycled_at = written;
                self.appender.append(&[], Some(&state(self.number, self.identity))).unwrap();
                let freed = self.appender.recycle(self.number);
                assert!(freed.is_ok(), "there is room to write it down");
            }
            groups.push(started.elapsed());
            took += started.elapsed();
        }
        let bytes = self.appender.usage().bytes_written - before.bytes_written;
        self.group_bytes = bytes / groups.len() as u64;
        Written { took, groups, bytes, identities: self.identity - first_identity }
    }

    fn next(&mut self, template: &JournalEntry) -> Arc<JournalEntry> {
        let entry = JournalEntry { number: self.number, first_identity: self.identity, ..template.clone() };
        self.number += 1;
        self.identity = entry.end_identity();
        Arc::new(entry)
    }
}

/// A file of one segment's length, every byte of it written.
fn bare_file(path: &Path) -> File {
    let file = File::create(path).unwrap();
    let zeros = vec![0; 1 << 20];
    for piece in 0..SEGMENT_BYTES >> 20 {
        file.write_all_at(&zeros, piece << 20).unwrap();
    }
    file.sync_all().unwrap();
    file
}

/// Writes so many groups, and tells how many megabytes that were a second.
fn bare_loop(file: &File, group_bytes: u64, groups: usize) -> f64 {
    let group = vec![0x5a; usize::try_from(group_bytes).unwrap()];
    let mut at = 0;
    let started = Instant::now();
    for _ in 0..groups {
        if at + group_bytes > SEGMENT_BYTES {
            at = 0;
        }
        file.write_all_at(&group, at).unwrap();
        file.sync_data().unwrap();
        at += group_bytes;
    }
    groups as f64 * group_bytes as f64 / started.elapsed().as_secs_f64() / 1e6
}

fn recovery(directory: &Path) {
    let directory = directory.join("recovery");
    let template = frame(64);
    let way = Way { name: "", frames: 256, identities: 64 };
    let mut journal = Writing::begin(&directory);
    journal.recycled_at = u64::MAX / 2;
    while journal.identity < RECOVERED_IDENTITIES {
        let group: Vec<_> = (0..way.frames).map(|_| journal.next(&template)).collect();
        journal.appender.append(&group, None).unwrap();
    }
    let identities = journal.identity;
    drop(journal);
    let mut took: Vec<Duration> = (0..5)
        .map(|_| {
            let started = Instant::now();
            let mut seen = 0;
            let opened = open(&settings(&directory), &mut |entry| seen += entry.accepted()).unwrap();
            let took = started.elapsed();
            let tail: u64 = opened.recovery.tail.iter().map(|entry| entry.accepted()).sum();
            assert_eq!(seen + tail, identities);
            took
        })
        .collect();
    took.sort();
    let seconds = took[took.len() / 2].as_secs_f64();
    println!(
        "recovery: {:.2} s for a million identities, {:.1} million/s (from the page cache)",
        seconds * 1e6 / identities as f64,
        identities as f64 / seconds / 1e6
    );
}

fn settings(directory: &Path) -> JournalSettings {
    JournalSettings {
        directory: directory.to_owned(),
        segment_bytes: SEGMENT_BYTES,
        max_bytes: 64 * SEGMENT_BYTES,
    }
}

fn state(next: u64, first_identity: u64) -> JournalState {
    let cursor = StoreCursor { name: "postgres".to_owned(), next, first_identity };
    JournalState { stores: vec![cursor], known_from: Timestamp::from_micros(0), past_known: true }
}

fn frame(identities: usize) -> JournalEntry {
    let identity = |index: usize| CustomerIdentity {
        customer_id: CustomerId::from_bytes(format!("customer{index:08}").as_bytes()).unwrap(),
        beacon_id: BeaconId::from_bytes([7; 16]),
        location: Some("Table 3".parse().unwrap()),
        confidence: Confidence::from_stored(0.875).unwrap(),
        detected_at: Timestamp::from_micros(1_700_000_000_000_000),
    };
    let id = FrameId { gateway: "gateway-1".parse().unwrap(), boot_epoch: 1, sequence: 1, checksum: 1 };
    JournalEntry {
        number: 1,
        first_identity: 0,
        accepted_at: Timestamp::from_micros(1_700_000_000_000_000),
        kind: EntryKind::Frame(FrameMark { id, complete: true, level: AckLevel::Journal, answered_up_to: 0 }),
        block: Arc::new(Block {
            identities: (0..identities).map(identity).collect(),
            preferences: Vec::new(),
        }),
    }
}
