//! `loadtest run`: simulates gateways and their customers, measures what the daemon makes of them, and gives a verdict.

mod absence;
mod again;
mod arguments;
mod connect;
mod course;
mod daemon;
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
mod reads;
mod recorder;
mod result;
mod samples;
mod source;
mod stamp;
mod stores;
mod summary;
mod timeline;
mod view;
mod watch;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use beacon_protocol::client;
use tokio::sync::watch as tokio_watch;
use tokio::time::Instant;

pub(crate) use self::arguments::{RunArguments, ScenarioArguments, Shard, positive, share};
use self::connect::connect_all;
use self::course::{Course, End};
use self::daemon::{DaemonWatch, Page};
use self::engine::Ended;
use self::evidence_thread::EvidenceThread;
use self::histograms::Histograms;
use self::live::Live;
use self::observer::Observer;
pub(crate) use self::plan::scenario;
use self::recorder::Recorder;
use self::result::Noted;
use self::stamp::Surroundings;
use self::stores::Stores;
use self::timeline::Timeline;
use self::watch::{Scene, Watch};
use crate::artifacts::{self, IntervalLog};
use crate::clock::now_us;
use crate::ending::{Ending, Failure};
use crate::evidence::EvidenceHead;
use crate::measurement::{Measurement, VerdictKind};
use crate::population::Population;
use crate::scenario::Scenario;
use crate::slo::Objective;

/// What `verify` reads.
pub(crate) const EVIDENCE: &str = "evidence";
/// From the last connection to the begin.
const MARGIN: Duration = Duration::from_millis(200);
/// Files that are open beside the gateways' connections.
const OTHER_FILES: u64 = 64;
/// Parts of the notes: as many as processors of a large machine, so that nobody waits.
const RECORDER_SHARDS: usize = 16;

/// Runs all of it.
///
/// # Errors
/// Why there was no run.
pub(crate) fn run(arguments: &RunArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let scenario = scenario(arguments)?;
    let objectives = plan::objectives(&scenario)?;
    let gateways = (0..scenario.population.gateways).filter(|&gateway| arguments.shard.has(gateway)).count();
    let limit = machine::raise_open_files_limit();
    if gateways as u64 + OTHER_FILES > limit {
        return Err(Failure::Resources(format!(
            "{gateways} gateways need as many open files, and {limit} are allowed: raise ulimit -n, or let several \
             machines run a part each with --shard"
        )));
    }
    let directory = directory(arguments, &scenario);
    let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
    let conducted = conduct(arguments, Arc::new(scenario), &objectives, &directory, out);
    let result = runtime.block_on(Box::pin(conducted));
    runtime.shutdown_background();
    let (measurement, ended) = result?;
    if ended == Ended::AtOnce {
        return Ok(Ending::Interrupted);
    }
    artifacts::write_all(&directory, &measurement)
        .with_context(|| format!("cannot write to {}", directory.display()))?;
    summary::print(out, &measurement, &directory, arguments.quiet).context("cannot print")?;
    Ok(match (ended, measurement.verdict.kind) {
        (Ended::Interrupted, _) => Ending::Interrupted,
        (_, VerdictKind::Pass) => Ending::Good,
        (_, VerdictKind::Fail) => Ending::Bad,
        (_, VerdictKind::Invalid) => Ending::Invalid,
    })
}

/// The report's directory.
fn directory(arguments: &RunArguments, scenario: &Scenario) -> PathBuf {
    let time = stamp::utc_text(now_us()).replace([':', '-'], "");
    let name = || PathBuf::from(format!("loadtest-{}-{}", scenario.name, time.get(..15).unwrap_or_default()));
    arguments.out.clone().unwrap_or_else(name)
}

async fn conduct(
    arguments: &RunArguments,
    scenario: Arc<Scenario>,
    objectives: &[Objective],
    directory: &Path,
    out: &mut impl Write,
) -> Result<(Measurement, Ended), Failure> {
    let cannot_write = || format!("cannot write to {}", directory.display());
    let mut targets: Vec<client::Target> = Vec::with_capacity(arguments.target.len());
    for target in &arguments.target {
        targets.push(target.resolve().await?);
    }
    let stores = Stores::of(arguments)?;
    let page = arguments.admin.as_deref().map(Page::open).transpose()?;
    let (page, daemon_version) = page.map_or((None, String::new()), |(page, version)| (Some(page), version));
    let timer_step = probe::timer_step().await;
    let surroundings = Surroundings { daemon_version, stores: stores.names().await?, timer_step };
    if !arguments.quiet {
        summary::introduce(out, &scenario, arguments, &surroundings).context("cannot print")?;
    }
    let recorder = Arc::new(Recorder::new(RECORDER_SHARDS));
    let gateways = (0..scenario.population.gateways).filter(|&gateway| arguments.shard.has(gateway));
    let population = Arc::new(Population::new(Arc::clone(&scenario)));
    let posts = Box::pin(connect_all(&population, gateways, &targets, &recorder)).await;
    let posts = posts.map_err(|(target, source)| Failure::Unavailable { target, source })?;

    std::fs::create_dir_all(directory).with_context(cannot_write)?;
    let (began, began_at_us) = begin(arguments)?;
    let at = began + scenario.load.duration.0;
    let end = End { at, drained: at + scenario.load.drain.0, is_early: false };
    let (end, ends) = tokio_watch::channel(end);
    let mut course = Course::new(Arc::clone(&scenario), began, began_at_us, ends, Arc::clone(&recorder));
    let evidence = begin_evidence(&mut course, arguments, directory)?;
    let scene = Scene { scenario: &scenario, recorder: &recorder, began };
    let (desk, watch) = Watch::begin(&stores, &scene).context("cannot start a thread")?;
    course.samples = desk;
    let daemon = page.map(|page| DaemonWatch::begin(page, began + scenario.load.warm_up.0));
    let longest = end.borrow().drained - began;
    let log = IntervalLog::create(&directory.join(artifacts::INTERVAL_LOG), began_at_us);
    let mut observer = Observer {
        timeline: Timeline::new(longest),
        log: log.with_context(cannot_write)?,
        daemon: daemon.transpose().context("cannot start a thread")?,
        objectives,
        abort_on_fail: arguments.abort_on_fail,
        live: Live::begin(out, &scenario, arguments.quiet).context("cannot use the terminal")?,
        interval: Histograms::default(),
        second: 0,
    };
    let course = Arc::new(course);
    let served = Box::pin(engine::serve(posts, &course, &end, &mut observer)).await;
    let served = served.with_context(cannot_write)?;
    let ended = served.ended;
    if ended == Ended::AtOnce {
        return Ok((Measurement::default(), ended));
    }

    observer.live.end();
    watch.stop_reading();
    let mut course = Arc::into_inner(course).context("a gateway is still at work")?;
    course.samples = None;
    let watched = engine::finish(watch).await;
    let daemon = observer.daemon.take().map(DaemonWatch::finish);
    let (series, heat, tally) = observer.finish(&course).with_context(cannot_write)?;
    let (is_exact, fingerprint) = (course.is_exact(), course.fingerprint());
    let (evidence_waits, trouble) = (course.evidence_waits(), course.last_trouble());
    drop(course);
    if let Some(thread) = evidence {
        thread.finish(is_exact).context("cannot write the evidence")?;
    }
    let noted = Noted {
        ran_s: (end.borrow().at - began).as_secs_f64(),
        measured: recorder.measured(),
        tally,
        served,
        watched: watched.unwrap_or_default(),
        daemon,
        evidence_waits,
        trouble,
    };
    let stamp = stamp::stamp(arguments, &scenario, surroundings, began_at_us, fingerprint.to_string());
    let measurement = noted.measurement(&scenario, objectives, stamp, series, heat)?;
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

/// Begins the file of evidence, if one is wanted.
fn begin_evidence(
    course: &mut Course,
    arguments: &RunArguments,
    directory: &Path,
) -> Result<Option<EvidenceThread>, Failure> {
    if arguments.no_evidence {
        return Ok(None);
    }
    let toml = toml::to_string(&*course.scenario).context("cannot write the scenario")?;
    let shard = (arguments.shard.number, arguments.shard.of);
    let head = EvidenceHead::new(toml, course.began_at_us, shard);
    let begun = evidence_thread::begin(&directory.join(EVIDENCE), &head);
    let (sender, thread) = begun.with_context(|| format!("cannot write to {}", directory.display()))?;
    course.evidence = Some(sender);
    Ok(Some(thread))
}
