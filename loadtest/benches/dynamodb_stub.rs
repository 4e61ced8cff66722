//! What the stub of DynamoDB takes: items a second, CPU an item, memory an item. `cargo bench -p beacon-loadtest --bench
//! dynamodb_stub -- [ITEMS] [ENDPOINT PID]`, the last two for another engine
//! that already runs, with the table `CustomerEvents`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark: what is unexpected should stop right there"
)]
#![allow(missing_docs, reason = "it is a program")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const ITEMS_A_CALL: u64 = 25;
const DEFAULT_ITEMS: u64 = 1_000_000;
/// What Linux counts CPU time in.
const TICKS_A_SECOND: f64 = 100.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let items = arguments.first().map_or(DEFAULT_ITEMS, |items| items.parse().unwrap());
    for connections in [4, 16] {
        let stub = arguments.get(1).is_none().then(Stub::start);
        let (endpoint, pid) = match &stub {
            Some(stub) => (stub.endpoint.as_str(), stub.child.id()),
            None => (arguments[1].as_str(), arguments[2].parse().unwrap()),
        };
        let cpu_before = cpu_seconds(pid);
        let began = Instant::now();
        write(endpoint, items, connections);
        let elapsed = began.elapsed().as_secs_f64();
        let cpu = cpu_seconds(pid) - cpu_before;
        println!(
            "{connections:>2} connections: {items} items in {elapsed:.2} s, {:.0} a second; {:.2} us of CPU an item, {:.0} a \
             second of one core; {} MB resident, {} bytes an item",
            items as f64 / elapsed,
            cpu * 1e6 / items as f64,
            items as f64 / cpu,
            resident_bytes(pid) / 1_000_000,
            resident_bytes(pid) / items,
        );
    }
}

/// The endpoint, measured from outside.
struct Stub {
    child: Child,
    endpoint: String,
}

impl Stub {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(["dynamodb-stub", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, endpoint: line.split(' ').next().unwrap().to_owned() }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes that many items, each once, over so many connections with a call in flight each.
fn write(endpoint: &str, items: u64, connections: u64) {
    let address = endpoint.trim_start_matches("http://");
    std::thread::scope(|threads| {
        for connection in 0..connections {
            threads.spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut request = Request::new();
                let calls = items.div_ceil(ITEMS_A_CALL);
                for call in (connection..calls).step_by(usize::try_from(connections).unwrap()) {
                    request.number(call * ITEMS_A_CALL);
                    stream.write_all(&request.bytes).unwrap();
                    read_answer(&mut stream);
                }
            });
        }
    });
}

/// A call's bytes, in which only the customers' numbers change.
struct Request {
    bytes: Vec<u8>,
    numbers: Vec<usize>,
}

impl Request {
    fn new() -> Self {
        let put = r#"{"PutRequest":{"Item":{"CustomerID":{"S":"c000000000000000"},"DetectedAt":{"S":"2026-05-01T12:00:00.000000Z"},"BeaconID":{"S":"0db9ba02-25ee-562c-9dee-7afcb156cfba"},"Confidence":{"N":"0.8807971"},"ExpiresAt":{"N":"1809172800"},"Location":{"S":"Table 3"}}}}"#;
        let puts = vec![put; usize::try_from(ITEMS_A_CALL).unwrap()].join(",");
        let body = format!(r#"{{"RequestItems":{{"CustomerEvents":[{puts}]}}}}"#);
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-amz-json-1.0\r\nx-amz-target: \
             DynamoDB_20120810.BatchWriteItem\r\nx-amz-date: 20260501T120000Z\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential=test/20260501/eu-west-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, \
             Signature=00\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let text = head + &body;
        let numbers = text.match_indices("c000000000000000").map(|(at, _)| at + 1).collect();
        Self { bytes: text.into_bytes(), numbers }
    }

    fn number(&mut self, first: u64) {
        for (at, number) in self.numbers.iter().zip(first..) {
            self.bytes[*at..at + 15].copy_from_slice(format!("{number:015}").as_bytes());
        }
    }
}

fn read_answer(stream: &mut TcpStream) {
    const END: &[u8] = br#"{"UnprocessedItems":{}}"#;
    let (mut answer, mut length) = ([0; 4_096], 0);
    while !answer[..length].ends_with(END) {
        let read = stream.read(&mut answer[length..]).unwrap();
        length += read;
        let is_good = read > 0 && (length < 12 || answer.starts_with(b"HTTP/1.1 200"));
        assert!(is_good, "{}", String::from_utf8_lossy(&answer[..length]));
    }
}

fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).map(|it| it.parse::<u64>().unwrap()).sum();
    ticks as f64 / TICKS_A_SECOND
}

fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}
