//! A segment that is written while somebody reads it: what is not finished yet is not taken for damage.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::faulty::Disk;
use super::sample::entries;
use crate::journal::rows::Content;
use crate::journal::scan::Scan;
use crate::journal::storage::{Storage, StorageFile};
use crate::journal::{JournalSettings, open_on};

const SEGMENT_BYTES: usize = 64 * 1024;

/// A file of which the first look sees an earlier time, up to some byte.
#[derive(Debug)]
struct Moving {
    before: Vec<u8>,
    seen_before: usize,
    now: Vec<u8>,
    looked: AtomicBool,
}

impl StorageFile for Moving {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let at = usize::try_from(at).unwrap();
        let first = at < self.seen_before && into.len() > 32 && !self.looked.swap(true, Ordering::Relaxed);
        let (bytes, end) = if first { (&self.before, self.seen_before) } else { (&self.now, self.now.len()) };
        let length = into.len().min(end - at);
        into[..length].copy_from_slice(&bytes[at..at + length]);
        Ok(length)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_with_length(&self) -> io::Result<()> {
        self.sync()
    }
}

fn bytes(disk: &Disk) -> Vec<u8> {
    let (name, length) = disk.segments().remove(0);
    let mut bytes = vec![0; length];
    let read = disk.open(&name).unwrap().read_at(&mut bytes, 0).unwrap();
    assert_eq!(read, SEGMENT_BYTES);
    bytes
}

#[test]
fn a_group_that_is_written_during_the_look_is_read_whole() {
    let disk = Disk::default();
    let settings = JournalSettings {
        directory: "journal".into(),
        segment_bytes: SEGMENT_BYTES as u64,
        max_bytes: 8 * SEGMENT_BYTES as u64,
    };
    let mut opened = open_on(std::sync::Arc::new(disk.clone()), &settings, &mut |_| {}).unwrap();
    opened.appender.append(&entries(1, 3), None).unwrap();
    let before = bytes(&disk);
    opened.appender.append(&entries(4, 20), None).unwrap();
    let now = bytes(&disk);
    let differ: Vec<usize> = (0..SEGMENT_BYTES).filter(|at| before[*at] != now[*at]).collect();
    let (first, last) = (differ[0], differ[differ.len() - 1]);
    for seen_before in (first + 1..last).step_by(97) {
        let looked = AtomicBool::new(false);
        let file = Moving { before: before.clone(), seen_before, now: now.clone(), looked };
        let (mut scan, _) = Scan::begin(Box::new(file), 1, SEGMENT_BYTES as u64);
        let mut numbers = Vec::new();
        while let Some(found) = scan.next() {
            assert_eq!(found.hole, None, "up to byte {seen_before}");
            if let Content::Entry(entry) = found.content {
                numbers.push(entry.number);
            }
        }
        // All of it, or all that was there when the look began.
        let end = if numbers.len() > 3 { 23 } else { 3 };
        assert_eq!(numbers, (1..=end).collect::<Vec<_>>(), "up to byte {seen_before}");
    }
}
