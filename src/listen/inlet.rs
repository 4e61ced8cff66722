//! Frames of one session on their way in: told apart, put in order, admitted.

use std::sync::{Arc, Mutex, PoisonError};

use beacon_protocol::{Goodbye, GoodbyeReason, Message, Ping, Pong, Preferences, RefusalCode, Sightings};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Context;
use super::answerer::Outgoing;
use super::counters::count;
use super::hello::{Greeting, Refuse};
use super::sequences::{Arrival, Order, Sequences};
use super::translate::{beacon_claim, claimed_sightings};
use crate::domain::clock::ClockReading;
use crate::domain::frame::{AckLevel, FrameId};
use crate::domain::gateway::Gateway;
use crate::domain::preference::PreferenceChange;
use crate::domain::sighting::BeaconClaim;
use crate::domain::time::Timestamp;
use crate::pipeline::{Admitter, FrameClaim, Received};

/// The way in of one session.
#[derive(Debug)]
pub(super) struct Inlet {
    context: Arc<Context>,
    gateway: Arc<Gateway>,
    boot_epoch: u64,
    level: AckLevel,
    order: Order,
    sequences: Arc<Mutex<Sequences>>,
    admitter: Admitter,
    outgoing: mpsc::Sender<Outgoing>,
    claims: Vec<BeaconClaim>,
}

/// Why a session takes no more frames.
#[derive(Debug)]
pub(super) enum End {
    /// The gateway or the daemon has said goodbye, or the gateway sends no more: what is due is still answered.
    Leaving,
    /// The answerer is gone: nobody hears of it.
    Unheard,
    Refused(Refuse),
}

impl From<Refuse> for End {
    fn from(refuse: Refuse) -> Self {
        Self::Refused(refuse)
    }
}

impl Inlet {
    pub(super) fn new(
        context: Arc<Context>,
        greeting: &Greeting,
        order: Order,
        sequences: Arc<Mutex<Sequences>>,
        outgoing: mpsc::Sender<Outgoing>,
    ) -> Self {
        let admitter = Admitter::new(Arc::clone(&context.pipeline), greeting.level);
        Self {
            context,
            gateway: Arc::clone(&greeting.gateway),
            boot_epoch: greeting.welcome.boot_epoch,
            level: greeting.level,
            order,
            sequences,
            admitter,
            outgoing,
            claims: Vec::new(),
        }
    }

    /// Deals with one sound frame that `received` then. May wait, for room above all; dropping the future before
    /// it ends leaves a frame undecided.
    ///
    /// # Errors
    /// Why the session, or on UDP the frame, has come to its end.
    pub(super) async fn take(&mut self, message: Message<'_>, received: &Received) -> Result<(), End> {
        match message {
            Message::Sightings(frame) => self.sightings(&frame, received).await,
            Message::Preferences(frame) => self.preferences(&frame, received).await,
            Message::Ping(ping) => self.pong(ping).await,
            Message::Pong(_) => Ok(()),
            Message::GatewayStatus(_) => {
                count(&self.context.counters.gateway_statuses);
                Ok(())
            }
            Message::Goodbye(_) => Err(End::Leaving),
            Message::Skipped(_) => {
                count(&self.context.counters.frames_skipped);
                Ok(())
            }
            // Nothing is ever refused in answer to a refusal.
            Message::Refusal(_) => Err(End::Leaving),
            Message::Hello(_) | Message::Welcome(_) | Message::Ack(_) => Err(Refuse::new(
                RefusalCode::UnexpectedKind,
                "a gateway may not send this in an open session",
            )
            .into()),
        }
    }

    /// Says goodbye to the gateway: the daemon stops.
    pub(super) async fn drain(&self) {
        let deadline = self.context.limits.now().drain_deadline;
        let deadline_ms = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX);
        let goodbye = Goodbye { reason: GoodbyeReason::Draining, deadline_ms };
        let mut frame = vec![0; 64];
        if let Ok(length) = goodbye.encode(&mut frame) {
            frame.truncate(length);
            // An answerer that is gone has no gateway to say goodbye to.
            let _ = self.outgoing.send(Outgoing::Frame(frame)).await;
        }
    }

    async fn sightings(&mut self, frame: &Sightings<'_>, received: &Received) -> Result<(), End> {
        let Some(claim) = self.arrives(frame.sequence, frame.identity_checksum()).await? else {
            return Ok(());
        };
        self.gateway = self.registered(frame.sequence).await?;
        self.claims.clear();
        self.claims.extend(frame.beacons().map(beacon_claim));
        let sightings: Vec<_> = claimed_sightings(frame, received.clock.now).collect();
        // The place first: what is decided is also answered, whatever stops this session.
        let place = self.outgoing.reserve().await.map_err(|_| End::Unheard)?;
        let admitting = self.admitter.sightings(&self.gateway, claim, received, &self.claims, &sightings);
        let admitted = unhurried(&self.context, admitting).await?;
        place.send(Outgoing::Sightings { sequence: frame.sequence, received_at: received.at, admitted });
        Ok(())
    }

    async fn preferences(&mut self, frame: &Preferences<'_>, received: &Received) -> Result<(), End> {
        let Some(frame_claim) = self.arrives(frame.sequence, frame.identity_checksum()).await? else {
            return Ok(());
        };
        self.gateway = self.registered(frame.sequence).await?;
        let updated_at = Timestamp::from_micros(frame.updated_at.origin(received.clock.now.as_micros()));
        let pairs = frame.pairs().map(|pair| (pair.key, pair.value));
        let claim = PreferenceChange::from_claim(frame.customer_id, updated_at, pairs);
        let place = self.outgoing.reserve().await.map_err(|_| End::Unheard)?;
        let admitting = self.admitter.preferences(&self.gateway, frame_claim, received, claim);
        let admitted = unhurried(&self.context, admitting).await?;
        place.send(Outgoing::Preferences { sequence: frame.sequence, admitted });
        Ok(())
    }

    /// A sequenced frame that is new and to be decided; one that is not is answered.
    async fn arrives(&self, sequence: u64, checksum: u32) -> Result<Option<FrameClaim>, End> {
        let (arrival, answered_up_to) = self.arrival(sequence, checksum);
        let again = match arrival {
            Arrival::New => {
                let boot_epoch = self.boot_epoch;
                return Ok(Some(FrameClaim { boot_epoch, sequence, checksum, answered_up_to }));
            }
            Arrival::Durable => Some(Outgoing::Durable { sequence }),
            Arrival::Answered(record) => Some(Outgoing::Again(record)),
            Arrival::Forgotten => Some(Outgoing::Received),
            Arrival::InProgress => (self.order == Order::Any).then_some(Outgoing::Received),
            Arrival::Reused => {
                let text = "this sequence was used for another frame";
                return Err(Refuse::new(RefusalCode::SequenceReused, text).of_sequence(sequence).into());
            }
            Arrival::Gap => {
                let text = "this sequence may not come now";
                return Err(Refuse::new(RefusalCode::SequenceGap, text).of_sequence(sequence).into());
            }
        };
        self.context.pipeline.count_repeated_frame();
        if let Some(again) = again {
            self.say(again).await?;
        }
        Ok(None)
    }

    /// What to do with a sequenced frame, and up to where all before it were answered.
    fn arrival(&self, sequence: u64, checksum: u32) -> (Arrival, u64) {
        let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        let arrival = sequences.arrive(sequence, checksum, || {
            let gateway = self.gateway.id.clone();
            let id = FrameId { gateway, boot_epoch: self.boot_epoch, sequence, checksum };
            self.context.pipeline.frame_standing(&id, self.level)
        });
        (arrival, sequences.cumulative())
    }

    async fn registered(&self, sequence: u64) -> Result<Arc<Gateway>, End> {
        let registered = self.context.gateway(&self.gateway.id, Some(&self.gateway)).await;
        registered.map_err(|refuse| refuse.of_sequence(sequence).into())
    }

    async fn pong(&self, ping: Ping) -> Result<(), End> {
        let mut frame = vec![0; 64];
        let length = pong(ping, &self.context.clock.read()).encode(&mut frame).unwrap_or_default();
        frame.truncate(length);
        self.say(Outgoing::Frame(frame)).await
    }

    async fn say(&self, outgoing: Outgoing) -> Result<(), End> {
        self.outgoing.send(outgoing).await.map_err(|_| End::Unheard)
    }
}

/// Lets a frame wait for room as long as a session may be idle. While it waits nobody reads what its gateway says, its
/// leaving least of all: past that it is one that has left, and what is undecided it sends again elsewhere.
async fn unhurried<T>(context: &Context, admitting: impl Future<Output = T>) -> Result<T, End> {
    timeout(context.limits.now().idle_timeout, admitting).await.map_err(|_| End::Unheard)
}

/// The answer to a ping.
pub(super) const fn pong(ping: Ping, clock: &ClockReading) -> Pong {
    Pong { token: ping.token, time_us: clock.now.as_micros() }
}
