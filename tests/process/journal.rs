//! `beacond journal`: what waits is shown, damage is found and named, and a store can be forgotten.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use beacond::domain::beacon::BeaconId;
use beacond::domain::block::Block;
use beacond::domain::confidence::Confidence;
use beacond::domain::customer::CustomerId;
use beacond::domain::frame::{AckLevel, FrameId, FrameMark};
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::time::Timestamp;
use beacond::journal::{EntryKind, JournalEntry, JournalSettings, JournalState, StoreCursor, open};
use serde_json::Value;

use crate::harness::home::Home;

const DATA: i32 = 65;
const USAGE: i32 = 64;
const CANNOT_CREATE: i32 = 73;
const SEGMENT_BYTES: u64 = 4 << 20;

fn home() -> Home {
    let toml = format!("[journal]\nsegment_bytes = {SEGMENT_BYTES}\nmax_bytes = {}\n", 16 * SEGMENT_BYTES);
    Home::configured(Some(&toml), Vec::new())
}

fn entry(number: u64) -> Arc<JournalEntry> {
    let identity = |index: u64| CustomerIdentity {
        customer_id: CustomerId::from_bytes(format!("customer-{number}-{index}").as_bytes()).unwrap(),
        beacon_id: BeaconId::from_bytes([7; 16]),
        location: None,
        confidence: Confidence::from_stored(0.9).unwrap(),
        detected_at: Timestamp::from_micros(1_700_000_000_000_000),
    };
    let id = FrameId { gateway: "door".parse().unwrap(), boot_epoch: 4, sequence: number, checksum: 9 };
    Arc::new(JournalEntry {
        number,
        first_identity: (number - 1) * 2,
        accepted_at: Timestamp::from_micros(1_700_000_000_000_000),
        kind: EntryKind::Frame(FrameMark { id, complete: true, level: AckLevel::Journal, answered_up_to: 0 }),
        block: Arc::new(Block { identities: (0..2).map(identity).collect(), preferences: Vec::new() }),
    })
}

/// Writes entries 1 to 6; `sqlite` has not finished 5, `dynamodb` not 3.
fn write(home: &Home) {
    fs::create_dir_all(home.data()).unwrap();
    let cursor =
        |name: &str, next| StoreCursor { name: name.to_owned(), next, first_identity: (next - 1) * 2 };
    let state = JournalState {
        stores: vec![cursor("sqlite", 5), cursor("dynamodb", 3)],
        known_from: Timestamp::from_micros(0),
        past_known: true,
    };
    let mut opened = open(&settings(home), &mut |_| {}).unwrap();
    let entries: Vec<_> = (1..=6).map(entry).collect();
    opened.appender.append(&entries, Some(&state)).unwrap();
}

fn settings(home: &Home) -> JournalSettings {
    JournalSettings {
        directory: home.data().join("journal"),
        segment_bytes: SEGMENT_BYTES,
        max_bytes: 16 * SEGMENT_BYTES,
    }
}

fn segment(home: &Home) -> PathBuf {
    let files = fs::read_dir(home.data().join("journal")).unwrap().map(|file| file.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|end| end == "segment")).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn what_waits_for_each_store_is_shown_and_customers_only_when_asked_for() {
    let home = home();
    write(&home);
    let shown = json(&home.beacond(&["journal", "inspect", "--json"]).succeeded().stdout);
    assert_eq!((&shown["entries"], &shown["identities"]), (&6.into(), &12.into()));
    assert_eq!((&shown["first_number"], &shown["next_number"]), (&1.into(), &7.into()));
    assert_eq!(shown["stores"][0]["store"], "sqlite");
    assert_eq!(shown["stores"][0]["waiting"]["identities"], 4);
    assert_eq!(shown["stores"][1]["waiting"]["entries"], 4);
    assert_eq!(shown["segments"][0]["entries"], 6);
    let text = home.beacond(&["journal", "inspect"]).succeeded().stdout;
    assert!(text.contains("sqlite: waiting from 5 on: 2 entries with 4 identities"), "{text}");
    let entries = home.beacond(&["journal", "inspect", "--entries"]).succeeded().stdout;
    assert_eq!(entries.lines().count(), 6);
    assert!(entries.contains("frame 3 of epoch 4 of gateway door") && !entries.contains("customer-"));
    let named =
        home.beacond(&["journal", "inspect", "--entries", "--customers", "--json"]).succeeded().stdout;
    let third = json(named.lines().nth(2).unwrap());
    assert_eq!(third["customers"], serde_json::json!(["customer-3-0", "customer-3-1"]));
}

#[test]
fn a_journal_that_is_not_there_is_sound() {
    let home = home();
    let verified = json(&home.beacond(&["journal", "verify", "--json"]).succeeded().stdout);
    assert_eq!((&verified["sound"], &verified["entries"]), (&true.into(), &0.into()));
}

#[test]
fn damage_is_named_with_what_is_lost_and_what_is_left_is_counted() {
    let home = home();
    write(&home);
    assert_eq!(json(&home.beacond(&["journal", "verify", "--json"]).succeeded().stdout)["sound"], true);
    let file = segment(&home);
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(12).position(|window| window == b"customer-4-1").unwrap();
    bytes[at] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let found = home.beacond(&["journal", "verify"]);
    assert_eq!(found.code, Some(DATA));
    assert!(found.stdout.contains("entries 4..5 with 2 identities"), "{}", found.stdout);
    let found = json(&home.beacond(&["journal", "verify", "--json"]).stdout);
    assert_eq!((&found["sound"], &found["entries"]), (&false.into(), &5.into()));
    assert_eq!(found["damage"][0]["segment"], file.to_str().unwrap());
    assert_eq!(
        (&found["damage"][0]["first_identity"], &found["damage"][0]["end_identity"]),
        (&6.into(), &8.into())
    );
    let range = |key: &str| found["damage"][0][key].as_u64().unwrap();
    assert!((range("from_byte")..range("to_byte")).contains(&(at as u64)));
    assert_eq!(fs::read(&file).unwrap(), bytes, "verifying changes nothing");
}

#[test]
fn a_store_is_forgotten_with_what_waited_for_it_alone() {
    let home = home();
    write(&home);
    let refused = home.beacond(&["journal", "forget-store", "redis"]).failed_in_one_line(USAGE);
    assert!(refused.contains("sqlite, dynamodb"), "{refused}");
    let said = home.beacond(&["journal", "forget-store", "dynamodb"]).succeeded().stdout;
    assert!(said.contains("4 entries with 8 identities"), "{said}");
    let shown = json(&home.beacond(&["journal", "inspect", "--json"]).succeeded().stdout);
    assert_eq!(shown["stores"].as_array().unwrap().len(), 1);
    assert_eq!((&shown["stores"][0]["store"], &shown["entries"]), (&"sqlite".into(), &6.into()));
}

#[test]
fn no_store_is_forgotten_under_a_running_daemon_which_is_named_but_it_can_be_looked_at() {
    let home = home();
    let daemon = home.serve();
    let refused = home.beacond(&["journal", "forget-store", "sqlite"]).failed_in_one_line(CANNOT_CREATE);
    assert!(refused.contains(&format!("pid {}", daemon.pid())), "{refused}");
    home.beacond(&["journal", "verify"]).succeeded();
}

#[test]
fn check_says_whether_the_journal_is_sound_and_has_room() {
    let home = home();
    home.serve().stop();
    let said = home.beacond(&["check"]).succeeded().stdout;
    let line = |part: &str| said.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{said}"));
    assert!(line("journal ").starts_with("ok") && line("journal ").contains("sound"), "{said}");
    assert!(line("room for the journal").contains("MiB free"), "{said}");

    let toml = format!("[journal]\nsegment_bytes = {SEGMENT_BYTES}\nmax_bytes = 1125899906842624\n");
    let home = Home::configured(Some(&toml), Vec::new());
    let said = home.beacond(&["check"]).succeeded().stdout;
    let room = said.lines().find(|line| line.contains("room for the journal"));
    assert!(
        room.is_some_and(|line| line.starts_with("warn") && line.contains("journal.max_bytes")),
        "{said}"
    );
}
