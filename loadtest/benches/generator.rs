//! The generator into a socket that only reads, beside a bare loop that writes frames made before into the same kind of
//! socket: what making them costs over moving them.
//!
//! Both take turns in one run. The population is that of 10 million customers at lunch, a second of it after the other as
//! fast as it goes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops at what it does not expect, and prints its table"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Instant;

const ROUNDS: usize = 3;
/// Simulated, at 100,000 sightings/s.
const DURATION: &str = "100s";
/// The goals.
const GOAL_PER_SECOND: f64 = 1_000_000.0;
const GOAL_MEGABYTES: f64 = 400.0;
const READ_BYTES: usize = 1 << 20;
/// What `loadtest generate` writes at once, about.
const CHUNK_BYTES: usize = 65_536;

/// A socket that only reads: how much came, and the first of it.
struct Sink {
    address: SocketAddr,
    reader: JoinHandle<(u64, Vec<u8>)>,
}

impl Sink {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let reader = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut buffer, mut first, mut bytes) = (vec![0; READ_BYTES], Vec::new(), 0);
            loop {
                let length = stream.read(&mut buffer).unwrap();
                if length == 0 {
                    return (bytes, first);
                }
                bytes += length as u64;
                let missing = (4 * CHUNK_BYTES - first.len()).min(length);
                first.extend_from_slice(&buffer[..missing]);
            }
        });
        Self { address, reader }
    }

    fn read(self) -> (u64, Vec<u8>) {
        self.reader.join().unwrap()
    }
}

/// What `loadtest generate` said and wrote.
struct Generated {
    megabytes: f64,
    sightings: f64,
    by_wall: f64,
    by_processor: f64,
    fingerprint: String,
    bytes: u64,
    first: Vec<u8>,
}

fn generate(batch: &str) -> Generated {
    let sink = Sink::open();
    let into = format!("tcp://{}", sink.address);
    let batch = format!("sessions.batch={batch}");
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["generate", "--scenario", "ten-million-lunch", "--duration", DURATION])
        .args(["--set", &batch, "--into", &into])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (bytes, first) = sink.read();
    let text = String::from_utf8(output.stdout).unwrap();
    let number_before = |words: &str| -> f64 {
        let before = &text[..text.find(words).unwrap()];
        let digits = before.rsplit(char::is_whitespace).next().unwrap().replace(',', "");
        digits.parse().unwrap()
    };
    Generated {
        megabytes: number_before(" MB of memory"),
        sightings: number_before(" sightings in "),
        by_wall: number_before("/s, "),
        by_processor: number_before("/s of this thread"),
        fingerprint: text.rsplit("fingerprint ").next().unwrap().trim().to_owned(),
        bytes,
        first,
    }
}

/// Seconds to write so many bytes, the same ones again and again.
fn write_only(chunk: &[u8], bytes: u64) -> f64 {
    let sink = Sink::open();
    let mut stream = TcpStream::connect(sink.address).unwrap();
    let begun = Instant::now();
    for _ in 0..bytes.div_ceil(chunk.len() as u64) {
        stream.write_all(chunk).unwrap();
    }
    let took_s = begun.elapsed().as_secs_f64();
    drop(stream);
    sink.read();
    took_s
}

fn main() {
    println!("10,000,000 customers at lunch, {DURATION} of it, one thread, into a socket that only reads");
    println!(
        "{:>6} {:>12} {:>14} {:>16} {:>14} {:>9}",
        "batch", "bytes each", "sightings/s", "/s of processor", "write only/s", "memory"
    );
    for batch in ["64", "256"] {
        let mut fingerprints = Vec::new();
        let mut best = 0.0_f64;
        for _ in 0..ROUNDS {
            let made = generate(batch);
            let written_s = write_only(&made.first[..CHUNK_BYTES], made.bytes);
            println!(
                "{batch:>6} {:>12.1} {:>14.0} {:>16.0} {:>14.0} {:>6} MB",
                made.bytes as f64 / made.sightings,
                made.by_wall,
                made.by_processor,
                made.sightings / written_s,
                made.megabytes
            );
            assert!(made.megabytes < GOAL_MEGABYTES, "{} MB", made.megabytes);
            best = best.max(made.by_processor);
            fingerprints.push(made.fingerprint);
        }
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), 1, "the same seed made other frames");
        println!(
            "       {best:.0} sightings/s of a core: {}\n",
            if best >= GOAL_PER_SECOND {
                "the goal of 1,000,000 holds"
            } else {
                "the goal of 1,000,000 is missed"
            }
        );
    }
}
