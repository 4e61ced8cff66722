//! What a gateway's client needs to know, and the bounds it keeps.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::backoff::BackoffRange;
use crate::AckLevel;

/// Frames on their way without a result: enough to fill the pipe over a second at 64 sightings a frame, and the
/// window a daemon grants on UDP.
pub const DEFAULT_MAX_IN_FLIGHT_FRAMES: usize = 64;
/// How long the first connection may take before [`Gateway::connect`](super::Gateway::connect) gives up.
pub const DEFAULT_CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long one attempt to open a connection, and then the wait for its welcome, may take on TCP.
pub const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a daemon may leave pings without an answer: with the usual idle timeout of 30 s, after a third of which the
/// first one leaves, that is as long as the protocol lets a silent daemon have.
pub const DEFAULT_PONG_TIMEOUT: Duration = Duration::from_secs(20);
/// Waits between sessions: a stopped daemon is not met by all gateways at once.
pub const DEFAULT_RECONNECT_BACKOFF: BackoffRange =
    BackoffRange { first: Duration::from_secs(1), most: Duration::from_secs(60) };
/// Waits before undecided sightings are sent again: a store that is away is not helped by asking.
pub const DEFAULT_UNDECIDED_BACKOFF: BackoffRange =
    BackoffRange { first: Duration::from_secs(1), most: Duration::from_secs(60) };
/// Waits between hellos on UDP.
pub const DEFAULT_HELLO_BACKOFF: BackoffRange =
    BackoffRange { first: Duration::from_secs(1), most: Duration::from_secs(30) };
/// Events kept for a caller that does not read them yet, at some hundred bytes each.
pub const DEFAULT_EVENT_CAPACITY: usize = 1_024;
/// Undecided sightings kept for another try; when they are more, no new frames are taken.
pub const DEFAULT_MAX_UNDECIDED_BYTES: usize = 4 << 20;

/// Where the daemon listens, and over what it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A stream of frames.
    Tcp(SocketAddr),
    /// A datagram for each frame.
    Udp(SocketAddr),
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "tcp://{address}"),
            Self::Udp(address) => write!(out, "udp://{address}"),
        }
    }
}

/// What to do when the daemon does not know the gateway, has it disabled, cannot tell that it is the one it says, or
/// speaks no version in common: what an operator can set right at the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenRefused {
    /// Try again with backoff (over 5 minutes without a version in common): a gateway in a restaurant has nobody to
    /// start it again once it is registered. Each refusal is an [`Event::Refused`](super::Event::Refused).
    #[default]
    KeepTrying,
    /// End with [`ClientError::Refused`](super::ClientError::Refused): somebody waits at a terminal.
    GiveUp,
}

/// Everything a [`Gateway`](super::Gateway) is told; [`GatewayConfig::new`] fills in the defaults.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// The daemon, or the one preferred: whenever a session has to be opened it is the first to be tried, unless it
    /// has just failed.
    pub target: Target,
    /// Other daemons, in the order preferred, over the same transport: such as take the first one's place, not such as
    /// decide beside it without knowing what it knows.
    pub other_targets: Vec<Target>,
    /// The address to speak from; `None` leaves it to the system.
    pub local_address: Option<SocketAddr>,
    /// The gateway's name in the registry, 1 to 64 bytes.
    pub gateway_id: String,
    /// Must never return with another numbering: a counter kept in flash, or random. Where a daemon knows it with another
    /// one all the same, the client goes on in a random epoch ([`Event::EpochBegun`](super::Event::EpochBegun)).
    pub boot_epoch: u64,
    /// When sightings are to be acknowledged; `None` leaves it to the daemon.
    pub ack_level: Option<AckLevel>,
    /// Frames on their way at once, one or more; the daemon's window bounds it too. 1 keeps the order of decisions
    /// that of sending, also over UDP.
    pub max_in_flight_frames: usize,
    /// Whether undecided sightings are sent again by the client; else the caller sees them and decides.
    pub resend_undecided: bool,
    /// How long to wait before that.
    pub undecided_backoff: BackoffRange,
    /// How long to wait between sessions.
    pub reconnect_backoff: BackoffRange,
    /// How long to wait between hellos on UDP.
    pub hello_backoff: BackoffRange,
    /// Whether a gateway that the daemon does not want goes on trying.
    pub when_refused: WhenRefused,
    /// How long the first connection may take, all attempts together and refused ones included;
    /// [`Duration::MAX`] for as long as it takes.
    pub connect_deadline: Duration,
    /// How long each step of one attempt may take; on UDP only where there are other daemons to try, else an attempt
    /// goes on for two minutes.
    pub attempt_timeout: Duration,
    /// How long pings may stay without an answer; a daemon from which nothing came for the idle timeout it granted is
    /// left in any case.
    pub pong_timeout: Duration,
    /// Events kept until they are read.
    pub event_capacity: usize,
    /// Bytes of undecided sightings kept until they are sent again.
    pub max_undecided_bytes: usize,
}

impl GatewayConfig {
    /// A gateway with every setting at its default.
    #[must_use]
    pub fn new(target: Target, gateway_id: impl Into<String>, boot_epoch: u64) -> Self {
        Self {
            target,
            other_targets: Vec::new(),
            local_address: None,
            gateway_id: gateway_id.into(),
            boot_epoch,
            ack_level: None,
            max_in_flight_frames: DEFAULT_MAX_IN_FLIGHT_FRAMES,
            resend_undecided: true,
            undecided_backoff: DEFAULT_UNDECIDED_BACKOFF,
            reconnect_backoff: DEFAULT_RECONNECT_BACKOFF,
            hello_backoff: DEFAULT_HELLO_BACKOFF,
            when_refused: WhenRefused::default(),
            connect_deadline: DEFAULT_CONNECT_DEADLINE,
            attempt_timeout: DEFAULT_ATTEMPT_TIMEOUT,
            pong_timeout: DEFAULT_PONG_TIMEOUT,
            event_capacity: DEFAULT_EVENT_CAPACITY,
            max_undecided_bytes: DEFAULT_MAX_UNDECIDED_BYTES,
        }
    }
}
