//! Every engine is started, stopped, suspended and started again, and seen through its own protocol.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets something unexpected stops there")]

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use beacon_stack::{DynamoDb, DynamoDbEngine, Postgres, Redis, postgres_binaries};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::tempdir;

/// Long enough for an engine to answer if it could; short, as the whole of it is waited for.
const SILENCE: Duration = Duration::from_millis(200);

/// For answers that do come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Set for the process that starts an engine and is killed.
const STARTER: &str = "BEACON_STACK_TEST_STARTER";

#[test]
fn postgres_recovers_what_was_committed_before_it_was_stopped() {
    let directory = tempdir().unwrap();
    let mut postgres = Postgres::start(&directory.path().join("postgres")).unwrap();
    let (url, first) = (postgres.url(), postgres.pid());
    assert_eq!(psql(&url, "create table kept (n int); insert into kept values (7); show fsync"), "on");
    postgres.stop_immediately().unwrap();
    assert_eq!(postgres.pid(), None);
    postgres.start_again().unwrap();
    assert_eq!((postgres.url(), psql(&url, "select n from kept")), (url.clone(), "7".into()));
    postgres.stop_fast().unwrap();
    postgres.start_again().unwrap();
    assert_eq!(psql(&url, "select n from kept"), "7");
    assert_ne!(postgres.pid(), first);
}

#[test]
fn suspended_postgres_answers_no_session_until_it_is_resumed() {
    let directory = tempdir().unwrap();
    let postgres = Postgres::start(&directory.path().join("postgres")).unwrap();
    let mut session = Session::open(postgres.port());
    assert!(session.answers(PATIENCE));
    postgres.suspend().unwrap();
    assert!(!session.answers(SILENCE));
    postgres.resume().unwrap();
    assert!(session.hears(PATIENCE));
    // Dropped while it is suspended, it must not stay behind.
    postgres.suspend().unwrap();
    let (pid, data) = (postgres.pid().unwrap(), postgres.data_directory());
    drop(postgres);
    assert!(!is_running(pid));
    assert!(!data.exists());
}

#[test]
fn dropped_engine_is_gone_and_so_is_its_directory() {
    let directory = tempdir().unwrap();
    let home = directory.path().join("redis");
    let redis = Redis::start(&home).unwrap();
    let pid = redis.pid().unwrap();
    assert!(is_running(pid) && home.exists());
    drop(redis);
    assert!(!is_running(pid) && !home.exists());
}

#[test]
fn directory_with_something_in_it_is_refused_and_stays() {
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("mine"), "").unwrap();
    let refused = [Redis::start(directory.path()).err(), Postgres::start(directory.path()).err()];
    for error in refused {
        assert!(error.unwrap().to_string().ends_with("is not empty"));
    }
    assert!(directory.path().join("mine").exists());
}

#[test]
fn redis_comes_back_empty_at_the_same_address() {
    let directory = tempdir().unwrap();
    let mut redis = Redis::start(&directory.path().join("redis")).unwrap();
    let url = redis.url();
    let port = url.rsplit_once(':').unwrap().1.parse().unwrap();
    assert_eq!(ask_redis(port, "SET kept 7"), Some("+OK".into()));
    redis.suspend().unwrap();
    assert_eq!(ask_redis(port, "GET kept"), None);
    redis.resume().unwrap();
    assert_eq!(ask_redis(port, "EXISTS kept"), Some(":1".into()));
    redis.kill().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(redis.suspend().is_err());
    redis.start_again().unwrap();
    assert_eq!((redis.url(), ask_redis(port, "EXISTS kept")), (url, Some(":0".into())));
}

#[test]
fn dynoxide_keeps_its_tables_on_disk_only() {
    keeps_tables_on_disk_only(&DynamoDbEngine::dynoxide().unwrap());
}

#[test]
fn dynamodb_local_keeps_its_tables_on_disk_only() {
    let Some(engine) = DynamoDbEngine::local() else {
        println!("SKIPPED: there is no DynamoDB Local on this machine");
        return;
    };
    keeps_tables_on_disk_only(&engine);
}

/// Started a second time as a process of its own, which is the starter and is killed.
#[test]
#[cfg(target_os = "linux")]
fn engines_die_with_the_process_that_started_them() {
    if let Some(directory) = std::env::var_os(STARTER) {
        let directory = Path::new(&directory);
        let redis = Redis::start(&directory.join("redis")).unwrap();
        let postgres = Postgres::start(&directory.join("postgres")).unwrap();
        let pids = [redis.pid().unwrap(), postgres.pid().unwrap()];
        println!("\nstarted {} {} {}", pids[0], pids[1], postgres.data_directory().display());
        // Until it is killed, or whoever waits for that is gone.
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let directory = tempdir().unwrap();
    let mut starter = Command::new(std::env::current_exe().unwrap());
    starter.args(["--exact", "engines_die_with_the_process_that_started_them", "--nocapture"]);
    starter.env(STARTER, directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut starter = starter.spawn().unwrap();
    let mut lines = BufReader::new(starter.stdout.take().unwrap()).lines();
    let started = lines.find_map(|line| Some(line.unwrap().strip_prefix("started ")?.to_owned())).unwrap();
    let words: Vec<&str> = started.split(' ').collect();
    let ends: Vec<_> = words[..2]
        .iter()
        .map(|pid| pidfd_open(to_pid(pid.parse().unwrap()), PidfdFlags::empty()).unwrap())
        .collect();
    starter.kill().unwrap();
    starter.wait().unwrap();
    for end in ends {
        let mut ended = [rustix::event::PollFd::new(&end, rustix::event::PollFlags::IN)];
        let patience = rustix::event::Timespec { tv_sec: 30, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut ended, Some(&patience)).unwrap(), 1);
    }
    // Nobody was left to remove it: for root it may be outside of the directory asked for.
    fs::remove_dir_all(Path::new(words[2]).parent().unwrap()).unwrap();
}

fn keeps_tables_on_disk_only(engine: &DynamoDbEngine) {
    let directory = tempdir().unwrap();
    let in_memory = DynamoDb::start(&directory.path().join("memory"), engine).unwrap();
    let on_disk = DynamoDb::start_on_disk(&directory.path().join("disk"), engine).unwrap();
    for (mut dynamodb, kept) in [(in_memory, r#"{"TableNames":[]}"#), (on_disk, r#"{"TableNames":["kept"]}"#)]
    {
        let port = dynamodb.endpoint().rsplit_once(':').unwrap().1.parse().unwrap();
        let table = r#"{"TableName":"kept","BillingMode":"PAY_PER_REQUEST",
            "AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],
            "KeySchema":[{"AttributeName":"k","KeyType":"HASH"}]}"#;
        let created = ask_dynamodb(port, "CreateTable", table);
        assert!(created.contains("TableDescription"), "{created}");
        dynamodb.kill().unwrap();
        dynamodb.start_again().unwrap();
        assert!(ask_dynamodb(port, "ListTables", "{}").ends_with(kept));
    }
}

fn psql(url: &str, sql: &str) -> String {
    let mut psql = Command::new(postgres_binaries().unwrap().join("psql"));
    let output = psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql, url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A session of PostgreSQL's protocol, as far as it takes to see whether anybody is there.
struct Session(TcpStream);

impl Session {
    fn open(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let words = b"\x00\x03\x00\x00user\0postgres\0\0";
        let length = u32::try_from(words.len() + 4).unwrap().to_be_bytes();
        stream.write_all(&[&length, words.as_slice()].concat()).unwrap();
        let mut session = Self(stream);
        assert!(session.hears(PATIENCE));
        session
    }

    fn answers(&mut self, within: Duration) -> bool {
        let query = b"select 1\0";
        let length = u32::try_from(query.len() + 4).unwrap().to_be_bytes();
        self.0.write_all(&[b"Q", length.as_slice(), query].concat()).unwrap();
        self.hears(within)
    }

    /// Reads up to what ends every answer: "ready for query, no transaction is open".
    fn hears(&mut self, within: Duration) -> bool {
        self.0.set_read_timeout(Some(within)).unwrap();
        let (mut heard, mut part) = (Vec::new(), [0; 1024]);
        while !heard.ends_with(b"Z\0\0\0\x05I") {
            match self.0.read(&mut part) {
                Ok(0) => panic!("the session was closed"),
                Ok(length) => heard.extend_from_slice(&part[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("{error}"),
            }
        }
        true
    }
}

/// The first line of the answer; none if there is none soon.
fn ask_redis(port: u16, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok().map(|_| line.trim().to_owned())
}

fn ask_dynamodb(port: u16, operation: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/x-amz-json-1.0\r\n\
         X-Amz-Target: DynamoDB_20120810.{operation}\r\nX-Amz-Date: 20260101T000000Z\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/dynamodb/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-target, Signature=00\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn is_running(pid: u32) -> bool {
    kill_process(to_pid(pid), Signal::CONT).is_ok()
}

fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}
