//! The journal on real files: what is appended is there after the process is gone, in order, and room comes back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sample::{entries, entry, state};
use crate::journal::block::HEADER_BYTES;
use crate::journal::{
    AppendError, JournalEntry, JournalReader, JournalSettings, OpenError, Opened, ReadOn, open,
};

const SEGMENT_BYTES: u64 = 64 * 1024;

struct Home {
    directory: tempfile::TempDir,
    segments: u64,
}

impl Home {
    fn new(segments: u64) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), segments }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    fn settings(&self) -> JournalSettings {
        JournalSettings {
            directory: self.path(),
            segment_bytes: SEGMENT_BYTES,
            max_bytes: self.segments * SEGMENT_BYTES,
        }
    }

    /// Opens the journal; with what is visited.
    fn open(&self) -> (Opened, Vec<Arc<JournalEntry>>) {
        let mut visited = Vec::new();
        let opened = open(&self.settings(), &mut |entry| visited.push(entry)).unwrap();
        (opened, visited)
    }

    fn segments(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.path())
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "segment"))
            .collect();
        files.sort();
        files
    }
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// Takes away what the last append wrote without waiting for the disk: that all is durable.
fn forget_last_claim(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.windows(4).rposition(|window| window == b"bcJ\x02").unwrap();
    bytes[at..at + HEADER_BYTES].fill(0);
    fs::write(file, bytes).unwrap();
}

fn read_all(reader: &mut JournalReader, from: u64) -> (Vec<Arc<JournalEntry>>, ReadOn) {
    let mut into = Vec::new();
    let on = reader.read(from, usize::MAX, usize::MAX, &mut into).unwrap();
    (into, on)
}

#[test]
fn a_new_journal_has_nothing_and_begins_at_one() {
    let home = Home::new(8);
    let (opened, visited) = home.open();
    assert!(visited.is_empty());
    let recovery = opened.recovery;
    assert_eq!((recovery.first_number, recovery.next_number, recovery.next_identity), (1, 1, 0));
    assert!(recovery.state.is_none() && recovery.tail.is_empty() && recovery.damage.is_empty());
    assert_eq!((recovery.segments, recovery.bytes), (0, 0));
    assert_eq!(home.segments(), Vec::<PathBuf>::new(), "opening writes nothing");
}

#[test]
fn what_was_appended_is_there_when_it_is_opened_again() {
    let home = Home::new(8);
    let written = entries(1, 5);
    {
        let (mut opened, _) = home.open();
        opened.appender.append(&written[..3], Some(&state(1))).unwrap();
        opened.appender.append(&written[3..], None).unwrap();
        assert_eq!(opened.appender.usage().entries_written, 5);
        assert_eq!(opened.appender.usage().syncs, 2);
    }
    forget_last_claim(&home.segments()[0]);
    let (opened, visited) = home.open();
    assert_eq!(visited, written[..3]);
    assert_eq!(opened.recovery.tail, written[3..]);
    assert_eq!(opened.recovery.state, Some(state(1)));
    assert_eq!((opened.recovery.next_number, opened.recovery.next_identity), (6, 15));
    let mut opened = opened;
    assert_eq!(read_all(&mut opened.reader, 1).0, written[..3], "the tail is not durable yet");
    opened.appender.append(&opened.recovery.tail, None).unwrap();
    opened.appender.append(&entries(6, 1), Some(&state(2))).unwrap();
    assert_eq!(read_all(&mut opened.reader, 1).0, entries(1, 6));
    drop(opened);
    let (opened, visited) = home.open();
    assert_eq!((visited, opened.recovery.tail), (entries(1, 6), Vec::new()));
    assert_eq!(opened.recovery.state, Some(state(2)));
    assert!(opened.recovery.damage.is_empty() && opened.recovery.torn.is_none());
}

#[test]
fn an_entry_cannot_be_appended_twice() {
    let home = Home::new(8);
    let (mut opened, _) = home.open();
    opened.appender.append(&entries(1, 2), None).unwrap();
    assert!(matches!(opened.appender.append(&entries(2, 1), None), Err(AppendError::Io(_))));
}

#[test]
fn a_reader_stops_at_its_limits_and_goes_on_where_it_stopped() {
    let home = Home::new(40);
    let (mut opened, _) = home.open();
    let written = entries(1, 2_000);
    for group in written.chunks(17) {
        opened.appender.append(group, None).unwrap();
    }
    assert!(opened.appender.usage().segments > 3);
    let mut next = 1;
    let mut read = Vec::new();
    let mut reader = opened.reader.clone();
    while next <= 2_000 {
        let before = read.len();
        let on = reader.read(next, 10, usize::MAX, &mut read).unwrap();
        assert!(on.lost.is_empty(), "{:?}", on.lost);
        assert_eq!(read.len() - before, 3.min(2_000 - before), "rows of three entries fit");
        next = on.next;
    }
    assert_eq!(read, written);
    let mut one = Vec::new();
    assert_eq!(reader.read(1_500, 0, 0, &mut one).unwrap().next, 1_501, "at least one");
    assert_eq!(one, written[1_499..1_500]);
    let mut none = Vec::new();
    assert_eq!(reader.read(2_001, 10, 10, &mut none).unwrap(), ReadOn { next: 2_001, lost: Vec::new() });
    opened.appender.append(&entries(2_001, 1), None).unwrap();
    assert_eq!(read_all(&mut reader, 2_001).0, entries(2_001, 1), "what came since");
}

#[test]
fn an_entry_larger_than_a_segments_rest_goes_into_the_next_and_one_larger_than_a_segment_is_refused() {
    let home = Home::new(16);
    let (mut opened, _) = home.open();
    let large: Vec<_> = (0..6).map(|n| entry(n + 1, n * 400, 400)).collect();
    opened.appender.append(&large, Some(&state(1))).unwrap();
    assert_eq!(read_all(&mut opened.reader, 1).0, large, "in several segments");
    assert!(opened.appender.append(&[entry(7, 2_400, 2_000)], None).is_err());
    opened.appender.append(&[entry(7, 2_400, 1)], None).unwrap();
    assert_eq!(read_all(&mut opened.reader, 7).0.len(), 1);
}

#[test]
fn a_full_journal_takes_states_for_ever_and_entries_again_when_it_is_recycled() {
    let home = Home::new(6);
    let (mut opened, _) = home.open();
    let mut next = 1;
    let bytes = loop {
        match opened.appender.append(&entries(next, 50), None) {
            Ok(()) => next += 50,
            Err(AppendError::Full { bytes, max_bytes }) => {
                assert_eq!(max_bytes, 6 * SEGMENT_BYTES);
                break bytes;
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(bytes, 4 * SEGMENT_BYTES, "all but the two that are kept for states");
    for _ in 0..2_000 {
        opened.appender.append(&[], Some(&state(next - 100))).unwrap();
        assert!(opened.appender.usage().bytes <= 6 * SEGMENT_BYTES);
    }
    assert!(opened.appender.append(&entries(next, 1), None).is_err());
    assert!(opened.appender.recycle(next - 100).unwrap() >= 2);
    opened.appender.append(&entries(next, 50), None).unwrap();
    let (read, on) = read_all(&mut opened.reader, next - 100);
    assert_eq!((read, on.lost), (entries(next - 100, 150), Vec::new()));
    drop(opened);
    let (opened, visited) = home.open();
    assert!(opened.recovery.damage.is_empty(), "{:?}", opened.recovery.damage);
    assert_eq!(visited.last().unwrap().number, next + 49);
    assert_eq!(opened.recovery.first_number, visited[0].number);
    assert_eq!(opened.recovery.state, Some(state(next - 100)));
}

#[test]
fn restarts_take_no_room_worth_naming() {
    let home = Home::new(8);
    for number in 1..=50 {
        let (mut opened, visited) = home.open();
        assert_eq!(visited.len() + opened.recovery.tail.len(), usize::try_from(number).unwrap() - 1);
        opened.appender.append(&opened.recovery.tail, Some(&state(1))).unwrap();
        opened.appender.append(&entries(number, 1), None).unwrap();
    }
    let (opened, _) = home.open();
    assert!(opened.recovery.bytes < 6 * SEGMENT_BYTES, "{} bytes", opened.recovery.bytes);
}

#[test]
fn damage_in_the_middle_costs_what_it_hits_and_is_named() {
    let home = Home::new(8);
    let written = entries(1, 9);
    let (mut opened, _) = home.open();
    for entry in &written {
        opened.appender.append(std::slice::from_ref(entry), None).unwrap();
    }
    drop(opened);
    let file = home.segments()[0].clone();
    let bytes = fs::read(&file).unwrap();
    let id = b"customer-0004-01";
    let at = bytes.windows(id.len()).position(|window| window == id).unwrap();
    flip(&file, at);
    let (mut opened, visited) = home.open();
    assert_eq!(visited.iter().map(|entry| entry.number).collect::<Vec<_>>(), [1, 2, 3, 5, 6, 7, 8, 9]);
    let [damage] = &opened.recovery.damage[..] else { panic!("{:?}", opened.recovery.damage) };
    assert_eq!((damage.first_number, damage.end_number), (4, 5));
    assert_eq!((damage.first_identity, damage.end_identity), (9, 12));
    assert_eq!(damage.segment, file);
    assert!((damage.from_byte..damage.to_byte).contains(&(at as u64)), "{damage:?}");
    let (read, on) = read_all(&mut opened.reader, 1);
    assert_eq!(read.len(), 8);
    assert_eq!(on.lost, opened.recovery.damage);
    let mut into = Vec::new();
    let on = opened.reader.read(4, 1, 1, &mut into).unwrap();
    assert_eq!((into[0].number, on.next, on.lost.len()), (5, 6, 1));
}

#[test]
fn a_lost_segment_is_named_by_its_numbers() {
    let home = Home::new(40);
    let (mut opened, _) = home.open();
    for group in entries(1, 800).chunks(10) {
        opened.appender.append(group, Some(&state(1))).unwrap();
    }
    drop(opened);
    let files = home.segments();
    assert!(files.len() >= 3);
    fs::remove_file(&files[1]).unwrap();
    let (opened, visited) = home.open();
    let [damage] = &opened.recovery.damage[..] else { panic!("{:?}", opened.recovery.damage) };
    assert_eq!(damage.segment, files[1]);
    let held = visited.len() + opened.recovery.tail.len();
    assert_eq!(held as u64 + damage.end_number - damage.first_number, 800);
    assert_eq!(damage.first_identity, (damage.first_number - 1) * 3);
    assert_eq!(damage.end_identity, (damage.end_number - 1) * 3);
    fs::remove_file(&files[0]).unwrap();
    let (opened, visited) = home.open();
    assert_eq!(opened.recovery.damage[0].first_number, 1, "at the front too");
    assert_eq!(opened.recovery.damage[0].end_number, visited[0].number);
}

#[test]
fn a_segment_without_its_beginning_is_read_all_the_same() {
    let home = Home::new(8);
    let (mut opened, _) = home.open();
    opened.appender.append(&entries(1, 3), Some(&state(1))).unwrap();
    opened.appender.append(&entries(4, 1), None).unwrap();
    drop(opened);
    flip(&home.segments()[0], 3);
    let (opened, visited) = home.open();
    assert_eq!(visited, entries(1, 4));
    assert!(opened.recovery.damage.is_empty());
}

#[test]
fn another_version_is_refused_and_left_alone() {
    let home = Home::new(8);
    let (mut opened, _) = home.open();
    opened.appender.append(&entries(1, 1), None).unwrap();
    drop(opened);
    let file = home.segments()[0].clone();
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&file, &bytes).unwrap();
    let refused = open(&home.settings(), &mut |_| {}).unwrap_err();
    assert!(matches!(&refused, OpenError::Version { found: 2, .. }), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), bytes);
}
