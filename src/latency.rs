//! How long each stage of a sighting's way takes, as histograms that are read while they are written.

mod histogram;
mod reading;

use std::array;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use self::histogram::StageHistogram;
pub use self::histogram::{EDGES, LONGEST};
pub use self::reading::{Percentiles, StageReading};

/// A stage of the way of a frame. Neighbours share their timestamps, so that for one frame, to the nanosecond:
///
/// - received to record = decode + admit + journal queue + journal write + record queue + record write
/// - received to events = the same with the queue and the write of the events
/// - received to acked = decode + admit + journal queue + journal write + answer at level `journal`, without the journal's
///   where it brought nothing to store; at level `stored` received to the last store + answer.
///
/// Admit is one of the three tiers. A frame that brings nothing new but leans on what another frame brought waits for
/// that frame's entry; this wait is in received to acked and in no other stage. What a store read back from the files is only in
/// its write and in received to it. Over many frames the sums of stages
/// counted by sighting and of those counted by identity have other weights; within either they add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// From the frame received to its claims read. Counted a sighting, as the next five are.
    Decode,
    /// To its outcomes, where every beacon was in memory; the waits for room and for late questions are in it.
    AdmitMemory,
    /// The same where at least one beacon came from the shared cache.
    AdmitCache,
    /// The same where at least one beacon was asked of the system of record, or could not be asked.
    AdmitRecord,
    /// From an answer final to it sent.
    Answer,
    /// From the frame received to its answer sent.
    ReceivedToAcked,
    /// From the outcomes to the start of the journal's write. Counted an identity, as all below.
    JournalQueue,
    /// The journal's write and its sync.
    JournalWrite,
    /// From durable in the journal to the start of the write into the system of record.
    RecordQueue,
    /// The write into the system of record, retries included.
    RecordWrite,
    /// From durable in the journal to the start of the write of the events.
    EventsQueue,
    /// The write of the events, retries included.
    EventsWrite,
    /// From the frame received to its identities in the system of record.
    ReceivedToRecord,
    /// From the frame received to its events stored.
    ReceivedToEvents,
}

/// How many stages there are.
pub const STAGES: usize = 14;

/// Threads that never wait for each other. Those beyond share, and still count right.
const SHARDS: usize = 64;

impl Stage {
    /// All of them, in the order of the way.
    pub const ALL: [Self; STAGES] = [
        Self::Decode,
        Self::AdmitMemory,
        Self::AdmitCache,
        Self::AdmitRecord,
        Self::Answer,
        Self::ReceivedToAcked,
        Self::JournalQueue,
        Self::JournalWrite,
        Self::RecordQueue,
        Self::RecordWrite,
        Self::EventsQueue,
        Self::EventsWrite,
        Self::ReceivedToRecord,
        Self::ReceivedToEvents,
    ];

    /// Its name in metrics and pages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::AdmitMemory => "admit_memory",
            Self::AdmitCache => "admit_cache",
            Self::AdmitRecord => "admit_record",
            Self::Answer => "answer",
            Self::ReceivedToAcked => "received_to_acked",
            Self::JournalQueue => "journal_queue",
            Self::JournalWrite => "journal_write",
            Self::RecordQueue => "record_queue",
            Self::RecordWrite => "record_write",
            Self::EventsQueue => "events_queue",
            Self::EventsWrite => "events_write",
            Self::ReceivedToRecord => "received_to_record",
            Self::ReceivedToEvents => "received_to_events",
        }
    }

    /// What is counted in it: `sighting` or `identity`.
    #[must_use]
    pub const fn counted(self) -> &'static str {
        match self {
            Self::Decode
            | Self::AdmitMemory
            | Self::AdmitCache
            | Self::AdmitRecord
            | Self::Answer
            | Self::ReceivedToAcked => "sighting",
            Self::JournalQueue
            | Self::JournalWrite
            | Self::RecordQueue
            | Self::RecordWrite
            | Self::EventsQueue
            | Self::EventsWrite
            | Self::ReceivedToRecord
            | Self::ReceivedToEvents => "identity",
        }
    }
}

/// The histograms of all stages since start.
///
/// Every thread records into a shard of its own, whose locks are free but for the moment of a reading: two threads do not
/// slow each other down as they do with one histogram behind a lock. A shard's histogram of a stage takes 27 KB from its
/// first use: half a megabyte on two cores, 20 MB at most.
pub struct Latencies {
    shards: [Shard; SHARDS],
}

/// Each histogram behind an allocation of its own: no two threads write to one cache line.
type Shard = [OnceLock<Box<Mutex<StageHistogram>>>; STAGES];

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latencies").finish_non_exhaustive()
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// Empty histograms.
    #[must_use]
    pub fn new() -> Self {
        Self { shards: array::from_fn(|_| array::from_fn(|_| OnceLock::new())) }
    }

    /// Counts `count` sightings or identities that took so long. Longer than [`LONGEST`] counts as that long.
    pub fn record(&self, stage: Stage, took: Duration, count: u64) {
        if count == 0 {
            return;
        }
        let histogram = self.shards[shard_of_this_thread()][stage as usize].get_or_init(Box::default);
        histogram.lock().unwrap_or_else(PoisonError::into_inner).record(took, count);
    }

    /// Reads a stage. All of a record is in it or nothing of it; what is being recorded meanwhile may be missing, so
    /// two stages read one after the other may differ by frames on their way between them.
    #[must_use]
    pub fn read(&self, stage: Stage) -> StageReading {
        let mut total = StageHistogram::default();
        for histogram in self.shards.iter().filter_map(|shard| shard[stage as usize].get()) {
            total.add(&histogram.lock().unwrap_or_else(PoisonError::into_inner));
        }
        StageReading::new(total)
    }
}

fn shard_of_this_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
    }
    SHARD.with(|shard| {
        shard.get().unwrap_or_else(|| {
            let next = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
            shard.set(Some(next));
            next
        })
    })
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;

    /// The stages of one frame of identities, as its neighbours' shared timestamps give them.
    fn record_frame(latencies: &Latencies, steps_ns: [u64; 7], count: u64) {
        let received_at = Instant::now();
        let mut at = [received_at; 8];
        for (step, ns) in steps_ns.into_iter().enumerate() {
            at[step + 1] = at[step] + Duration::from_nanos(ns);
        }
        let stages = [
            Stage::Decode,
            Stage::AdmitMemory,
            Stage::RecordQueue,
            Stage::RecordWrite,
            Stage::EventsQueue,
            Stage::EventsWrite,
            Stage::Answer,
        ];
        for (step, stage) in stages.into_iter().enumerate() {
            latencies.record(stage, at[step + 1] - at[step], count);
        }
        latencies.record(Stage::ReceivedToRecord, at[4] - received_at, count);
        latencies.record(Stage::ReceivedToEvents, at[6] - received_at, count);
        latencies.record(Stage::ReceivedToAcked, at[7] - received_at, count);
    }

    #[test]
    fn stages_sum_to_their_totals_to_the_nanosecond() {
        let latencies = Latencies::new();
        for frame in 0..1_000_u64 {
            let step = |factor: u64| frame * factor % 700_001 + 13;
            let steps =
                [step(31), step(1_009), step(77_773), step(104_729), step(7), step(999_983), step(501)];
            record_frame(&latencies, steps, frame % 64 + 1);
        }
        let sum = |stages: &[Stage]| stages.iter().map(|&stage| latencies.read(stage).sum_ns).sum::<u128>();
        let to_record = [Stage::Decode, Stage::AdmitMemory, Stage::RecordQueue, Stage::RecordWrite];
        assert_eq!(sum(&to_record), sum(&[Stage::ReceivedToRecord]));
        let rest = [Stage::ReceivedToRecord, Stage::EventsQueue, Stage::EventsWrite];
        assert_eq!(sum(&rest), sum(&[Stage::ReceivedToEvents]));
        assert_eq!(sum(&[Stage::ReceivedToEvents, Stage::Answer]), sum(&[Stage::ReceivedToAcked]));
        assert!(sum(&to_record) > 0);
    }

    #[test]
    fn nothing_recorded_by_many_threads_at_once_is_missing() {
        let latencies = Latencies::new();
        thread::scope(|scope| {
            for thread in 0..8_u64 {
                let latencies = &latencies;
                scope.spawn(move || {
                    for call in 0..10_000_u64 {
                        latencies.record(Stage::Decode, Duration::from_micros(thread * 10_000 + call), 3);
                    }
                });
            }
            for _ in 0..100 {
                let reading = latencies.read(Stage::Decode);
                assert_eq!(reading.sum_ns % 3_000, 0, "a record was read by halves");
                assert_eq!(reading.count % 3, 0, "a record was read by halves");
            }
        });
        let reading = latencies.read(Stage::Decode);
        assert_eq!(reading.count, 240_000);
        assert_eq!(reading.sum_ns, 3_000 * (0..80_000_u128).sum::<u128>());
        assert_eq!(reading.percentiles.max_us, 79_999);
        assert_eq!(latencies.read(Stage::Answer).count, 0);
    }

    #[test]
    fn stages_stand_in_the_order_of_their_numbers_under_names_of_their_own() {
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index);
            assert!(Stage::ALL[..index].iter().all(|other| other.name() != stage.name()));
        }
    }
}
