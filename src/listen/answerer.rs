//! Answers of one session: waits for each in turn until it may leave, and sends those due together in one ack.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use beacon_protocol::{AckEncoder, HEADER_BYTES, MAX_FRAME_BYTES};
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::{Instant as Deadline, sleep_until};

use super::outlet::Outlet;
use super::sequences::Sequences;
use super::translate::{preferences_record, repeat_record, sightings_record};
use crate::latency::{Latencies, Stage};
use crate::pipeline::{Admitted, AdmittedPreferences, Answer, PendingAnswer, PendingPreferences};

/// How long a gateway on UDP waits for a record before it is told that its frame was received.
const RECEIVED_AFTER: Duration = Duration::from_millis(100);

/// An ack's header and the fields before its records.
const ACK_HEAD_BYTES: usize = HEADER_BYTES + 18;

/// What a session has to say.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// The answer to a sightings frame.
    Sightings { sequence: u64, received_at: Instant, admitted: Admitted },
    /// The answer to a preferences frame.
    Preferences { sequence: u64, admitted: AdmittedPreferences },
    /// The answer to a frame that an earlier session made durable.
    Durable { sequence: u64 },
    /// A record sent before.
    Again(Box<[u8]>),
    /// An ack without records.
    Received,
    /// Any other frame.
    Frame(Vec<u8>),
}

/// Sends what a session has to say. Answers that are final and everything else leave at once; answers that wait for
/// durability leave when they have it, in the order they were given, which is the order they get it in.
#[derive(Debug)]
pub(super) struct Answerer {
    outlet: Outlet,
    sequences: Arc<Mutex<Sequences>>,
    due: Vec<Box<[u8]>>,
    waiting: VecDeque<Waiting>,
    /// Answers given out and perhaps not sent yet.
    unsent: Vec<Answered>,
    latencies: Arc<Latencies>,
    /// Answers that may wait while others are heard of: a gateway within its window never has more.
    waiting_at_most: usize,
}

#[derive(Debug)]
enum Waiting {
    Sightings { sequence: u64, received_at: Instant, pending: PendingAnswer },
    Preferences { sequence: u64, pending: PendingPreferences },
}

/// What is measured of a frame once its answer is sent.
#[derive(Debug, Clone, Copy)]
struct Answered {
    received_at: Instant,
    final_at: Instant,
    sightings: u64,
}

impl Answered {
    fn of(received_at: Instant, answer: &Answer) -> Option<Self> {
        let sightings = answer.counts.total();
        answer.final_at.map(|final_at| Self { received_at, final_at, sightings })
    }
}

enum Step {
    Say(Option<Outgoing>),
    Settled(u64, Box<[u8]>, Option<Answered>),
    /// The daemon stops before it can say: the frame stays unanswered.
    Unsettled,
    TellReceived,
}

impl Answerer {
    pub(super) const fn new(
        outlet: Outlet,
        sequences: Arc<Mutex<Sequences>>,
        window_frames: usize,
        latencies: Arc<Latencies>,
    ) -> Self {
        Self {
            outlet,
            sequences,
            due: Vec::new(),
            waiting: VecDeque::new(),
            unsent: Vec::new(),
            latencies,
            waiting_at_most: window_frames,
        }
    }

    /// Runs until everything was said, and gives the way out back.
    ///
    /// # Errors
    /// When the gateway is gone. What it was owed is decided and counted all the same.
    pub(super) async fn run(mut self, mut outgoing: mpsc::Receiver<Outgoing>) -> io::Result<Outlet> {
        let mut open = true;
        let mut tell_received_at: Option<Deadline> = None;
        while open || !self.waiting.is_empty() {
            let step = match self.ready_step(&mut outgoing, open) {
                Some(step) => step,
                None => {
                    // What is due does not wait for what is not.
                    self.flush().await?;
                    self.next_step(&mut outgoing, open, tell_received_at).await
                }
            };
            match step {
                Step::Say(Some(next)) => {
                    let waited = self.waiting.len();
                    self.say(next).await?;
                    if self.waiting.len() > waited && self.outlet.is_udp() {
                        tell_received_at.get_or_insert_with(|| Deadline::now() + RECEIVED_AFTER);
                    }
                }
                Step::Say(None) => open = false,
                Step::Settled(sequence, record, answered) => {
                    self.waiting.pop_front();
                    self.answered(sequence, record, answered);
                    tell_received_at = tell_received_at.filter(|_| !self.waiting.is_empty());
                }
                Step::Unsettled => {
                    self.waiting.pop_front();
                }
                Step::TellReceived => {
                    tell_received_at = None;
                    self.send_ack_without_records().await?;
                }
            }
        }
        self.flush().await?;
        Ok(self.outlet)
    }

    /// What can be done without waiting.
    fn ready_step(&mut self, outgoing: &mut mpsc::Receiver<Outgoing>, open: bool) -> Option<Step> {
        if let Some(settled) = settled(self.waiting.front_mut()).now_or_never() {
            return Some(settled);
        }
        if !open || self.waiting.len() > self.waiting_at_most {
            return None;
        }
        match outgoing.try_recv() {
            Ok(next) => Some(Step::Say(Some(next))),
            Err(TryRecvError::Disconnected) => Some(Step::Say(None)),
            Err(TryRecvError::Empty) => None,
        }
    }

    async fn next_step(
        &mut self,
        outgoing: &mut mpsc::Receiver<Outgoing>,
        open: bool,
        tell_received_at: Option<Deadline>,
    ) -> Step {
        let hears = open && self.waiting.len() <= self.waiting_at_most;
        tokio::select! {
            biased;
            settled = settled(self.waiting.front_mut()) => settled,
            next = outgoing.recv(), if hears => Step::Say(next),
            () = sleep_until(tell_received_at.unwrap_or_else(Deadline::now)), if tell_received_at.is_some() => {
                Step::TellReceived
            }
        }
    }

    async fn say(&mut self, outgoing: Outgoing) -> io::Result<()> {
        match outgoing {
            Outgoing::Sightings { sequence, received_at, admitted: Admitted::Final(answer) } => {
                let answered = Answered::of(received_at, &answer);
                self.answered(sequence, sightings_record(sequence, &answer), answered);
            }
            Outgoing::Preferences { sequence, admitted: AdmittedPreferences::Final(answer) } => {
                self.answered(sequence, preferences_record(sequence, answer), None);
            }
            Outgoing::Sightings { sequence, received_at, admitted: Admitted::Pending(pending) } => {
                self.waiting.push_back(Waiting::Sightings { sequence, received_at, pending });
            }
            Outgoing::Preferences { sequence, admitted: AdmittedPreferences::Pending(pending) } => {
                self.waiting.push_back(Waiting::Preferences { sequence, pending });
            }
            Outgoing::Durable { sequence } => self.answered(sequence, repeat_record(sequence), None),
            Outgoing::Again(record) => self.due.push(record),
            Outgoing::Received => {
                self.send_due().await?;
                self.send_ack_without_records().await?;
            }
            Outgoing::Frame(frame) => {
                self.send_due().await?;
                self.outlet.send(&frame).await?;
            }
        }
        Ok(())
    }

    fn answered(&mut self, sequence: u64, record: Box<[u8]>, answered: Option<Answered>) {
        self.due.push(record.clone());
        self.unsent.extend(answered);
        self.sequences.lock().unwrap_or_else(PoisonError::into_inner).answered(sequence, record);
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.send_due().await?;
        self.outlet.flush().await?;
        if !self.unsent.is_empty() {
            let sent_at = Instant::now();
            for Answered { received_at, final_at, sightings } in self.unsent.drain(..) {
                // What was settled on another thread may seem to have been final a moment after it was sent.
                let took = sent_at.saturating_duration_since(final_at);
                self.latencies.record(Stage::Answer, took, sightings);
                self.latencies.record(Stage::ReceivedToAcked, sent_at - received_at, sightings);
            }
        }
        Ok(())
    }

    /// Sends the records due, as many in an ack as fit.
    async fn send_due(&mut self) -> io::Result<()> {
        let mut due = std::mem::take(&mut self.due);
        let mut rest = due.as_slice();
        while let Some(first) = rest.first() {
            let (cumulative, received) = self.progress();
            let frame_bytes =
                self.outlet.frame_bytes().max(first.len() + ACK_HEAD_BYTES).min(MAX_FRAME_BYTES);
            let frame = self.outlet.frame(frame_bytes);
            let mut sent = 0;
            let mut length = 0;
            if let Ok(mut ack) = AckEncoder::new(frame, cumulative, received) {
                sent = rest.iter().take_while(|record| ack.push_encoded(record).is_ok()).count();
                length = ack.finish().unwrap_or_default();
            }
            self.outlet.send_frame(frame_bytes, length).await?;
            // A record that fits no frame cannot be: its exceptions are bounded by the sightings of a frame.
            rest = &rest[sent.max(1)..];
        }
        due.clear();
        self.due = due;
        Ok(())
    }

    async fn send_ack_without_records(&mut self) -> io::Result<()> {
        let (cumulative, received) = self.progress();
        let mut frame = [0; 64];
        let length = AckEncoder::new(&mut frame, cumulative, received).and_then(|ack| ack.finish());
        self.outlet.send(&frame[..length.unwrap_or_default()]).await
    }

    fn progress(&self) -> (u64, u64) {
        let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        (sequences.cumulative(), sequences.received_bitmap())
    }
}

/// The first answer that waits, once it is settled; never, when none waits.
async fn settled(first: Option<&mut Waiting>) -> Step {
    match first {
        Some(Waiting::Sightings { sequence, received_at, pending }) => {
            let Some(answer) = pending.settled().await else { return Step::Unsettled };
            let answered = Answered::of(*received_at, &answer);
            Step::Settled(*sequence, sightings_record(*sequence, &answer), answered)
        }
        Some(Waiting::Preferences { sequence, pending }) => match pending.settled().await {
            Some(answer) => Step::Settled(*sequence, preferences_record(*sequence, answer), None),
            None => Step::Unsettled,
        },
        None => std::future::pending().await,
    }
}
