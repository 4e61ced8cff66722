//! Conducts a run: what it needs is prepared, the gateways are connected, and what they and others noted is put together.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use beacon_protocol::client;
use tokio::sync::watch;
use tokio::time::Instant;

use super::EVIDENCE;
use super::arguments::RunArguments;
use super::connect::connect_all;
use super::course::{Course, End};
use super::daemon::{DaemonWatch, Page};
use super::engine::{self, Ended, Served};
use super::evidence_thread::{self, EvidenceThread};
use super::gateway::Post;
use super::histograms::Histograms;
use super::live::Live;
use super::observer::Observer;
use super::probe;
use super::recorder::Recorder;
use super::result::Noted;
use super::stamp::{self, Surroundings};
use super::stores::Stores;
use super::summary;
use super::timeline::Timeline;
use super::watch::{Scene, Watch};
use crate::artifacts::{self, IntervalLog};
use crate::clock::now_us;
use crate::ending::Failure;
use crate::evidence::EvidenceHead;
use crate::measurement::Measurement;
use crate::population::Population;
use crate::scenario::Scenario;
use crate::slo::Objective;

/// From the last connection to the begin.
const MARGIN: Duration = Duration::from_millis(200);
/// Parts of the notes: as many as processors of a large machine, so that nobody waits.
const RECORDER_SHARDS: usize = 16;

/// A run as it was asked for.
#[derive(Debug)]
pub(crate) struct Order<'o> {
    pub(crate) arguments: &'o RunArguments,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) objectives: &'o [Objective],
    pub(crate) stores: &'o Stores,
    pub(crate) directory: &'o Path,
}

/// What was found out, and opened, before anybody was connected.
struct Prepared {
    targets: Vec<client::Target>,
    page: Option<Page>,
    surroundings: Surroundings,
}

/// The threads beside the gateways.
struct Company {
    evidence: Option<EvidenceThread>,
    watch: Watch,
    daemon: Option<DaemonWatch>,
}

impl Order<'_> {
    /// Runs it. The document is empty where somebody ended it at once.
    ///
    /// # Errors
    /// Why there was no run, or no document of it.
    pub(crate) async fn conduct(&self, out: &mut impl Write) -> Result<(Measurement, Ended), Failure> {
        let Prepared { targets, page, surroundings } = Box::pin(self.prepare()).await?;
        if !self.arguments.quiet {
            summary::introduce(out, &self.scenario, self.arguments, &surroundings).context("cannot print")?;
        }
        let recorder = Arc::new(Recorder::new(RECORDER_SHARDS));
        let posts = Box::pin(self.connect(&targets, &recorder)).await?;
        std::fs::create_dir_all(self.directory).with_context(|| self.cannot_write())?;

        let (began, began_at_us) = self.begin()?;
        let at = began + self.scenario.load.duration.0;
        let end = End { at, drained: at + self.scenario.load.drain.0, is_early: false };
        let (end, ends) = watch::channel(end);
        let mut course =
            Course::new(Arc::clone(&self.scenario), began, began_at_us, ends, Arc::clone(&recorder));
        let company = self.company(&mut course, page)?;
        let mut observer = self.observer(&course, company.daemon.as_ref(), out)?;
        let course = Arc::new(course);
        let served = Box::pin(engine::serve(posts, &course, &end, &mut observer)).await;
        let served = served.with_context(|| self.cannot_write())?;
        let ended = served.ended;
        if ended == Ended::AtOnce {
            return Ok((Measurement::default(), ended));
        }
        observer.live.end();
        let course = Arc::into_inner(course).context("a gateway is still at work")?;
        let ran = end.borrow().at - began;
        let measurement =
            Box::pin(self.conclude(course, company, observer, served, ran, surroundings)).await?;
        Ok((measurement, ended))
    }

    async fn prepare(&self) -> Result<Prepared, Failure> {
        let mut targets = Vec::with_capacity(self.arguments.target.len());
        for target in &self.arguments.target {
            targets.push(target.resolve().await?);
        }
        let opened = self.arguments.admin.as_deref().map(Page::open).transpose()?;
        let (page, daemon_version) = opened.unzip();
        let surroundings = Surroundings {
            daemon_version: daemon_version.unwrap_or_default(),
            stores: self.stores.names().await?,
            timer_step: probe::timer_step().await,
        };
        Ok(Prepared { targets, page, surroundings })
    }

    async fn connect(
        &self,
        targets: &[client::Target],
        recorder: &Arc<Recorder>,
    ) -> Result<Vec<Post>, Failure> {
        let population = Arc::new(Population::new(Arc::clone(&self.scenario)));
        let gateways = 0..self.scenario.population.gateways;
        let gateways = gateways.filter(|&gateway| self.arguments.shard.has(gateway));
        let posts = connect_all(&population, gateways, targets, recorder).await;
        posts.map_err(|(target, source)| Failure::Unavailable { target, source })
    }

    /// The run's begin by both clocks.
    fn begin(&self) -> Result<(Instant, i64), Failure> {
        let (now, now_us) = (Instant::now(), now_us());
        let margin_us = i64::try_from(MARGIN.as_micros()).unwrap_or(i64::MAX);
        let begin_us = self.arguments.begin.unwrap_or(now_us + margin_us);
        match u64::try_from(begin_us - now_us) {
            Ok(until_us) => Ok((now + Duration::from_micros(until_us), begin_us)),
            Err(_) => Err(Failure::Usage(format!(
                "--begin {begin_us} was over before all gateways were connected, at {now_us}"
            ))),
        }
    }

    /// Starts the threads that the run is to have.
    fn company(&self, course: &mut Course, page: Option<Page>) -> Result<Company, Failure> {
        const NO_THREAD: &str = "cannot start a thread";
        let evidence = if self.arguments.no_evidence { None } else { Some(self.evidence(course)?) };
        let scene = Scene { scenario: &self.scenario, recorder: &course.recorder, began: course.began };
        let (desk, watch) = Watch::begin(self.stores, &scene).context(NO_THREAD)?;
        course.samples = desk;
        let measured_from = course.began + self.scenario.load.warm_up.0;
        let daemon = page.map(|page| DaemonWatch::begin(page, measured_from)).transpose();
        Ok(Company { evidence, watch, daemon: daemon.context(NO_THREAD)? })
    }

    /// Begins the file of evidence.
    fn evidence(&self, course: &mut Course) -> Result<EvidenceThread, Failure> {
        let toml = toml::to_string(&*self.scenario).context("cannot write the scenario")?;
        let shard = (self.arguments.shard.number, self.arguments.shard.of);
        let head = EvidenceHead::new(toml, course.began_at_us, shard);
        let begun = evidence_thread::begin(&self.directory.join(EVIDENCE), &head);
        let (sender, thread) = begun.with_context(|| self.cannot_write())?;
        course.evidence = Some(sender);
        Ok(thread)
    }

    fn observer<'l>(
        &'l self,
        course: &Course,
        daemon: Option<&DaemonWatch>,
        out: &'l mut impl Write,
    ) -> Result<Observer<'l>, Failure> {
        let longest = self.scenario.load.duration.0 + self.scenario.load.drain.0;
        let log = IntervalLog::create(&self.directory.join(artifacts::INTERVAL_LOG), course.began_at_us);
        let live = Live::begin(out, &self.scenario, self.arguments.quiet);
        Ok(Observer {
            timeline: Timeline::new(longest),
            log: log.with_context(|| self.cannot_write())?,
            daemon: daemon.map(DaemonWatch::view),
            objectives: self.objectives,
            abort_on_fail: self.arguments.abort_on_fail,
            live: live.context("cannot use the terminal")?,
            interval: Histograms::default(),
            second: 0,
        })
    }

    /// Waits for everybody, and puts together what was noted.
    async fn conclude(
        &self,
        mut course: Course,
        company: Company,
        observer: Observer<'_>,
        mut served: Served,
        ran: Duration,
        surroundings: Surroundings,
    ) -> Result<Measurement, Failure> {
        company.watch.stop_reading();
        course.samples = None;
        let watched = engine::finish(company.watch).await;
        if watched.is_none() {
            // What was still looked for are the slow ones.
            served.ended = Ended::Interrupted;
        }
        let daemon = company.daemon.map(DaemonWatch::finish);
        let (series, heat, tally) = observer.finish(&course).with_context(|| self.cannot_write())?;
        let (is_exact, evidence_waits) = (course.is_exact(), course.evidence_waits());
        let (trouble, began_at_us) = (course.last_trouble(), course.began_at_us);
        let measured = course.recorder.measured();
        // With it goes the last who could hand in evidence.
        drop(course);
        if let Some(thread) = company.evidence {
            thread.finish(is_exact).context("cannot write the evidence")?;
        }
        let fingerprint = served.fingerprint.to_string();
        let stamp = stamp::stamp(self.arguments, &self.scenario, surroundings, began_at_us, fingerprint);
        let noted = Noted {
            ran_s: ran.as_secs_f64(),
            measured,
            tally,
            served,
            watched: watched.unwrap_or_default(),
            daemon,
            evidence_waits,
            trouble,
        };
        Ok(noted.measurement(&self.scenario, self.objectives, stamp, series, heat)?)
    }

    fn cannot_write(&self) -> String {
        format!("cannot write to {}", self.directory.display())
    }
}
