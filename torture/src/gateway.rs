//! A gateway: hears sightings, numbers frames, sends them until each has its record, and keeps the evidence.

mod encoding;
mod hearing;
mod judge;
mod numbering;
mod session;
mod tcp;
mod udp;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beacon_protocol::AckLevel;

use self::hearing::Hearing;
use self::numbering::Numbering;
use crate::evidence::Evidence;
use crate::random::Random;

/// Between two attempts to open a session, at most. A gateway of the world waits longer.
const BETWEEN_SESSIONS_MS: u64 = 150;

/// The gateway that may report one store only; every other may report all.
pub(crate) const REGISTERED: &str = "torture-registered";

/// How it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// Who it is, over all rounds of an era.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) transport: Transport,
    pub(crate) level: AckLevel,
    /// Now and then it puts another frame under an old sequence, which must be refused.
    pub(crate) reuses: bool,
}

/// What a round asks of its gateways.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) round: u32,
    pub(crate) customers: u32,
    /// Between two frames of a gateway.
    pub(crate) every: Duration,
    /// Sightings in a frame at most.
    pub(crate) sightings: usize,
}

const HEARING: u8 = 0;
const SETTLING: u8 = 1;
const ENDED: u8 = 2;

/// What the gateways of a round and its driver tell each other.
#[derive(Debug, Default)]
pub(crate) struct Conduct {
    phase: AtomicU8,
    /// What was durable may have been lost: bits of the journal were flipped.
    damaged: AtomicBool,
    breaches: Mutex<Vec<String>>,
}

impl Conduct {
    /// No more is heard; what was is sent until it is answered.
    pub(crate) fn settle(&self) {
        self.phase.fetch_max(SETTLING, Ordering::SeqCst);
    }

    /// Everybody stops, answered or not.
    pub(crate) fn end(&self) {
        self.phase.store(ENDED, Ordering::SeqCst);
    }

    /// From now on the daemon may have forgotten what was durable.
    pub(crate) fn damage(&self) {
        self.damaged.store(true, Ordering::SeqCst);
    }

    fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::SeqCst)
    }

    /// A promise that an answer broke.
    pub(crate) fn breach(&self, what: String) {
        self.breaches.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub(crate) fn breaches(&self) -> Vec<String> {
        self.breaches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hears(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == HEARING
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == ENDED
    }
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Gateway {
    identity: Identity,
    numbering: Numbering,
    random: Random,
}

impl Gateway {
    pub(crate) fn new(identity: Identity, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let numbering = Numbering::new(identity.name.clone(), random.next());
        Self { identity, numbering, random }
    }

    pub(crate) const fn transport(&self) -> Transport {
        self.identity.transport
    }

    /// Speaks to the daemon until everything it heard is answered, or the round is ended.
    pub(crate) async fn run(
        mut self,
        daemon: SocketAddr,
        load: Load,
        conduct: Arc<Conduct>,
    ) -> (Self, Evidence) {
        let registered = self.identity.name == REGISTERED;
        let hearing = Hearing::new(load, registered, Random::new(self.random.next()));
        let mut work = session::Work { hearing, conduct, evidence: Evidence::default() };
        while !work.conduct.has_ended() && (work.conduct.hears() || !self.numbering.is_done()) {
            // How a session ends is nothing to go by: the next one says hello again.
            let _ended = match self.identity.transport {
                Transport::Tcp => tcp::session(&mut self, daemon, &mut work).await,
                Transport::Udp => udp::session(&mut self, daemon, &mut work).await,
            };
            let wait = Duration::from_millis(self.random.within(10..BETWEEN_SESSIONS_MS));
            tokio::time::sleep(wait).await;
        }
        let open = self.numbering.open();
        if open > 0 {
            work.conduct.breach(format!("{}: {open} frames were never answered", self.identity.name));
        }
        (self, work.evidence)
    }
}
