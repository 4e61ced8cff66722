//! Opening: the settings that durability needs, and one clear line when the file cannot be opened.

use std::fs;
use std::sync::{Arc, Barrier};

use beacond::stores::sqlite::{FILE_NAME, OpenError, SqliteAdmin, SqliteReader, SqliteWriter};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::scene::{Scene, beacon};

#[track_caller]
fn assert_clear(error: &OpenError, words: &str) {
    let line = error.to_string();
    assert!(line.contains(FILE_NAME) && line.contains(words) && !line.contains('\n'), "{line}");
}

#[test]
fn the_directory_is_made_with_a_file_in_wal_mode() {
    let dir = TempDir::new().unwrap();
    let data_dir = dir.path().join("a").join("b");
    let _writer = SqliteWriter::open(&data_dir).unwrap();
    let plain = Connection::open(data_dir.join(FILE_NAME)).unwrap();
    let mode: String = plain.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn opening_again_keeps_what_is_there() {
    let scene = Scene::with_beacons();
    drop(scene.writer());
    assert_eq!(scene.admin().beacons().unwrap().len(), 4);
}

#[test]
fn several_may_make_the_file_at_once() {
    let dir = TempDir::new().unwrap();
    let start = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let (data_dir, start) = (dir.path().to_owned(), Arc::clone(&start));
            std::thread::spawn(move || {
                start.wait();
                let mut admin = SqliteAdmin::open(&data_dir)?;
                admin.import_beacons(&[beacon(number)]).unwrap();
                Ok::<_, OpenError>(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    assert_eq!(SqliteAdmin::open(dir.path()).unwrap().beacons().unwrap().len(), 4);
}

#[test]
fn a_file_of_a_newer_version_is_refused_by_all() {
    let scene = Scene::with_beacons();
    let sql = "INSERT INTO refinery_schema_history VALUES (9000, 'future', '2030-01-01T00:00:00Z', '1')";
    scene.plain().execute(sql, []).unwrap();
    let dir = scene.dir.path();
    let errors = [
        SqliteWriter::open(dir).unwrap_err(),
        SqliteReader::open(dir).unwrap_err(),
        SqliteAdmin::open(dir).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, OpenError::NewerSchema { found: 9000, known: 2, .. }), "{error}");
        assert_clear(&error, "use a newer beacond");
    }
    assert_eq!(scene.count("beacons"), 4);
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join(FILE_NAME);
    let garbage = "no database ".repeat(1000);
    fs::write(&file, &garbage).unwrap();
    assert_clear(&SqliteWriter::open(dir.path()).unwrap_err(), "it is not an SQLite file");
    assert_eq!(fs::read_to_string(&file).unwrap(), garbage);
    fs::remove_file(&file).unwrap();
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE accounts (id INTEGER)").unwrap();
    assert_clear(&SqliteWriter::open(dir.path()).unwrap_err(), "tables that beacond did not make");
    let tables: i64 = Connection::open(&file)
        .unwrap()
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn a_place_where_no_file_can_be_is_named() {
    let dir = TempDir::new().unwrap();
    let taken = dir.path().join("file");
    fs::write(&taken, "").unwrap();
    assert_clear(&SqliteWriter::open(&taken).unwrap_err(), "its directory cannot be made");
    fs::create_dir(dir.path().join(FILE_NAME)).unwrap();
    assert_clear(&SqliteWriter::open(dir.path()).unwrap_err(), "it is a directory");
}

#[test]
fn a_reader_needs_a_file_that_was_made() {
    let dir = TempDir::new().unwrap();
    let missing = SqliteReader::open(dir.path()).unwrap_err();
    assert!(matches!(missing, OpenError::Unreachable { .. }), "{missing}");
    assert_clear(&missing, "it does not exist");
    fs::write(dir.path().join(FILE_NAME), "").unwrap();
    let empty = SqliteReader::open(dir.path()).unwrap_err();
    assert!(matches!(empty, OpenError::OlderSchema { found: 0, known: 2, .. }), "{empty}");
}
