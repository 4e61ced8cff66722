//! `loadtest generate`: the generator alone, on one thread and as fast as it can: how fast it is, what it makes, and that it is
//! always the same.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use beacon_protocol::client::FrameLimits;
use beacon_protocol::{MAX_FRAME_BYTES, MAX_SIGHTINGS, OUTCOME_CODES, OutcomeCode};
use clap::Args;
use rustix::time::{ClockId, clock_gettime};

use crate::clock::now_us;
use crate::encode::{Fingerprint, FrameEncoder};
use crate::ending::{Ending, Failure};
use crate::figures::{count, count_of, per_second, percent};
use crate::population::{Chain, Heard, Naming, Population, report_phase_us};
use crate::run::{ScenarioArguments, Shard};
use crate::scenario::Scenario;

const EXIT_CODES: &str = "\
Without a daemon and without waiting: times pass as fast as they can be simulated.

Exit codes: 0 done, 64 wrong arguments, 69 nobody reads there, 78 wrong scenario";

/// Written to the socket at once, about: what a busy gateway's kernel would have gathered.
const CHUNK_BYTES: usize = 65_536;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct GenerateArguments {
    #[command(flatten)]
    scenario: ScenarioArguments,
    /// This generator's part of the gateways, such as 2/4.
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    shard: Shard,
    /// Write the frames to whoever listens there and only reads.
    #[arg(long, value_name = "HOST:PORT")]
    into: Option<SocketAddr>,
}

/// One gateway's part of it.
struct Source {
    number: u32,
    chain: Chain,
    encoder: FrameEncoder,
    report_at_us: i64,
}

/// What was made.
#[derive(Default)]
struct Made {
    meant: [u64; OUTCOME_CODES],
    frames: u64,
    bytes: u64,
    fingerprint: Fingerprint,
}

/// Generates, and tells how it went.
///
/// # Errors
/// A wrong scenario, or nobody who reads.
pub(crate) fn run(arguments: &GenerateArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let scenario = arguments.scenario.read()?;
    let reader = arguments.into.map(|address| {
        TcpStream::connect(address)
            .map_err(|error| Failure::NoAddress { target: address.to_string(), reason: error.to_string() })
    });
    let mut reader = reader.transpose()?;
    let population = Population::new(Arc::new(scenario.clone()));
    let mut sources = sources(&population, arguments.shard);
    let (customers, gateways) = (count(scenario.population.customers.into()), count(sources.len() as u64));
    let megabytes = resident_megabytes().map_or_else(|| "?".to_owned(), count);
    writeln!(out, "{customers} customers, {gateways} gateways: {megabytes} MB of memory")
        .context("cannot print")?;
    let (begun, processor) = (Instant::now(), processor_s());
    let made = make(&scenario, &mut sources, reader.as_mut())?;
    let (took_s, processor_s) = (begun.elapsed().as_secs_f64(), processor_s() - processor);
    tell(&made, took_s, processor_s, out).context("cannot print")?;
    Ok(Ending::Good)
}

fn sources(population: &Population, shard: Shard) -> Vec<Source> {
    let naming = Naming::new(population.layout());
    let sessions = &population.scenario().sessions;
    let gateways = (0..population.layout().gateways()).filter(|gateway| shard.has(*gateway));
    let source = |number| Source {
        number,
        chain: Chain::new(population, number, 0),
        encoder: FrameEncoder::new(naming, sessions.batch),
        report_at_us: report_phase_us(number, sessions.report_every.as_us()),
    };
    gateways.map(source).collect()
}

fn make(
    scenario: &Scenario,
    sources: &mut [Source],
    mut reader: Option<&mut TcpStream>,
) -> anyhow::Result<Made> {
    let (every_us, end_us) = (scenario.sessions.report_every.as_us(), scenario.load.duration.as_us());
    let limits = FrameLimits {
        max_frame_bytes: MAX_FRAME_BYTES,
        max_sightings: u16::try_from(MAX_SIGHTINGS).unwrap_or(u16::MAX),
    };
    let began_at_us = now_us();
    let mut made = Made::default();
    let (mut heard, mut frame, mut chunk): (Vec<Heard>, Vec<u8>, Vec<u8>) = Default::default();
    let mut round_us = 0;
    while round_us <= end_us {
        round_us += every_us;
        for source in &mut *sources {
            if source.report_at_us - every_us >= end_us {
                continue;
            }
            heard.clear();
            source.chain.hear(source.report_at_us.min(end_us), &mut heard);
            source.report_at_us += every_us;
            let mut rest = heard.as_slice();
            while let Some((length, taken)) = source.encoder.encode(rest, limits, began_at_us, &mut frame)? {
                rest = rest.get(taken..).unwrap_or_default();
                made.frames += 1;
                made.bytes += length as u64;
                if reader.is_some() {
                    chunk.extend_from_slice(frame.get(..length).unwrap_or_default());
                }
            }
            for sighting in &heard {
                made.meant[usize::from(sighting.expected.byte())] += 1;
            }
            if chunk.len() >= CHUNK_BYTES
                && let Some(reader) = reader.as_mut()
            {
                reader.write_all(&chunk).context("the reader is gone")?;
                chunk.clear();
            }
        }
    }
    if let Some(reader) = reader {
        reader.write_all(&chunk).context("the reader is gone")?;
    }
    for source in sources {
        made.fingerprint.add(source.number, source.encoder.fingerprint());
    }
    Ok(made)
}

fn tell(made: &Made, took_s: f64, processor_s: f64, out: &mut impl Write) -> std::io::Result<()> {
    let sightings: u64 = made.meant.iter().sum();
    let (by_wall, by_processor) =
        (count_of(per_second(sightings, took_s)), count_of(per_second(sightings, processor_s)));
    let bytes = per_second(made.bytes, sightings as f64);
    writeln!(
        out,
        "{} sightings in {} frames, {bytes:.1} bytes each: {by_wall}/s, {by_processor}/s of this thread's processor time",
        count(sightings),
        count(made.frames)
    )?;
    for code in OutcomeCode::ALL.into_iter().rev() {
        let part = made.meant[usize::from(code.byte())];
        if part > 0 {
            let name = if code == OutcomeCode::Identified { "eligible" } else { code.label() };
            writeln!(out, "  {name:<16} {:>14} {:>10}", count(part), percent(part, sightings))?;
        }
    }
    writeln!(out, "fingerprint {}", made.fingerprint)
}

/// Of this thread.
fn processor_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Physical memory that this process holds now, where the system tells.
fn resident_megabytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().split(' ').next()?.parse().ok()?;
    Some(kibibytes * 1_024 / 1_000_000)
}
