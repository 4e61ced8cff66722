//! Disks that cannot be written, synced or read: what the journal then says, and that it goes on.

use std::sync::Arc;

use super::faulty::Disk;
use super::sample::{entries, state};
use crate::journal::{AppendError, JournalEntry, JournalSettings, Opened, open_on};

const SEGMENT_BYTES: u64 = 16 * 4096;
const MAX_BYTES: u64 = 8 * SEGMENT_BYTES;

fn open(disk: &Disk) -> (Opened, Vec<Arc<JournalEntry>>) {
    let settings =
        JournalSettings { directory: "journal".into(), segment_bytes: SEGMENT_BYTES, max_bytes: MAX_BYTES };
    let mut visited = Vec::new();
    let opened = open_on(Arc::new(disk.clone()), &settings, &mut |entry| visited.push(entry)).unwrap();
    (opened, visited)
}

/// Everything a journal holds, durable or in its tail.
fn held(disk: &Disk) -> Vec<Arc<JournalEntry>> {
    let (opened, mut visited) = open(disk);
    assert!(opened.recovery.damage.is_empty(), "{:?}", opened.recovery.damage);
    visited.extend(opened.recovery.tail);
    visited
}

#[test]
fn what_could_not_be_synced_goes_into_another_segment_and_survives_there() {
    let disk = Disk::default();
    let (mut opened, _) = open(&disk);
    opened.appender.append(&entries(1, 2), Some(&state(1))).unwrap();
    disk.set_faults(|faults| faults.syncs = 1);
    assert!(matches!(opened.appender.append(&entries(3, 2), None), Err(AppendError::Io(_))));
    let mut none = Vec::new();
    opened.reader.read(3, 10, 10, &mut none).unwrap();
    assert_eq!(none, [], "what failed is not read");
    opened.appender.append(&entries(3, 3), None).unwrap();
    assert_eq!(disk.segments().len(), 2);
    opened.reader.read(3, 10, 1_000, &mut none).unwrap();
    assert_eq!(none, entries(3, 3));
    drop(opened);
    for seed in 1..20 {
        disk.lose_power(seed);
        assert_eq!(held(&disk), entries(1, 5));
    }
}

#[test]
fn undone_entries_do_not_come_back_behind_those_that_took_their_numbers() {
    let disk = Disk::default();
    let (mut opened, _) = open(&disk);
    opened.appender.append(&entries(1, 2), Some(&state(1))).unwrap();
    disk.set_faults(|faults| faults.syncs = 1);
    opened.appender.append(&entries(3, 5), None).unwrap_err();
    opened.appender.append(&entries(3, 1), None).unwrap();
    drop(opened);
    assert_eq!(held(&disk), entries(1, 3));
}

#[test]
fn syncs_that_fail_for_long_take_no_room() {
    let disk = Disk::default();
    let (mut opened, _) = open(&disk);
    opened.appender.append(&entries(1, 2), Some(&state(1))).unwrap();
    for _ in 0..100 {
        disk.set_faults(|faults| faults.syncs = 2);
        assert!(matches!(opened.appender.append(&entries(3, 2), None), Err(AppendError::Io(_))));
    }
    disk.mend();
    opened.appender.append(&entries(3, 2), None).unwrap();
    assert!(disk.segments().len() <= 3, "{:?}", disk.segments());
    drop(opened);
    assert_eq!(held(&disk), entries(1, 4));
}

#[test]
fn a_disk_that_is_full_or_read_only_is_opened_and_written_when_it_can_be() {
    let disk = Disk::default();
    disk.set_faults(|faults| faults.full = true);
    let (mut opened, _) = open(&disk);
    let refused = opened.appender.append(&entries(1, 1), None).unwrap_err();
    assert!(matches!(refused, AppendError::Io(_)), "{refused}");
    disk.set_faults(|faults| (faults.full, faults.read_only) = (false, true));
    assert!(opened.appender.append(&entries(1, 1), None).is_err());
    disk.mend();
    opened.appender.append(&entries(1, 1), None).unwrap();
    drop(opened);
    disk.set_faults(|faults| faults.read_only = true);
    assert_eq!(held(&disk), entries(1, 1));
}

#[test]
fn what_the_disk_cannot_read_is_damage_like_any_other() {
    let disk = Disk::default();
    let (mut opened, _) = open(&disk);
    for entry in entries(1, 40) {
        opened.appender.append(&[entry], None).unwrap();
    }
    drop(opened);
    disk.set_faults(|faults| faults.unreadable = true);
    let (opened, visited) = open(&disk);
    let [damage] = &opened.recovery.damage[..] else { panic!("{:?}", opened.recovery.damage) };
    assert!(damage.from_byte <= 4096 && (2 * 4096..3 * 4096).contains(&damage.to_byte), "{damage:?}");
    assert_eq!(visited.len() as u64 + damage.end_number - damage.first_number, 40);
}

#[test]
fn recycled_files_are_written_over_and_nothing_of_their_past_comes_back() {
    let disk = Disk::default();
    let (mut opened, _) = open(&disk);
    let mut next = 1;
    for _ in 0..60 {
        opened.appender.append(&entries(next, 40), Some(&state(next))).unwrap();
        next += 40;
        opened.appender.recycle(next - 40).unwrap();
        assert!(disk.bytes() <= 5 * SEGMENT_BYTES);
    }
    drop(opened);
    let held = held(&disk);
    assert_eq!(held.last().unwrap().number, next - 1);
    assert_eq!(held, entries(held[0].number, next - held[0].number));
}
