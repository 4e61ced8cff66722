//! `loadtest verify` as a process: what it says, how it ends. The evidence is written here by its own description.

#![allow(clippy::unwrap_used, reason = "helpers of tests: what is unexpected should stop right there")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use rusqlite::Connection;

const SCHEMA: &str = include_str!("../../migrations/sqlite/V1__schema.sql");
const CUSTOMERS: u32 = 1_000;
/// 2027-01-15T08:00:00Z.
const BEGAN_US: i64 = 1_800_000_000_000_000;
const PER_FRAME: usize = 50;
const IDENTIFIED: u8 = 10;
const NOT_LISTED: u8 = 255;

/// SplitMix64's finaliser, by which numbers become ids.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn customer_id(customer: u32) -> String {
    format!("{:016x}", mixed(1 << 32 | u64::from(customer)))
}

/// Of the beacon at the first table of the first store.
fn beacon_id() -> String {
    let head = mixed(2 << 32 | 2);
    uuid::Uuid::from_u64_pair(head, mixed(!head)).to_string()
}

/// One gateway tells of every customer once, each at another microsecond.
fn evidence() -> Vec<u8> {
    let scenario = format!(
        "[population]\ncustomers = {CUSTOMERS}\nstores = 1\ngateways = 1\n[sessions]\nin_flight = 1\n"
    );
    let head =
        serde_json::json!({"format": 1, "scenario": scenario, "began_at_us": BEGAN_US, "shard": [1, 1]});
    let mut records = Vec::new();
    let customers: Vec<u32> = (0..CUSTOMERS).collect();
    let mut frames = 0u64;
    for customers in customers.chunks(PER_FRAME) {
        frames += 1;
        let count = u16::try_from(customers.len()).unwrap();
        records.push(1);
        records.extend(0u32.to_le_bytes());
        records.extend(frames.to_le_bytes());
        records.push(1);
        records.extend([count, 0, count].iter().flat_map(|count| count.to_le_bytes()));
        for customer in customers {
            records.extend(customer.to_le_bytes());
            records.extend(2u32.to_le_bytes());
            records.extend(i64::from(*customer).to_le_bytes());
            records.extend((-60i8).to_le_bytes());
            records.extend([IDENTIFIED, NOT_LISTED]);
        }
    }
    let checksum = crc32c::crc32c(&records);
    let mut file = head.to_string().into_bytes();
    file.push(b'\n');
    file.extend(records);
    file.extend([2, 1]);
    file.extend(frames.to_le_bytes());
    file.extend(checksum.to_le_bytes());
    file
}

fn store(file: &Path) -> Connection {
    let store = Connection::open(file).unwrap();
    store.execute_batch(SCHEMA).unwrap();
    store
        .execute(
            "INSERT INTO beacons (beacon_id, store_id, major, minor) VALUES (?1, 'store-000001', 0, 2)",
            [beacon_id()],
        )
        .unwrap();
    let confidence = f64::from(1.0f32 / (1.0 + (-(-60.0f32 - -68.0) / 4.0).exp()));
    store.execute_batch("BEGIN").unwrap();
    for customer in 0..CUSTOMERS {
        let (id, at) = (customer_id(customer), format!("2027-01-15T08:00:00.{customer:06}Z"));
        store.execute("INSERT INTO customers (customer_id, last_seen) VALUES (?1, ?2)", (&id, &at)).unwrap();
        for table in [
            "customer_identities (customer_id, detected_at, beacon_id, location, confidence) VALUES (?1, ?2, ?3, ?4, ?5)",
            "customer_events (CustomerID, DetectedAt, BeaconID, Location, Confidence, ExpiresAt) VALUES (?1, ?2, ?3, ?4, ?5, 0)",
        ] {
            let insert = format!("INSERT INTO {table}");
            store.execute(&insert, (&id, &at, &beacon_id(), "Table 1", confidence)).unwrap();
        }
    }
    store.execute_batch("COMMIT").unwrap();
    store
}

/// Exit code, what it says, what it complains of.
fn verify(directory: &Path, words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.arg("verify").args(words).current_dir(directory).stdin(Stdio::null());
    command.env_remove("BEACOND_POSTGRES_URL");
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn what_holds_ends_with_0_and_one_row_that_is_gone_with_1() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("evidence"), evidence()).unwrap();
    let store = store(&directory.path().join("store.sqlite3"));
    let words = [".", "--sqlite", "store.sqlite3", "--wait", "0s"];
    let (code, said, complained) = verify(directory.path(), &words);
    assert_eq!((code, complained.as_str()), (0, ""), "{said}");
    assert!(said.lines().last().unwrap().starts_with("PASS: 14 of 14 checks hold"), "{said}");

    store.execute("DELETE FROM customer_events WHERE CustomerID = ?1", [customer_id(321)]).unwrap();
    let (code, said, complained) = verify(directory.path(), &words);
    assert_eq!((code, complained.as_str()), (1, ""), "{said}");
    assert!(
        said.contains("customer 321 at 2027-01-15T08:00:00.000321Z by beacon 2 (Table 1, store-000001)"),
        "{said}"
    );
    assert!(said.lines().last().unwrap().starts_with("FAIL: 10 of 14 checks hold"), "{said}");
}

#[test]
fn what_cannot_be_verified_is_one_line_and_its_own_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let whole = evidence();
    std::fs::write(directory.path().join("evidence"), &whole).unwrap();
    std::fs::write(directory.path().join("cut"), &whole[..whole.len() / 2]).unwrap();
    for (words, expected, says) in [
        (vec!["evidence"], 64, "loadtest: name a store: --sqlite, BEACOND_POSTGRES_URL"),
        (vec!["cut", "--sqlite", "store.sqlite3"], 65, "loadtest: cut: it ends too early"),
        (vec!["nowhere", "--sqlite", "store.sqlite3"], 65, "loadtest: nowhere: "),
        (vec!["evidence", "--sqlite", "nowhere.sqlite3"], 69, "loadtest: SQLite: "),
    ] {
        let (code, _, complained) = verify(directory.path(), &words);
        assert_eq!(code, expected, "{words:?}: {complained}");
        assert!(complained.starts_with(says) && complained.lines().count() == 1, "{words:?}: {complained}");
    }
    let (code, ..) = verify(directory.path(), &[]);
    assert_eq!(code, 64);
}
