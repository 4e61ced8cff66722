//! A gateway's side of the protocol over tokio: sessions, window, repeats, resume, and undecided sightings again.
//!
//! A [`Gateway`] runs one task that owns the connection. Frames are encoded once, numbered by the client and kept
//! until their result record comes, over as many sessions as it takes; what is kept is bounded by settings, and
//! [`send`](Gateway::send) waits while a bound is reached. Every frame ends in one [`Event::Answered`].
//!
//! A gateway may know several daemons ([`GatewayConfig::other_targets`]). It goes elsewhere when its daemon says
//! goodbye, refuses the session, cannot be reached or does not answer pings, never because answers are late; there it
//! resumes with the same epoch and sends again what has no record.
//!
//! ```no_run
//! # async fn example(beacon: beacon_protocol::BeaconRef) -> Result<(), beacon_protocol::client::ClientError> {
//! use beacon_protocol::client::{Event, Gateway, GatewayConfig, OutgoingFrame, Target};
//! use beacon_protocol::{SightingRef, TimeBase};
//!
//! let target = Target::Tcp(std::net::SocketAddr::from(([127, 0, 0, 1], 7400)));
//! let mut gateway = Gateway::connect(GatewayConfig::new(target, "kitchen-1", 1)).await?;
//! let seen = SightingRef { beacon_index: 0, rssi_dbm: -61, time_offset_us: 0, customer_id: b"cust123" };
//! gateway.send(OutgoingFrame::sightings(TimeBase::Age(0), &[beacon], &[seen])?, 7).await?;
//! while let Some(event) = gateway.next_event().await? {
//!     if let Event::Answered(answer) = event {
//!         println!("frame {} of tag {}: {:?}", answer.sequence, answer.tag, answer.counts);
//!         break;
//!     }
//! }
//! let summary = gateway.finish(std::time::Duration::from_secs(5)).await?;
//! assert_eq!(summary.unanswered_frames, 0);
//! # Ok(())
//! # }
//! ```

mod backoff;
mod config;
mod driver;
mod ending;
mod error;
mod event;
mod frame;
mod handshake;
mod link;
mod liveness;
mod outbox;
mod pending;
mod reaction;
mod rtt;
mod session;
mod targets;
mod undecided;

pub use backoff::BackoffRange;
pub use config::{
    DEFAULT_ATTEMPT_TIMEOUT, DEFAULT_CONNECT_DEADLINE, DEFAULT_EVENT_CAPACITY, DEFAULT_HELLO_BACKOFF,
    DEFAULT_MAX_IN_FLIGHT_FRAMES, DEFAULT_MAX_UNDECIDED_BYTES, DEFAULT_PONG_TIMEOUT,
    DEFAULT_RECONNECT_BACKOFF, DEFAULT_UNDECIDED_BACKOFF, GatewayConfig, Target, WhenRefused,
};
pub use error::{ClientError, Disconnect};
pub use event::{Answer, Event, Summary};
pub use frame::{FrameLimits, OutgoingFrame};

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::driver::{Channels, Command, Driver, Shared};
use crate::{GatewayStatus, MAX_FRAME_BYTES, TimeBase, Welcome};

/// Frames handed over in one go at the most; more would only be kept twice.
const MAX_QUEUED_COMMANDS: usize = 64;
/// How often a send that waits looks whether it waits for its own caller to read events.
const UNREAD_LOOK: Duration = Duration::from_millis(100);

/// A gateway with a session, or on its way to the next one.
///
/// Dropping it leaves at once; [`finish`](Self::finish) waits for the answers.
#[derive(Debug)]
pub struct Gateway {
    sender: GatewaySender,
    events: GatewayEvents,
    welcome: Welcome,
}

/// The half that sends; see [`Gateway::into_split`].
#[derive(Debug)]
pub struct GatewaySender {
    commands: mpsc::Sender<Command>,
    limits: watch::Receiver<Option<FrameLimits>>,
    shared: Arc<Shared>,
}

/// The half that hears; see [`Gateway::into_split`].
#[derive(Debug)]
pub struct GatewayEvents {
    events: mpsc::Receiver<Event>,
    deadline: watch::Sender<Option<Instant>>,
    shared: Arc<Shared>,
    task: JoinHandle<Summary>,
}

impl Gateway {
    /// Connects and opens a session, trying again until the configured deadline. Refusals met on the way are among
    /// the first events.
    ///
    /// # Errors
    /// A refusal for good, a welcome that breaks the rules, no session in time, a gateway id that cannot be sent, or
    /// daemons over different transports.
    pub async fn connect(config: GatewayConfig) -> Result<Self, ClientError> {
        let on_udp = matches!(config.target, Target::Udp(_));
        if config.other_targets.iter().any(|other| matches!(other, Target::Udp(_)) != on_udp) {
            return Err(ClientError::MixedTransports);
        }
        let seed = getrandom::u64().map_err(|error| ClientError::System(error.to_string()))?;
        let in_flight = config.max_in_flight_frames.max(1);
        let (commands, command_receiver) = mpsc::channel(in_flight.min(MAX_QUEUED_COMMANDS));
        // Room for every frame's answer twice: a caller that reads between sends never stalls its own client.
        let (event_sender, events) = mpsc::channel(config.event_capacity.max(in_flight.saturating_mul(2)));
        let (deadline, deadline_receiver) = watch::channel(None);
        let (limits_sender, limits) = watch::channel(None);
        let shared = Arc::new(Shared::default());
        let channels = Channels {
            commands: command_receiver,
            events: event_sender,
            deadline: deadline_receiver,
            limits: limits_sender,
            shared: Arc::clone(&shared),
        };
        let (connected_sender, connected) = oneshot::channel();
        let driver = Driver::new(config, channels, seed);
        #[expect(
            clippy::disallowed_methods,
            reason = "GatewayEvents holds the handle, joins it and sees its panic"
        )]
        let task = tokio::spawn(driver.run(connected_sender));
        let welcome = connected.await.map_err(|_| ClientError::Ended)??;
        let sender = GatewaySender { commands, limits, shared: Arc::clone(&shared) };
        Ok(Self { sender, events: GatewayEvents { events, deadline, shared, task }, welcome })
    }

    /// What the daemon granted in the first session.
    #[must_use]
    pub const fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The largest frame the current session takes.
    #[must_use]
    pub fn limits(&self) -> FrameLimits {
        self.sender.limits()
    }

    /// Sends a frame; `tag` comes back with its answer. Waits while the window or a bound of the client is reached.
    ///
    /// # Errors
    /// The frame is too large for the session, the client has ended (the reason is the error), or so many events
    /// wait unread that the wait would never end. The frame was not taken then.
    pub async fn send(&mut self, frame: OutgoingFrame, tag: u64) -> Result<(), ClientError> {
        let command = self.sender.checked(frame, tag)?;
        let command = match self.sender.commands.try_send(command) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Full(command) | mpsc::error::TrySendError::Closed(command)) => {
                command
            }
        };
        let events = &self.events.events;
        let hand_over = self.sender.hand_over(command);
        tokio::pin!(hand_over);
        let mut look = tokio::time::interval(UNREAD_LOOK);
        loop {
            tokio::select! {
                biased;
                handed_over = &mut hand_over => return handed_over,
                // Nobody else can read the events while this borrows the client: full means for ever.
                _ = look.tick() => if events.len() >= events.max_capacity() { return Err(ClientError::EventsUnread) },
            }
        }
    }

    /// Sends a customer's preferences as of `updated_at`; as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send), and what the format cannot carry.
    pub async fn preferences<'p>(
        &mut self,
        customer_id: &[u8],
        updated_at: TimeBase,
        pairs: impl IntoIterator<Item = (&'p [u8], &'p [u8])>,
        tag: u64,
    ) -> Result<(), ClientError> {
        self.send(OutgoingFrame::preferences(customer_id, updated_at, pairs)?, tag).await
    }

    /// Sends how the gateway fares; not repeated and not answered.
    ///
    /// # Errors
    /// The client has ended, or the firmware's name is too long.
    pub async fn status(&mut self, status: &GatewayStatus<'_>) -> Result<(), ClientError> {
        self.sender.status(status).await
    }

    /// The next event; `None` once the client has ended because all was done.
    ///
    /// # Errors
    /// Why the client ended, if not because all was done. Nothing is lost when the future is dropped.
    pub async fn next_event(&mut self) -> Result<Option<Event>, ClientError> {
        self.events.next_event().await
    }

    /// An event that is there already.
    pub fn try_next_event(&mut self) -> Option<Event> {
        self.events.events.try_recv().ok()
    }

    /// Waits for all answers, at most for `deadline`, says goodbye and adds up. Events not read yet are dropped.
    ///
    /// # Errors
    /// What ended the client before.
    pub async fn finish(self, deadline: Duration) -> Result<Summary, ClientError> {
        self.finish_with(deadline, |_| {}).await
    }

    /// As [`finish`](Self::finish), handing every event to `on_event`.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub async fn finish_with(
        self,
        deadline: Duration,
        mut on_event: impl FnMut(Event),
    ) -> Result<Summary, ClientError> {
        let Self { sender, mut events, .. } = self;
        events.end_at(Instant::now() + deadline);
        drop(sender);
        while let Some(event) = events.next_event().await? {
            on_event(event);
        }
        events.join().await
    }

    /// One half to send with and one to hear with, for two tasks.
    #[must_use]
    pub fn into_split(self) -> (GatewaySender, GatewayEvents) {
        (self.sender, self.events)
    }
}

impl GatewaySender {
    /// Sends a frame; `tag` comes back with its answer. Waits while the window or a bound of the client is reached,
    /// and while events are not read.
    ///
    /// # Errors
    /// The frame is too large for the session, or the client has ended (the reason is the error).
    pub async fn send(&self, frame: OutgoingFrame, tag: u64) -> Result<(), ClientError> {
        self.hand_over(self.checked(frame, tag)?).await
    }

    /// Sends how the gateway fares; not repeated and not answered.
    ///
    /// # Errors
    /// The client has ended, or the firmware's name is too long.
    pub async fn status(&self, status: &GatewayStatus<'_>) -> Result<(), ClientError> {
        let mut bytes = vec![0; 512];
        let length = status.encode(&mut bytes)?;
        bytes.truncate(length);
        self.hand_over(Command::Status(bytes)).await
    }

    /// The largest frame the current session takes.
    #[must_use]
    pub fn limits(&self) -> FrameLimits {
        let none_yet = FrameLimits { max_frame_bytes: MAX_FRAME_BYTES, max_sightings: u16::MAX };
        self.limits.borrow().unwrap_or(none_yet)
    }

    fn checked(&self, frame: OutgoingFrame, tag: u64) -> Result<Command, ClientError> {
        let limits = self.limits();
        if limits.admit(&frame) { Ok(Command::Frame { frame, tag }) } else { Err(limits.exceeded_by(&frame)) }
    }

    async fn hand_over(&self, command: Command) -> Result<(), ClientError> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_| self.shared.failure.get().cloned().unwrap_or(ClientError::Ended))
    }
}

impl GatewayEvents {
    /// The next event; `None` once the sending half is gone and every frame is answered.
    ///
    /// # Errors
    /// Why the client ended, if not because all was done. Nothing is lost when the future is dropped.
    pub async fn next_event(&mut self) -> Result<Option<Event>, ClientError> {
        match self.events.recv().await {
            Some(event) => Ok(Some(event)),
            None => self.shared.failure.get().map_or(Ok(None), |failure| Err(failure.clone())),
        }
    }

    /// Stop waiting for answers at this moment.
    pub fn end_at(&self, moment: Instant) {
        self.deadline.send_replace(Some(moment));
    }

    /// What was done, once [`next_event`](Self::next_event) has given `None`; events that come until then are dropped.
    ///
    /// # Errors
    /// Why the client ended, if not because all was done.
    pub async fn join(mut self) -> Result<Summary, ClientError> {
        while self.next_event().await?.is_some() {}
        self.task.await.map_err(|error| ClientError::System(error.to_string()))
    }
}
