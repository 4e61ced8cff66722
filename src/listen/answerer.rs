//! Answers of one session: waits for each in turn until it may leave, and sends those due together in one ack.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beacon_protocol::{AckEncoder, HEADER_BYTES, MAX_FRAME_BYTES};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::outlet::Outlet;
use super::sequences::Sequences;
use super::translate::{preferences_record, sightings_record};
use crate::pipeline::{Admitted, AdmittedPreferences, PendingAnswer, PendingPreferences};

/// How long a gateway on UDP waits for a record before it is told that its frame was received.
const RECEIVED_AFTER: Duration = Duration::from_millis(100);

/// What a session has to say.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// The answer to a sightings frame.
    Sightings { sequence: u64, admitted: Admitted },
    /// The answer to a preferences frame.
    Preferences { sequence: u64, admitted: AdmittedPreferences },
    /// A record sent before.
    Again(Box<[u8]>),
    /// An ack without records.
    Received,
    /// Any other frame.
    Frame(Vec<u8>),
}

/// Sends what a session has to say, in the order it is given it.
#[derive(Debug)]
pub(super) struct Answerer {
    outlet: Outlet,
    sequences: Arc<Mutex<Sequences>>,
    due: VecDeque<Box<[u8]>>,
}

enum Waiting {
    Sightings { sequence: u64, pending: PendingAnswer },
    Preferences { sequence: u64, pending: PendingPreferences },
}

impl Answerer {
    pub(super) const fn new(outlet: Outlet, sequences: Arc<Mutex<Sequences>>) -> Self {
        Self { outlet, sequences, due: VecDeque::new() }
    }

    /// Runs until everything was said, and gives the way out back.
    ///
    /// # Errors
    /// When the gateway is gone. What it was owed is decided and counted all the same.
    pub(super) async fn run(mut self, mut outgoing: mpsc::Receiver<Outgoing>) -> io::Result<Outlet> {
        loop {
            let next = match outgoing.try_recv() {
                Ok(next) => next,
                Err(_) => {
                    self.flush().await?;
                    match outgoing.recv().await {
                        Some(next) => next,
                        None => return Ok(self.outlet),
                    }
                }
            };
            self.say(next).await?;
        }
    }

    async fn say(&mut self, outgoing: Outgoing) -> io::Result<()> {
        let waiting = match outgoing {
            Outgoing::Sightings { sequence, admitted: Admitted::Final(answer) } => {
                self.answered(sequence, sightings_record(sequence, &answer));
                return Ok(());
            }
            Outgoing::Preferences { sequence, admitted: AdmittedPreferences::Final(answer) } => {
                self.answered(sequence, preferences_record(sequence, answer));
                return Ok(());
            }
            Outgoing::Sightings { sequence, admitted: Admitted::Pending(pending) } => {
                Waiting::Sightings { sequence, pending }
            }
            Outgoing::Preferences { sequence, admitted: AdmittedPreferences::Pending(pending) } => {
                Waiting::Preferences { sequence, pending }
            }
            Outgoing::Again(record) => {
                self.due.push_back(record);
                return Ok(());
            }
            Outgoing::Received => {
                self.send_due().await?;
                return self.send_ack_without_records().await;
            }
            Outgoing::Frame(frame) => {
                self.send_due().await?;
                return self.outlet.send(&frame).await;
            }
        };
        self.wait(waiting).await
    }

    async fn wait(&mut self, waiting: Waiting) -> io::Result<()> {
        let settled = async {
            match waiting {
                Waiting::Sightings { sequence, pending } => {
                    (sequence, sightings_record(sequence, &pending.settled().await))
                }
                Waiting::Preferences { sequence, pending } => {
                    (sequence, preferences_record(sequence, pending.settled().await))
                }
            }
        };
        tokio::pin!(settled);
        let (sequence, record) = match futures_util::future::poll_immediate(&mut settled).await {
            Some(settled) => settled,
            None => {
                // What is due already does not wait for what is not.
                self.flush().await?;
                if let Outlet::Udp(_) = self.outlet {
                    match timeout(RECEIVED_AFTER, &mut settled).await {
                        Ok(settled) => settled,
                        Err(_) => {
                            self.send_ack_without_records().await?;
                            settled.await
                        }
                    }
                } else {
                    settled.await
                }
            }
        };
        self.answered(sequence, record);
        Ok(())
    }

    fn answered(&mut self, sequence: u64, record: Box<[u8]>) {
        self.due.push_back(record.clone());
        self.sequences.lock().unwrap_or_else(PoisonError::into_inner).answered(sequence, record);
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.send_due().await?;
        self.outlet.flush().await
    }

    /// Sends the records due, as many in an ack as fit.
    async fn send_due(&mut self) -> io::Result<()> {
        while let Some(first) = self.due.front() {
            let frame_bytes =
                self.outlet.frame_bytes().max(first.len() + HEADER_BYTES + 18).min(MAX_FRAME_BYTES);
            let (cumulative, received) = self.progress();
            let mut frame = vec![0; frame_bytes];
            let mut sent = 0;
            let mut length = 0;
            if let Ok(mut ack) = AckEncoder::new(&mut frame, cumulative, received) {
                sent = self.due.iter().take_while(|record| ack.push_encoded(record).is_ok()).count();
                length = ack.finish().unwrap_or_default();
            }
            // A record that fits no frame cannot be: its exceptions are bounded by the sightings of a frame.
            self.due.drain(..sent.max(1));
            self.outlet.send(&frame[..length]).await?;
        }
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
