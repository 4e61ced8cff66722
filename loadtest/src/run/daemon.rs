//! What the daemon says of itself while a run goes on: its operators' page, asked from a thread of its own.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Deserialize;
use ureq::Agent;

use super::timeline::Vitals;
use crate::ending::Failure;
use crate::measurement::metric;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_secs(1);

type ByStage = BTreeMap<String, Histogram<u64>>;

/// The page of one daemon.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    agent: Agent,
    url: String,
}

/// What the page said last.
#[derive(Debug, Clone, Default)]
pub(crate) struct DaemonView(Arc<Mutex<Vitals>>);

/// The thread that asks it.
#[derive(Debug)]
pub(crate) struct DaemonWatch {
    view: DaemonView,
    stop: mpsc::SyncSender<()>,
    thread: JoinHandle<DaemonSeen>,
}

/// What is known of the daemon at the end.
#[derive(Debug, Default)]
pub(crate) struct DaemonSeen {
    /// Of the measured window, by metric; none if the page could not be asked at its begin or its end.
    pub(crate) stages: Option<ByStage>,
    pub(crate) trouble: Option<String>,
}

#[derive(Deserialize)]
struct StagePage {
    hdr: String,
}

/// What `/metrics` says, as far as it is of interest here.
#[derive(Debug, Clone, Default, PartialEq)]
struct Metrics {
    version: String,
    busy_s: Option<f64>,
    memory_bytes: Option<f64>,
    waiting_record: Option<f64>,
    waiting_events: Option<f64>,
}

impl Page {
    /// The page at an address such as `http://127.0.0.1:7402`, and the version of the daemon there.
    ///
    /// # Errors
    /// When nobody answers there.
    pub(crate) fn open(url: &str) -> Result<(Self, String), Failure> {
        // The page closes connections that are kept: each question has its own.
        let config = Agent::config_builder().timeout_global(Some(ANSWER_TIMEOUT));
        let agent = config.max_idle_connections(0).max_idle_connections_per_host(0).build().new_agent();
        let page = Self { agent, url: url.trim_end_matches('/').to_owned() };
        let metrics = page.metrics().map_err(|error| Failure::Resources(format!("admin {url}: {error}")))?;
        Ok((page, metrics.version))
    }

    fn get(&self, path: &str) -> Result<String, ureq::Error> {
        self.agent.get(format!("{}{path}", self.url)).call()?.body_mut().read_to_string()
    }

    fn metrics(&self) -> Result<Metrics, ureq::Error> {
        Ok(Metrics::parse(&self.get("/metrics")?))
    }

    fn stages(&self) -> Result<ByStage, String> {
        let text = self.get("/api/v1/histograms").map_err(|error| error.to_string())?;
        let pages: BTreeMap<String, StagePage> =
            serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let stages = pages.into_iter().map(|(stage, page)| {
            let histogram = crate::measurement::histogram_of(&page.hdr)?;
            Ok((format!("{}{stage}", metric::DAEMON), histogram))
        });
        stages.collect()
    }
}

impl DaemonView {
    pub(crate) fn vitals(&self) -> Vitals {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, vitals: Vitals) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = vitals;
    }
}

impl DaemonWatch {
    /// Asks each second from now on; the measured window begins at `measured_from`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn begin(page: Page, measured_from: tokio::time::Instant) -> io::Result<Self> {
        let view = DaemonView::default();
        let (stop, stopped) = mpsc::sync_channel(1);
        let shown = view.clone();
        let thread = std::thread::Builder::new()
            .name("daemon-page".to_owned())
            .spawn(move || watch(&page, measured_from.into_std(), &stopped, &shown))?;
        Ok(Self { view, stop, thread })
    }

    /// What the page says, from now on.
    pub(crate) fn view(&self) -> DaemonView {
        self.view.clone()
    }

    /// Asks a last time. Blocks.
    pub(crate) fn finish(self) -> DaemonSeen {
        // A thread that has ended already needs no telling.
        let _ = self.stop.send(());
        self.thread.join().unwrap_or_else(|_| DaemonSeen {
            trouble: Some("the thread that asks the daemon's page panicked".to_owned()),
            ..DaemonSeen::default()
        })
    }
}

fn watch(
    page: &Page,
    measured_from: Instant,
    stopped: &mpsc::Receiver<()>,
    shown: &DaemonView,
) -> DaemonSeen {
    let mut seen = DaemonSeen::default();
    let mut first: Option<Result<ByStage, String>> = None;
    let mut before: Option<(Instant, f64)> = None;
    let mut next = Instant::now();
    loop {
        next += LOOK_EVERY;
        match stopped.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
        }
        if first.is_none() && Instant::now() >= measured_from {
            first = Some(page.stages());
        }
        let now = Instant::now();
        let vitals = match page.metrics() {
            Ok(metrics) => {
                let busy_s = metrics.busy_s;
                let cores = before
                    .zip(busy_s)
                    .map(|((then, busy_then_s), busy_s)| (busy_s - busy_then_s) / (now - then).as_secs_f64())
                    // It was started anew.
                    .filter(|cores| *cores >= 0.0);
                before = busy_s.map(|busy_s| (now, busy_s));
                metrics.vitals(cores)
            }
            Err(error) => {
                seen.trouble = Some(format!("the daemon's page did not answer: {error}"));
                before = None;
                Vitals::default()
            }
        };
        shown.show(vitals);
    }
    match (first, page.stages()) {
        (Some(Ok(first)), Ok(last)) => seen.stages = since(&first, last),
        (Some(Err(error)), _) | (_, Err(error)) => {
            seen.trouble = Some(format!("the daemon's histograms: {error}"))
        }
        (None, Ok(_)) => {}
    }
    if seen.stages.is_none() && seen.trouble.is_none() {
        seen.trouble = Some("the daemon's own times are left out: it was started anew meanwhile".to_owned());
    }
    seen
}

/// What came to each histogram since `first`; none where it has less than then: it is another process.
fn since(first: &ByStage, last: ByStage) -> Option<ByStage> {
    let stages = last.into_iter().map(|(stage, mut histogram)| {
        if let Some(first) = first.get(&stage) {
            histogram.subtract(first).ok()?;
        }
        Some((stage, histogram))
    });
    let stages: Option<ByStage> = stages.collect();
    stages.map(|stages| stages.into_iter().filter(|(_, histogram)| !histogram.is_empty()).collect())
}

impl Metrics {
    fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let value = value.parse().ok();
            match name {
                "process_cpu_seconds_total" => metrics.busy_s = value,
                "process_resident_memory_bytes" => metrics.memory_bytes = value,
                "beacond_identities_waiting{store=\"record\"}" => metrics.waiting_record = value,
                "beacond_identities_waiting{store=\"events\"}" => metrics.waiting_events = value,
                _ => {
                    if let Some(rest) = name.strip_prefix("beacond_build_info{version=\"") {
                        metrics.version = rest.trim_end_matches("\"}").to_owned();
                    }
                }
            }
        }
        metrics
    }

    fn vitals(&self, cores: Option<f64>) -> Vitals {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and `as` saturates"
        )]
        let whole = |number: f64| number as u64;
        Vitals {
            generator_cores: None,
            daemon_cores: cores,
            daemon_memory_bytes: self.memory_bytes.map(whole),
            waiting_record: self.waiting_record.map(whole),
            waiting_events: self.waiting_events.map(whole),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_and_others_passed_over() {
        let text = "# HELP process_cpu_seconds_total x\nprocess_cpu_seconds_total 1.29\nother{a=\"b\"} 7\n\
            beacond_build_info{version=\"0.1.0\"} 1\nbeacond_identities_waiting{store=\"record\"} 12\n";
        let metrics = Metrics::parse(text);
        assert_eq!((metrics.version.as_str(), metrics.busy_s), ("0.1.0", Some(1.29)));
        assert_eq!((metrics.waiting_record, metrics.waiting_events), (Some(12.0), None));
    }

    #[test]
    fn what_is_measured_is_what_came_since_the_warm_up() {
        let histogram = |values: &[u64]| {
            let mut histogram = Histogram::<u64>::new_with_bounds(1, 1_000_000, 2).unwrap();
            for value in values {
                histogram.record(*value).unwrap();
            }
            histogram
        };
        let stages = |values: &[u64]| ByStage::from([("daemon.acked".to_owned(), histogram(values))]);
        let measured = since(&stages(&[5, 900]), stages(&[5, 900, 7])).unwrap();
        assert_eq!(measured["daemon.acked"], histogram(&[7]));
        assert!(since(&stages(&[5, 900]), stages(&[5])).is_none());
    }
}
