//! `loadtest run`: simulates gateways and their customers, measures what the daemon makes of them, and gives a verdict.

mod absence;
mod again;
mod arguments;
mod connect;
mod course;
mod desk;
mod engine;
mod evidence_thread;
mod gateway;
mod histograms;
mod judge;
mod lateness;
mod live;
mod machine;
mod observer;
mod plan;
mod probe;
mod recorder;
mod result;
mod source;
mod summary;
mod timeline;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use beacon_protocol::client;
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use self::arguments::{RunArguments, positive, share};
use self::connect::connect_all;
use self::course::{Course, End};
use self::engine::{Ended, Served};
use self::evidence_thread::EvidenceThread;
use self::live::Live;
use self::observer::Observer;
pub(crate) use self::plan::scenario;
use self::recorder::Recorder;
use crate::clock::now_us;
use crate::ending::{Ending, Failure};
use crate::evidence::EvidenceHead;
use crate::measurement::{FORMAT, Measurement, Stamp, Verdict, VerdictKind};
use crate::scenario::Scenario;

/// From the last connection to the begin.
const MARGIN: Duration = Duration::from_millis(200);
/// Files that are open beside the gateways' connections.
const OTHER_FILES: u64 = 64;
/// Parts of the notes; more than the processors of any machine this is run on would wait for.
const RECORDER_SHARDS: usize = 16;

/// Runs all of it.
///
/// # Errors
/// Why there was no run.
pub(crate) fn run(arguments: &RunArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let scenario = scenario(arguments)?;
    let gateways = (0..scenario.population.gateways).filter(|&gateway| arguments.shard.has(gateway)).count();
    let limit = machine::raise_open_files_limit();
    if gateways as u64 + OTHER_FILES > limit {
        return Err(Failure::Resources(format!(
            "{gateways} gateways need as many open files, and {limit} are allowed: raise ulimit -n, or let several machines \
             run a part each with --shard"
        )));
    }
    let began_at = now_us();
    let directory = directory(arguments, &scenario, began_at)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
    let result = runtime.block_on(Box::pin(conduct(arguments, scenario, &directory, out)));
    runtime.shutdown_background();
    let (measurement, ended) = result?;
    if ended == Ended::AtOnce {
        return Ok(Ending::Interrupted);
    }
    write_files(&directory, &measurement)?;
    summary::print(out, &measurement, &directory, arguments.quiet).context("cannot print")?;
    Ok(match (ended, measurement.verdict.kind) {
        (Ended::Interrupted, _) => Ending::Interrupted,
        (_, VerdictKind::Pass) => Ending::Good,
        (_, VerdictKind::Fail) => Ending::Bad,
        (_, VerdictKind::Invalid) => Ending::Invalid,
    })
}

/// The report's directory, made.
fn directory(arguments: &RunArguments, scenario: &Scenario, began_at_us: i64) -> Result<PathBuf, Failure> {
    let time = began_at(began_at_us).replace([':', '-'], "");
    let name = || PathBuf::from(format!("loadtest-{}-{}", scenario.name, time.get(..15).unwrap_or_default()));
    let directory = arguments.out.clone().unwrap_or_else(name);
    let cannot = || format!("cannot use {}", directory.display());
    std::fs::create_dir_all(&directory).with_context(cannot)?;
    Ok(directory)
}

async fn conduct(
    arguments: &RunArguments,
    scenario: Scenario,
    directory: &Path,
    out: &mut impl Write,
) -> Result<(Measurement, Ended), Failure> {
    let mut targets: Vec<client::Target> = Vec::with_capacity(arguments.target.len());
    for target in &arguments.target {
        targets.push(target.resolve().await?);
    }
    let timer_step = probe::timer_step().await;
    if !arguments.quiet {
        summary::introduce(out, &scenario, arguments).context("cannot print")?;
    }
    let scenario = Arc::new(scenario);
    let recorder = Arc::new(Recorder::new(RECORDER_SHARDS));
    let gateways = (0..scenario.population.gateways).filter(|&gateway| arguments.shard.has(gateway));
    let posts = connect_all(&scenario, gateways, &targets, &recorder)
        .await
        .map_err(|(target, source)| Failure::Unavailable { target: target.to_string(), source })?;

    let (began, began_at_us) = begin(arguments)?;
    let at = began + scenario.load.duration.0;
    let end = End { at, drained: at + scenario.load.drain.0, is_early: false };
    let (end_sender, ends) = watch::channel(end);
    let mut course = Course::new(Arc::clone(&scenario), began, began_at_us, ends, recorder);
    let evidence = match arguments.no_evidence {
        true => None,
        false => Some(begin_evidence(&mut course, arguments, directory)?),
    };
    let course = Arc::new(course);
    let mut observer = Observer::new(end.drained - began, Live::new(out, arguments.quiet));
    let served = engine::serve(posts, &course, &end_sender, &mut observer).await.context("cannot print")?;
    let ended = served.ended;
    let course = Arc::into_inner(course).context("a gateway is still at work")?;
    let evidence_waits = course.evidence.as_ref().map_or(0, evidence_thread::EvidenceSender::waits);
    let (series, heat, tally) = observer.finish(&course);
    let measured = course.recorder.measured();
    let is_exact = scenario.sessions.in_flight == 1
        && scenario.population.guests == 0.0
        && course.evidence.as_ref().is_some_and(|evidence| !evidence.is_blurred());
    let trouble = course.last_trouble();
    drop(course);
    if let Some(thread) = evidence {
        thread.finish(is_exact).context("cannot write the evidence")?;
    }

    let ran_s = (end_sender.borrow().at - began).as_secs_f64();
    let invalid_because = result::invalid_because(&scenario, &tally, &measured, &served, evidence_waits);
    let mut measurement = Measurement {
        format: FORMAT,
        verdict: Verdict {
            kind: VerdictKind::Invalid,
            objectives: Vec::new(),
            invalid_because,
            caveats: caveats(&served, trouble, measured.beyond()),
        },
        stamp: stamp(arguments, &scenario, began_at_us, timer_step),
        window: result::window(&scenario, ran_s, &served),
        counts: result::counts(&tally),
        latencies: result::latencies(&measured)?,
        series,
        heat,
    };
    let verdict = &mut measurement.verdict;
    let all_hold = verdict.objectives.iter().all(|judged| judged.holds);
    verdict.kind = result::kind(&verdict.invalid_because, all_hold, ended);
    Ok((measurement, ended))
}

/// The run's begin by both clocks.
fn begin(arguments: &RunArguments) -> Result<(Instant, i64), Failure> {
    let (now, now_us) = (Instant::now(), now_us());
    let margin_us = i64::try_from(MARGIN.as_micros()).unwrap_or(i64::MAX);
    let begin_us = arguments.begin.unwrap_or(now_us + margin_us);
    match u64::try_from(begin_us - now_us) {
        Ok(until_us) => Ok((now + Duration::from_micros(until_us), begin_us)),
        Err(_) => Err(Failure::Usage(format!(
            "--begin {begin_us} was over before all gateways were connected, at {now_us}"
        ))),
    }
}

fn begin_evidence(
    course: &mut Course,
    arguments: &RunArguments,
    directory: &Path,
) -> Result<EvidenceThread, Failure> {
    let toml = toml::to_string(&*course.scenario).context("cannot write the scenario")?;
    let shard = (arguments.shard.number, arguments.shard.of);
    let head = EvidenceHead::new(toml, course.began_at_us, shard);
    let begun = evidence_thread::begin(&directory.join("evidence"), &head);
    let (sender, thread) = begun.with_context(|| format!("cannot write to {}", directory.display()))?;
    course.evidence = Some(sender);
    Ok(thread)
}

fn caveats(served: &Served, trouble: Option<String>, beyond: u64) -> Vec<String> {
    let mut caveats = Vec::new();
    match served.ended {
        Ended::InTime => {}
        Ended::Interrupted | Ended::AtOnce => caveats.push("interrupted before its end".to_owned()),
        Ended::Aborted => caveats.push("ended early: an objective could not be met any more".to_owned()),
    }
    if beyond > 0 {
        caveats.push(format!("{beyond} times were longer than an hour and are in no histogram"));
    }
    caveats.extend(trouble.map(|trouble| format!("last trouble: {trouble}")));
    caveats
}

fn stamp(arguments: &RunArguments, scenario: &Scenario, began_at_us: i64, timer_step: Duration) -> Stamp {
    Stamp {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: env!("LOADTEST_REVISION").to_owned(),
        daemon_version: String::new(),
        began_at: began_at(began_at_us),
        host: machine::host(),
        targets: arguments.target.iter().map(ToString::to_string).collect(),
        stores: ["record", "cache", "events"].map(|part| (part.to_owned(), "not asked".to_owned())).into(),
        ack_level: format!("{:?}", scenario.sessions.ack_level).to_lowercase(),
        scenario: toml::to_string(scenario).unwrap_or_default(),
        scenario_name: scenario.name.clone(),
        scale: arguments.scale.unwrap_or(1.0),
        seed: scenario.seed,
        fingerprint: String::new(),
        shards: vec![arguments.shard.to_string()],
        timer_step_us: u64::try_from(timer_step.as_micros()).unwrap_or(u64::MAX),
        look_every_us: u64::try_from(scenario.sample.look_every.as_us()).unwrap_or(0),
    }
}

fn began_at(us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(us)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn write_files(directory: &Path, measurement: &Measurement) -> Result<(), Failure> {
    let cannot = || format!("cannot write to {}", directory.display());
    let json = serde_json::to_string_pretty(measurement).context("cannot write the report")?;
    std::fs::write(directory.join("report.json"), json).with_context(cannot)?;
    Ok(())
}
