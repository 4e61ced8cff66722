//! Locks, full disks and kills: what is said to be committed is there, what is said not to be is not.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use beacond::ports::{BatchWriter, Block, Delivery, WriteError};
use beacond::stores::sqlite::{BUSY_TIMEOUT, SqliteReader, SqliteWriter};
use rusqlite::Connection;

use crate::scene::{Scene, identified, identity};

/// Where the test binary, started again as a process to be failed or killed, finds its store.
const DATA_DIR: &str = "BEACOND_TEST_DATA_DIR";

const ROWS: i64 = 500;

fn batch(number: i64) -> [Arc<Block>; 1] {
    let identities = (0..ROWS).map(|row| identity(&format!("{number}-{row}"), number, 0)).collect();
    [identified(identities)]
}

/// How many rows each batch has in the file, by its number.
fn rows_of_batches(connection: &Connection) -> Vec<(i64, i64)> {
    let mut statement = connection
        .prepare(
            "SELECT CAST(customer_id AS INTEGER), count(*) FROM customer_identities
             GROUP BY 1 ORDER BY 1",
        )
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn assert_whole(scene: &Scene, batches: i64) {
    let found = rows_of_batches(&scene.plain());
    assert_eq!(found, (0..batches).map(|number| (number, ROWS)).collect::<Vec<_>>());
    assert_eq!(scene.one::<String>("PRAGMA integrity_check", []), "ok");
}

#[test]
fn a_lock_held_elsewhere_fails_a_write_in_bounded_time_and_the_next_write_succeeds() {
    let scene = Scene::with_beacons();
    let mut writer = scene.writer();
    let lock = scene.plain();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = Instant::now();
    let error = writer.write(&batch(0), Delivery::First).unwrap_err();
    assert!(started.elapsed() < 2 * BUSY_TIMEOUT, "{:?}", started.elapsed());
    assert!(matches!(error, WriteError::Unavailable(_)), "{error}");
    assert_eq!(scene.count("customer_identities"), 0);
    lock.execute_batch("ROLLBACK").unwrap();
    writer.write(&batch(0), Delivery::First).unwrap();
    assert_whole(&scene, 1);
}

#[test]
fn a_batch_whose_commit_failed_half_way_is_whole_when_it_is_written_again() {
    let scene = Scene::with_beacons();
    let test = "failing::process_whose_files_may_not_grow";
    // In the smaller of the units that shells count in, 8192 are 4 MiB: some batches, then an error in a commit.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8192; exec \"$0\" --ignored --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(DATA_DIR, scene.dir.path())
        .status()
        .unwrap();
    assert!(status.success());
    let committed = i64::try_from(rows_of_batches(&scene.plain()).len()).unwrap();
    assert!(committed > 0);
    assert_whole(&scene, committed);
    scene.writer().write(&batch(committed), Delivery::Again).unwrap();
    assert_whole(&scene, committed + 1);
}

#[test]
#[ignore = "a process of the test above"]
fn process_whose_files_may_not_grow() {
    let data_dir = PathBuf::from(std::env::var(DATA_DIR).unwrap());
    let mut writer = SqliteWriter::open(&data_dir).unwrap();
    // Holds the WAL open when the writer gives its connection up, as in a daemon.
    let _reader = SqliteReader::open(&data_dir).unwrap();
    let (number, error) = (0..100)
        .find_map(|number| Some((number, writer.write(&batch(number), Delivery::First).err()?)))
        .unwrap();
    assert!(matches!(error, WriteError::Unavailable(_)), "{error}");
    // What is in the WAL goes into the database first, and leaves its place to this.
    writer.write(&batch(number), Delivery::Again).unwrap();
}

#[test]
fn a_killed_writer_leaves_whole_batches_and_all_that_it_said_were_committed() {
    let scene = Scene::with_beacons();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "failing::process_that_is_killed"])
        .env(DATA_DIR, scene.dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<String> = lines.filter(|line| line.starts_with("committed")).take(10).collect();
    assert_eq!(said.len(), 10);
    child.kill().unwrap();
    child.wait().unwrap();
    let committed = i64::try_from(rows_of_batches(&scene.plain()).len()).unwrap();
    assert!(committed >= 10, "{committed}");
    assert_whole(&scene, committed);
}

#[test]
#[ignore = "a process of the test above"]
fn process_that_is_killed() {
    let mut writer = SqliteWriter::open(&PathBuf::from(std::env::var(DATA_DIR).unwrap())).unwrap();
    for number in 0.. {
        writer.write(&batch(number), Delivery::First).unwrap();
        println!("\ncommitted {number}");
    }
}
