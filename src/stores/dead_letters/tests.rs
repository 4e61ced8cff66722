//! Tests of the dead letters' file: what is kept, what is cut, and what is claimed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::domain::confidence::Confidence;
use crate::domain::customer::CustomerId;
use crate::domain::identity::CustomerIdentity;
use crate::domain::preference::PreferenceChange;
use crate::domain::time::Timestamp;
use crate::ports::Block;

const ROOMY_BYTES: u64 = 1 << 20;

fn identity(customer: &str, confidence: f64) -> CustomerIdentity {
    CustomerIdentity {
        customer_id: CustomerId::from_bytes(customer.as_bytes()).unwrap(),
        beacon_id: "0db9ba02-25ee-562c-9dee-7afcb156cfba".parse().unwrap(),
        location: Some("Table \"3\"".parse().unwrap()),
        confidence: Confidence::from_stored(confidence).unwrap(),
        detected_at: Timestamp::from_micros(1_777_636_800_000_001),
    }
}

fn letter(block: Block) -> DeadLetter {
    DeadLetter {
        store: "PostgreSQL",
        reason: "a value\nit does not take".to_owned(),
        entry: 1,
        row: 0,
        at: Timestamp::from_micros(1_777_636_900_000_000),
        block: Arc::new(block),
    }
}

fn of_identity(customer: &str) -> DeadLetter {
    letter(Block { identities: vec![identity(customer, 0.9)], preferences: Vec::new() })
}

fn of_entry(entry: u64, customer: &str) -> DeadLetter {
    DeadLetter { entry, ..of_identity(customer) }
}

fn open(dir: &TempDir) -> (DeadLetterFile, OpenedLetters) {
    DeadLetterFile::open(dir.path(), ROOMY_BYTES).unwrap()
}

fn read(dir: &TempDir) -> Vec<Result<KeptLetter, DamagedLetter>> {
    list(dir.path()).unwrap().map(Result::unwrap).collect()
}

fn customers(dir: &TempDir) -> Vec<String> {
    let of = |letter: KeptLetter| letter.block.identities[0].customer_id.as_str().to_owned();
    read(dir).into_iter().filter_map(Result::ok).map(of).collect()
}

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join(DEAD_LETTERS_FILE)
}

fn append(dir: &TempDir, bytes: &[u8]) {
    OpenOptions::new().append(true).open(file(dir)).unwrap().write_all(bytes).unwrap();
}

#[test]
fn letters_read_back_as_they_were_kept() {
    let dir = TempDir::new().unwrap();
    let pairs = [(&b"k"[..], &b"1"[..]), (b"k", "\u{1f642}\n".as_bytes())];
    let change = PreferenceChange::from_claim(b"bob", Timestamp::from_micros(-1), pairs.into_iter()).unwrap();
    let mut nameless = identity("alice", 0.880_797_1);
    nameless.location = None;
    let letters = [
        letter(Block { identities: vec![nameless], preferences: Vec::new() }),
        letter(Block { identities: Vec::new(), preferences: vec![change] }),
    ];
    let (kept, _) = open(&dir);
    for letter in &letters {
        kept.keep(letter).unwrap();
    }
    for (read, kept) in read(&dir).into_iter().zip(&letters) {
        let read = read.unwrap();
        assert_eq!((read.store.as_str(), &read.reason, read.at), (kept.store, &kept.reason, kept.at));
        assert_eq!((read.entry, read.row), (Some(kept.entry), Some(kept.row)));
        assert_eq!(read.block, *kept.block);
    }
    drop(kept);
    let (kept, opened) = open(&dir);
    assert_eq!(opened, OpenedLetters { letters: 2, damaged: 0, cut_bytes: 0 });
    assert_eq!(kept.counts().letters, 2);
}

#[test]
fn a_line_is_json_that_others_can_read() {
    let dir = TempDir::new().unwrap();
    open(&dir).0.keep(&of_identity("alice")).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&fs::read(file(&dir)).unwrap()).unwrap();
    let expected = serde_json::json!({
        "store": "PostgreSQL",
        "entry": 1,
        "row": 0,
        "reason": "a value\nit does not take",
        "at": "2026-05-01T12:01:40.000000Z",
        "identities": [{
            "customer_id": "alice",
            "beacon_id": "0db9ba02-25ee-562c-9dee-7afcb156cfba",
            "location": "Table \"3\"",
            "confidence": 0.9,
            "detected_at": "2026-05-01T12:00:00.000001Z",
        }],
    });
    assert_eq!(value, expected);
}

#[test]
fn the_file_is_its_owners_alone() {
    let dir = TempDir::new().unwrap();
    open(&dir).0.keep(&of_identity("alice")).unwrap();
    assert_eq!(fs::metadata(file(&dir)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_torn_last_line_is_cut_wherever_it_was_torn() {
    let dir = TempDir::new().unwrap();
    let (kept, _) = open(&dir);
    kept.keep(&of_identity("alice")).unwrap();
    let good = fs::read(file(&dir)).unwrap();
    drop(kept);
    for torn in 1..good.len() {
        fs::write(file(&dir), [&good[..], &good[..torn]].concat()).unwrap();
        assert_eq!(customers(&dir), ["alice"], "an unfinished line is not listed");
        let (kept, opened) = open(&dir);
        assert_eq!(opened, OpenedLetters { letters: 1, damaged: 0, cut_bytes: torn as u64 });
        kept.keep(&of_identity("bob")).unwrap();
        assert_eq!(customers(&dir), ["alice", "bob"]);
        assert_eq!(kept.counts().bytes, fs::metadata(file(&dir)).unwrap().len());
    }
    // Longer than one look from the end, and with no finished line before it.
    fs::write(file(&dir), vec![b'x'; 200_000]).unwrap();
    assert_eq!(open(&dir).1.cut_bytes, 200_000);
}

#[test]
fn damaged_lines_stay_and_are_counted() {
    let dir = TempDir::new().unwrap();
    let (kept, _) = open(&dir);
    kept.keep(&of_identity("alice")).unwrap();
    append(&dir, b"{\"store\":\"PostgreSQL\"}\n\xff\xfe\n\n");
    append(&dir, &vec![b'x'; 3 << 20]);
    append(&dir, b"\n");
    drop(kept);
    let (kept, opened) = DeadLetterFile::open(dir.path(), 4 << 20).unwrap();
    assert_eq!(opened, OpenedLetters { letters: 1, damaged: 4, cut_bytes: 0 });
    kept.keep(&of_identity("bob")).unwrap();
    assert_eq!(customers(&dir), ["alice", "bob"]);
    let damaged: Vec<u64> =
        read(&dir).into_iter().filter_map(Result::err).map(|letter| letter.line).collect();
    assert_eq!(damaged, [2, 3, 4, 5]);
}

#[test]
fn full_is_said_with_the_file_and_the_bound_and_nothing_is_written() {
    let dir = TempDir::new().unwrap();
    open(&dir).0.keep(&of_identity("alice")).unwrap();
    let bytes = fs::metadata(file(&dir)).unwrap().len();
    let (kept, _) = DeadLetterFile::open(dir.path(), 2 * bytes).unwrap();
    kept.keep(&of_entry(2, "alice")).unwrap();
    let error = kept.keep(&of_entry(3, "alice")).unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, StoreError::Unavailable { .. }));
    assert!(said.contains(DEAD_LETTERS_FILE) && said.contains(&format!("at most {}", 2 * bytes)), "{said}");
    assert!(!said.contains("alice"));
    assert_eq!(fs::metadata(file(&dir)).unwrap().len(), 2 * bytes);
    assert_eq!(kept.counts().letters, 2);
}

#[test]
fn after_a_failed_write_nothing_of_it_is_there_and_the_next_one_works() {
    let dir = TempDir::new().unwrap();
    let (kept, _) = open(&dir);
    kept.keep(&of_identity("alice")).unwrap();
    // A write that fails after a part of it is in the file.
    kept.state().file = Some(File::open(file(&dir)).unwrap());
    append(&dir, b"{\"store\":\"Pos");
    assert!(kept.keep(&of_identity("bob")).is_err());
    assert_eq!(kept.counts().letters, 1);
    kept.keep(&of_identity("carol")).unwrap();
    assert_eq!(customers(&dir), ["alice", "carol"]);
    assert_eq!(kept.counts().bytes, fs::metadata(file(&dir)).unwrap().len());
}

#[test]
fn a_file_that_cannot_be_opened_again_is_tried_again() {
    let dir = TempDir::new().unwrap();
    let (kept, _) = open(&dir);
    kept.keep(&of_identity("alice")).unwrap();
    kept.state().file = None;
    let aside = dir.path().join("aside");
    fs::rename(file(&dir), &aside).unwrap();
    fs::create_dir(file(&dir)).unwrap();
    assert!(kept.keep(&of_identity("bob")).is_err());
    fs::remove_dir(file(&dir)).unwrap();
    fs::rename(&aside, file(&dir)).unwrap();
    kept.keep(&of_identity("bob")).unwrap();
    assert_eq!(customers(&dir), ["alice", "bob"]);
}

#[test]
fn where_no_letter_was_kept_none_is_listed() {
    assert!(read(&TempDir::new().unwrap()).is_empty());
}

#[test]
fn a_file_taken_away_is_begun_anew_and_no_letter_goes_with_it() {
    let dir = TempDir::new().unwrap();
    let (letters, _) = open(&dir);
    letters.keep(&of_identity("a")).unwrap();
    let path = dir.path().join(DEAD_LETTERS_FILE);
    fs::rename(&path, dir.path().join("taken")).unwrap();
    letters.keep(&of_identity("b")).unwrap();
    let kept: Vec<_> = read(&dir).into_iter().map(|letter| letter.unwrap().block).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].identities[0].customer_id.as_str(), "b");
    assert_eq!(letters.counts().letters, 1);
}

#[test]
fn a_letter_kept_twice_is_one_also_after_a_restart_and_another_row_with_its_number_is_another() {
    let dir = TempDir::new().unwrap();
    let (kept, _) = open(&dir);
    kept.keep(&of_entry(7, "alice")).unwrap();
    let again =
        DeadLetter { reason: "in other words".into(), at: Timestamp::default(), ..of_entry(7, "alice") };
    kept.keep(&again).unwrap();
    drop(kept);
    let (kept, opened) = open(&dir);
    kept.keep(&again).unwrap();
    assert_eq!((opened.letters, kept.counts().letters), (1, 1));
    // A journal begun anew counts from 1 again.
    kept.keep(&of_entry(7, "bob")).unwrap();
    kept.keep(&DeadLetter { row: 1, ..of_entry(7, "alice") }).unwrap();
    kept.keep(&DeadLetter { store: "DynamoDB", ..of_entry(7, "alice") }).unwrap();
    assert_eq!(customers(&dir), ["alice", "bob", "alice", "alice"]);
}

#[test]
fn lines_of_versions_without_numbers_are_read_and_taken_out() {
    let dir = TempDir::new().unwrap();
    let (kept, _) = open(&dir);
    kept.keep(&of_identity("alice")).unwrap();
    let text = fs::read_to_string(file(&dir)).unwrap().replace("\"entry\":1,\"row\":0,", "");
    assert!(!text.contains("entry"));
    append(&dir, text.replace("alice", "bob").as_bytes());
    drop(kept);
    let (kept, opened) = open(&dir);
    assert_eq!(opened.letters, 2);
    let old = read(&dir).pop().unwrap().unwrap();
    assert_eq!((old.entry, old.row), (None, None));
    let removed = kept.remove(|letter| letter.is_ok_and(|letter| letter.id == old.id)).unwrap();
    assert_eq!((removed, customers(&dir)), (Removed { letters: 1, damaged: 0 }, vec!["alice".to_owned()]));
}

#[test]
fn what_is_taken_out_is_gone_and_the_rest_stays_as_it_was() {
    let dir = TempDir::new().unwrap();
    let (kept, _) = open(&dir);
    kept.keep(&of_identity("alice")).unwrap();
    drop(kept);
    append(&dir, b"\xff\n");
    append(&dir, &vec![b'x'; 2 << 20]);
    append(&dir, b"\n");
    let (kept, _) = DeadLetterFile::open(dir.path(), 4 << 20).unwrap();
    kept.keep(&of_entry(2, "bob")).unwrap();
    kept.keep(&of_entry(3, "carol")).unwrap();
    let before = fs::read(file(&dir)).unwrap();
    let is = |customer: &'static str| {
        move |letter: Result<&KeptLetter, &DamagedLetter>| {
            letter.is_ok_and(|letter| letter.block.identities[0].customer_id.as_str() == customer)
        }
    };
    assert_eq!(kept.remove(is("nobody")).unwrap(), Removed::default());
    assert_eq!(fs::read(file(&dir)).unwrap(), before, "nothing to take out");
    assert_eq!(kept.remove(is("bob")).unwrap(), Removed { letters: 1, damaged: 0 });
    assert_eq!(customers(&dir), ["alice", "carol"]);
    let (letters, damaged) = (kept.counts().letters, kept.counts().damaged);
    assert_eq!((letters, damaged, kept.counts().bytes), (2, 2, fs::metadata(file(&dir)).unwrap().len()));
    assert_eq!(fs::metadata(file(&dir)).unwrap().permissions().mode() & 0o777, 0o600);
    // It may come again, and others too.
    kept.keep(&of_entry(2, "bob")).unwrap();
    assert_eq!(customers(&dir), ["alice", "carol", "bob"]);
    assert_eq!(kept.remove(|_| true).unwrap(), Removed { letters: 3, damaged: 2 });
    assert_eq!(fs::metadata(file(&dir)).unwrap().len(), 0);
    kept.keep(&of_entry(2, "bob")).unwrap();
    assert_eq!(customers(&dir), ["bob"]);
}

#[test]
fn letters_are_taken_oldest_first_and_in_bounds() {
    let dir = TempDir::new().unwrap();
    let (kept, _) = open(&dir);
    for (entry, customer) in [(1, "a"), (2, "b"), (3, "c")] {
        kept.keep(&of_entry(entry, customer)).unwrap();
    }
    let entries = |skip, count, bytes| {
        let (letters, more) = kept.oldest(|letter| letter.entry != Some(2), skip, count, bytes).unwrap();
        (letters.into_iter().filter_map(|letter| letter.entry).collect::<Vec<_>>(), more)
    };
    assert_eq!(entries(0, 10, 1 << 20), (vec![1, 3], false));
    assert_eq!(entries(0, 1, 1 << 20), (vec![1], true));
    assert_eq!(entries(1, 1, 1 << 20), (vec![3], false));
    assert_eq!(entries(0, 10, 1), (vec![1], true), "one at least");
}
