//! The threads that watch a run's stores: those that look for samples and those that read.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::histograms::Metric;
use super::reads::{Read, Reader};
use super::recorder::Recorder;
use super::samples::{Found, Looked, Looker, SampleDesk, Wanted};
use super::stores::Stores;
use crate::measurement::Sampled;
use crate::scenario::Scenario;

/// Samples on their way to a thread.
const QUEUE: usize = 1_024;

/// The threads.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    lookers: Vec<(&'static str, JoinHandle<Looked>)>,
    readers: Vec<(&'static str, JoinHandle<Read>)>,
    stop: CancellationToken,
    left_out: Arc<AtomicU64>,
}

/// What they saw.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) sampled: BTreeMap<String, Sampled>,
    pub(crate) reads: BTreeMap<String, Sampled>,
    pub(crate) caveats: Vec<String>,
}

/// What the threads need of a run.
#[derive(Debug)]
pub(crate) struct Scene<'s> {
    pub(crate) scenario: &'s Scenario,
    pub(crate) recorder: &'s Arc<Recorder>,
    pub(crate) began: Instant,
}

impl Watch {
    /// Starts the threads that these stores call for, and gives the desk where samples are offered, if any.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn begin(stores: &Stores, scene: &Scene<'_>) -> io::Result<(Option<SampleDesk>, Self)> {
        let mut watch = Self::default();
        let found = Arc::new(Found::default());
        let mut desks = Vec::new();
        if stores.has_record() {
            let feeds = Some(Arc::clone(&found));
            desks.push(watch.look("record", Metric::StoredRecord, stores, scene, feeds)?);
        }
        if stores.has_events() {
            let feeds = (!stores.has_record()).then(|| Arc::clone(&found));
            desks.push(watch.look("events", Metric::StoredEvents, stores, scene, feeds)?);
        }
        let desk = SampleDesk::new(desks, &scene.scenario.sample, scene.began, Arc::clone(&watch.left_out));
        if desk.is_some() && scene.scenario.sample.reads_per_second > 0.0 {
            if stores.has_cache() {
                watch.read("read.cache", Metric::ReadCache, stores, scene, &found)?;
            }
            if stores.has_record() {
                watch.read("read.record", Metric::ReadRecord, stores, scene, &found)?;
            }
        }
        Ok((desk, watch))
    }

    fn look(
        &mut self,
        name: &'static str,
        metric: Metric,
        stores: &Stores,
        scene: &Scene<'_>,
        found: Option<Arc<Found>>,
    ) -> io::Result<mpsc::Sender<Arc<Wanted>>> {
        let (desk, wanted) = mpsc::channel(QUEUE);
        let (stores, recorder, left_out) =
            (stores.clone(), Arc::clone(scene.recorder), Arc::clone(&self.left_out));
        let sample = scene.scenario.sample.clone();
        let thread = in_thread(format!("look-{name}"), async move || {
            let eye = match metric {
                Metric::StoredEvents => stores.eye_on_events().await,
                _ => stores.eye_on_record().await,
            };
            let eye = match eye {
                Ok(Some(eye)) => eye,
                Ok(None) => return Looked::default(),
                Err(error) => return Looked { trouble: Some(error.to_string()), ..Looked::default() },
            };
            let (look_every, missing_after) = (sample.look_every.0, sample.missing_after.0);
            let looker = Looker {
                eye,
                metric,
                wanted,
                recorder,
                shard: metric as u32,
                look_every,
                missing_after,
                found,
                left_out,
            };
            looker.run().await
        })?;
        self.lookers.push((name, thread));
        Ok(desk)
    }

    fn read(
        &mut self,
        name: &'static str,
        metric: Metric,
        stores: &Stores,
        scene: &Scene<'_>,
        found: &Arc<Found>,
    ) -> io::Result<()> {
        let (stores, recorder, found, stop) =
            (stores.clone(), Arc::clone(scene.recorder), Arc::clone(found), self.stop.clone());
        let (per_second, began) = (scene.scenario.sample.reads_per_second, scene.began);
        let measured_from = began + scene.scenario.load.warm_up.0;
        let thread = in_thread(name.to_owned(), async move || {
            let reading = match metric {
                Metric::ReadCache => stores.reading_of_cache().await,
                _ => stores.reading_of_record().await,
            };
            let reading = match reading {
                Ok(Some(reading)) => reading,
                Ok(None) => return Read::default(),
                Err(error) => return Read { trouble: Some(error.to_string()), ..Read::default() },
            };
            let shard = metric as u32;
            let reader =
                Reader { reading, metric, recorder, shard, per_second, began, measured_from, found, stop };
            reader.run().await
        })?;
        self.readers.push((name, thread));
        Ok(())
    }

    /// Waits until everything that was sampled is found or missing, once the desk is gone. Blocks.
    pub(crate) fn finish(self) -> Watched {
        let mut watched = Watched::default();
        for (name, thread) in self.lookers {
            let looked = thread.join().unwrap_or_else(|_| Looked {
                trouble: Some("its thread panicked".to_owned()),
                ..Looked::default()
            });
            watched.sampled.insert(name.to_owned(), looked.sampled);
            watched.caveats.extend(looked.trouble.map(|trouble| format!("looking into {name}: {trouble}")));
        }
        self.stop.cancel();
        for (name, thread) in self.readers {
            let read = thread.join().unwrap_or_else(|_| Read {
                trouble: Some("its thread panicked".to_owned()),
                ..Read::default()
            });
            watched.reads.insert(name.to_owned(), read.hits);
            watched.caveats.extend(read.trouble.map(|trouble| format!("{name}: {trouble}")));
        }
        let left_out = self.left_out.load(Ordering::Relaxed);
        if left_out > 0 {
            watched
                .caveats
                .push(format!("{left_out} samples were left out: too many were waited for at once"));
        }
        watched
    }

    /// Ends the reads, which go on as long as sightings are sent.
    pub(crate) fn stop_reading(&self) {
        self.stop.cancel();
    }
}

/// Runs a task on a thread and a runtime of its own, so that it may block, and nothing else disturbs its times.
fn in_thread<T: Send + 'static, F: Future<Output = T>>(
    name: String,
    task: impl FnOnce() -> F + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name).spawn(move || runtime.block_on(task()))
}
