//! `loadtest dynamodb-stub` as a process, with the daemon's own commands against it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests: what is unexpected should stop right there"
)]
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// The stub, up; dropped, it is gone.
struct Stub {
    child: Child,
    out: BufReader<ChildStdout>,
    endpoint: String,
}

impl Stub {
    fn start(directory: &Path, more: &[&str]) -> Self {
        let ready = directory.join("ready");
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
        command.args(["dynamodb-stub", "--listen", "127.0.0.1:0", "--ready-file"]).arg(&ready).args(more);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let endpoint = line.split(' ').next().unwrap().to_owned();
        assert!(endpoint.starts_with("http://127.0.0.1:"), "{line}");
        Self { child, out, endpoint }
    }

    /// Ends it as an operator would; answers its exit code and what it said.
    fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let mut said = String::new();
        self.out.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon's program, where it was built beside this one.
fn beacond() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("beacond");
    let is_there = program.is_file();
    if !is_there {
        println!("SKIPPED: there is no beacond beside loadtest, `cargo build --bin beacond` makes it");
    }
    is_there.then_some(program)
}

fn run(program: &Path, directory: &Path, endpoint: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let config = directory.join("beacond.toml");
    let data = directory.join("data");
    let text = "[stores]\nrecord = \"sqlite\"\nevents = \"dynamodb\"\n";
    std::fs::write(&config, text).unwrap();
    let Output { status, stdout, stderr } = Command::new(program)
        .args(arguments)
        .arg("--config")
        .arg(&config)
        .arg("--data-dir")
        .arg(data)
        .env("BEACOND_DYNAMODB_ENDPOINT", endpoint)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "eu-west-1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (status.code(), said)
}

#[test]
fn it_ends_with_a_summary() {
    let directory = tempfile::tempdir().unwrap();
    for signal in ["-INT", "-TERM"] {
        let stub = Stub::start(directory.path(), &["--throttle", "10%,every 5s for 1s", "--delay", "1ms"]);
        let endpoint = stub.endpoint.clone();
        let (code, said) = stub.end(signal);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.starts_with("requests") && said.contains("CustomerEvents holds 0 items"), "{said}");
        assert_eq!(std::fs::read_to_string(directory.path().join("ready")).unwrap().trim(), endpoint);
    }
}

#[test]
fn an_address_that_is_taken_and_a_rule_that_is_none_are_told_in_one_line() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stub = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_loadtest")).arg("dynamodb-stub").args(arguments).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = stub(&["--listen", &address]);
    assert_eq!(code, Some(69), "{error}");
    assert!(error.starts_with(&format!("loadtest: cannot listen on {address}: ")), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let (code, error) = stub(&["--throttle", "often"]);
    assert_eq!(code, Some(64), "{error}");
    assert!(error.contains("\"often\" is not understood"), "{error}");
}

#[test]
fn the_daemons_own_commands_find_it_right() {
    let Some(beacond) = beacond() else { return };
    let directory = tempfile::tempdir().unwrap();
    let stub = Stub::start(directory.path(), &[]);
    let (code, said) = run(&beacond, directory.path(), &stub.endpoint, &["migrate", "--create-dynamodb"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("DetectedAtIndex made"), "the table is there from the start: {said}");
    let (code, said) = run(&beacond, directory.path(), &stub.endpoint, &["check"]);
    assert_eq!(code, Some(0), "{said}");
    for part in ["reachable", "table", "index", "TTL", "suffixes"] {
        assert!(said.contains(&format!("dynamodb {part}")), "{part}: {said}");
    }
    let (_, said) = stub.end("-TERM");
    assert!(said.contains("CustomerEvents holds 1 items"), "the record of N: {said}");
}

#[test]
fn a_table_is_made_where_there_is_none() {
    let Some(beacond) = beacond() else { return };
    let directory = tempfile::tempdir().unwrap();
    let stub = Stub::start(directory.path(), &["--empty"]);
    let (code, said) = run(&beacond, directory.path(), &stub.endpoint, &["migrate", "--create-dynamodb"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("DetectedAtIndex made") && said.contains("TTL turned on"), "{said}");
}
