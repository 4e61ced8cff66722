//! `loadtest demo` as a process, shorter than people see it.

#![allow(clippy::unwrap_used, reason = "helpers of tests: what is unexpected should stop right there")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn demo(data_dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(["demo", "--rate", "2000", "--data-dir"]).arg(data_dir).args(more).stdin(Stdio::null());
    command
}

#[test]
fn everything_sent_is_stored_and_the_store_stays() {
    let directory = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } = demo(directory.path(), &["--seconds", "2"]).output().unwrap();
    let (out, error) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!((status.code(), error.as_str()), (Some(0), ""), "{out}");
    assert!(out.lines().last().unwrap().starts_with("PASS: 11 of 11 checks hold"), "{out}");
    let database = directory.path().join("beacond.sqlite3");
    assert!(out.contains(&format!("sqlite3 {}", database.display())), "{out}");
    let store = rusqlite::Connection::open(database).unwrap();
    let count =
        |table| store.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0));
    assert!(count("customer_identities").unwrap() > 0);
    assert_eq!(count("gateways"), Ok(50));
}

#[test]
fn a_directory_with_something_in_it_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("mine.txt"), "mine").unwrap();
    let Output { status, stderr, .. } = demo(directory.path(), &[]).output().unwrap();
    assert_eq!(status.code(), Some(64));
    assert!(String::from_utf8(stderr).unwrap().contains("is not empty"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_with_what_was_reached() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = demo(directory.path(), &["--seconds", "600"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(demo.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("    1 s") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended before the first second");
    }
    let id = demo.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(130));
    assert!(rest.lines().last().unwrap().starts_with("INTERRUPTED: 11 of 11 checks hold"), "{rest}");
}
