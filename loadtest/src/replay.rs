//! `loadtest replay`: recorded tracks, sent as their gateways would have.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use beacon_protocol::MAX_GATEWAY_ID_BYTES;
use beacon_protocol::client::{ClientError, Gateway, GatewayConfig, WhenRefused};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::arguments::ReplayArguments;
use crate::clock::now_us;
use crate::clones::Clones;
use crate::ending::{Ending, Failure};
use crate::figures::count;
use crate::pace::Pace;
use crate::recorder::Recorder;
use crate::report::Report;
use crate::session::{Share, Work};
use crate::target::listed;
use crate::tracks::Tracks;

/// Gateways unless asked for: enough to keep every core of a daemon busy.
const DEFAULT_MAX_GATEWAYS: u32 = 64;

/// How long a gateway tries to get its first session: over UDP, where a hello may be lost, for three of them, the last
/// 3.75 s after the first.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Reads, connects, sends, and tells what became of it.
pub(crate) fn run(arguments: &ReplayArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let gateways = gateway_ids(arguments)?;
    let work = Arc::new(work(arguments)?);
    let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
    let sent = runtime.block_on(connect_and_send(arguments, &work, &gateways));
    runtime.shutdown_background();
    let (elapsed, sent) = sent?;
    let report = Report::new(&work.recorder.since_start(), elapsed);
    let file = arguments.file.display();
    let many = |number: usize, what: &str| {
        format!("{} {what}{}", count(number as u64), if number == 1 { "" } else { "s" })
    };
    let clones = many(work.clones.count() as usize, "clone");
    let from = many(gateways.len(), "gateway");
    writeln!(out, "{file} to {}: {clones} from {from}\n{report}", listed(&arguments.target))
        .context("cannot print")?;
    if let Some(path) = &arguments.json {
        write_json(path, &report)?;
    }
    match sent {
        Sent::All => Ok(Ending::Good),
        Sent::Stalled | Sent::Interrupted => {
            let trouble = work.recorder.last_trouble().map(|trouble| format!("; last trouble: {trouble}"));
            let unacked = count(report.unacked());
            eprintln!(
                "loadtest: {unacked} of {} sightings sent were not acknowledged{}",
                count(work.recorder.since_start().sent),
                trouble.unwrap_or_default()
            );
            Ok(if matches!(sent, Sent::Stalled) { Ending::Bad } else { Ending::Interrupted })
        }
        Sent::Refused(source) => Err(unavailable(arguments, source)),
    }
}

/// How sending ended.
#[derive(Debug)]
enum Sent {
    All,
    Stalled,
    Interrupted,
    Refused(ClientError),
}

fn gateway_ids(arguments: &ReplayArguments) -> Result<Vec<String>, Failure> {
    let ReplayArguments { gateway, clones, .. } = arguments;
    let number = arguments.gateways.unwrap_or_else(|| DEFAULT_MAX_GATEWAYS.min(*clones));
    if number > *clones {
        let reason = "each clone's order is kept by sending it from one gateway";
        return Err(Failure::Usage(format!("--gateways {number} is more than --clones {clones}: {reason}")));
    }
    let ids: Vec<_> = match number {
        1 => vec![gateway.clone()],
        _ => (1..=number).map(|number| format!("{gateway}-{number}")).collect(),
    };
    let longest = ids.last().map_or(0, String::len);
    if gateway.is_empty() || longest > MAX_GATEWAY_ID_BYTES || gateway.chars().any(char::is_control) {
        let allowed = format!("1 to {MAX_GATEWAY_ID_BYTES} bytes without control characters");
        return Err(Failure::Usage(format!("--gateway {gateway:?} does not make ids of {allowed}")));
    }
    Ok(ids)
}

fn work(arguments: &ReplayArguments) -> Result<Work, Failure> {
    let file = || arguments.file.display().to_string();
    let bytes = std::fs::read(&arguments.file)
        .map_err(|error| Failure::File { file: file(), reason: error.to_string() })?;
    let in_file = |source| Failure::Tracks { file: file(), source };
    let mut tracks = Tracks::read(&bytes).map_err(in_file)?;
    let latest_us = arguments.rebase_to.or_else(|| arguments.rebase.then(now_us));
    if let Some(latest_us) = latest_us {
        let rebased = tracks.rebase(latest_us);
        rebased.map_err(|reason| Failure::File { file: file(), reason })?;
    }
    let clones = Clones::new(&tracks, arguments.clones).map_err(in_file)?;
    Ok(Work {
        tracks,
        clones,
        pace: match (arguments.rate, arguments.speed) {
            (Some(rate), _) => Pace::Rate(rate),
            (None, Some(speed)) => Pace::Recorded(speed),
            (None, None) => Pace::Unhurried,
        },
        batch_sightings: arguments.batch.into(),
        one_at_a_time: arguments.in_flight == 1,
        recorder: Recorder::new(),
    })
}

async fn connect_and_send(
    arguments: &ReplayArguments,
    work: &Arc<Work>,
    ids: &[String],
) -> Result<(Duration, Sent), Failure> {
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let connected = tokio::select! {
        connected = connect(arguments, ids) => connected?,
        _ = &mut interrupted => return Ok((Duration::ZERO, Sent::Interrupted)),
    };
    let starts_at = Instant::now();
    let mut sessions = JoinSet::new();
    let of = ids.len();
    for (number, gateway) in connected.into_iter().enumerate() {
        let work = Arc::clone(work);
        sessions.spawn(async move { work.send(gateway, Share { number, of }, starts_at).await });
    }
    let all = async {
        while let Some(session) = sessions.join_next().await {
            match session {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Sent::Refused(error),
                Err(error) => return Sent::Refused(ClientError::System(error.to_string())),
            }
        }
        Sent::All
    };
    let sent = tokio::select! {
        sent = all => sent,
        () = work.recorder.stalled(Duration::from_secs_f64(arguments.deadline)) => Sent::Stalled,
        _ = &mut interrupted => Sent::Interrupted,
    };
    Ok((starts_at.elapsed(), sent))
}

/// Opens every gateway's session before anything is sent.
async fn connect(arguments: &ReplayArguments, ids: &[String]) -> Result<Vec<Gateway>, Failure> {
    let mut targets = Vec::with_capacity(arguments.target.len());
    for target in &arguments.target {
        targets.push(target.resolve().await?);
    }
    let (&target, other_targets) =
        targets.split_first().ok_or_else(|| Failure::Usage("a target is wanted".to_owned()))?;
    // Never used before by these gateways.
    let boot_epoch = now_us().unsigned_abs();
    let mut connecting = JoinSet::new();
    for id in ids {
        connecting.spawn(Gateway::connect(GatewayConfig {
            other_targets: other_targets.to_vec(),
            max_in_flight_frames: arguments.in_flight as usize,
            connect_deadline: CONNECT_DEADLINE,
            when_refused: WhenRefused::GiveUp,
            ..GatewayConfig::new(target, id, boot_epoch)
        }));
    }
    let mut connected = Vec::with_capacity(ids.len());
    while let Some(gateway) = connecting.join_next().await {
        let gateway = gateway.context("a gateway's task failed")?;
        connected.push(gateway.map_err(|source| unavailable(arguments, source))?);
    }
    Ok(connected)
}

fn unavailable(arguments: &ReplayArguments, source: ClientError) -> Failure {
    match source {
        ClientError::MixedTransports => Failure::Usage(source.to_string()),
        source => Failure::Unavailable { target: listed(&arguments.target), source },
    }
}

fn write_json(path: &Path, report: &Report) -> anyhow::Result<()> {
    let json = serde_json::to_string(report).context("cannot make JSON")?;
    std::fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
}
