//! A session of a gateway: its terms, and the frames in flight with their timers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use beacon_protocol::{Goodbye, GoodbyeReason, Welcome};

use super::link::Link;

const SHORTEST_TIMEOUT: Duration = Duration::from_millis(200);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(8);
pub(super) const SLOW_REPEAT: Duration = Duration::from_secs(2);

/// How much is known of a frame in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Sent,
    Received,
    Answered,
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) known: Known,
    pub(super) first_at: Instant,
    pub(super) last_at: Instant,
    pub(super) due: Instant,
    pub(super) transmissions: u32,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) link: Link,
    pub(super) terms: Welcome,
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) flights: BTreeMap<u64, Flight>,
    pub(super) recorded: BTreeSet<u64>,
    pub(super) sent_at: Instant,
    pub(super) heard_at: Instant,
    pub(super) drains_until: Option<Instant>,
    /// A second one beside it, for a gateway that should not have it.
    pub(super) second: Option<Link>,
    pub(super) timeout: Timeout,
    doubled_at: Option<Instant>,
}

/// The retransmission timeout, after RFC 6298.
#[derive(Debug)]
pub(super) struct Timeout {
    smoothed: Option<(Duration, Duration)>,
    pub(super) now: Duration,
}

impl Session {
    pub(super) fn new(link: Link, terms: Welcome, first: u64) -> Self {
        let now = Instant::now();
        Self {
            link,
            terms,
            first,
            next: first,
            flights: BTreeMap::new(),
            recorded: BTreeSet::new(),
            sent_at: now,
            heard_at: now,
            drains_until: None,
            second: None,
            timeout: Timeout { smoothed: None, now: Duration::from_secs(1) },
            doubled_at: None,
        }
    }

    pub(super) const fn idle(&self) -> Duration {
        Duration::from_millis(self.terms.idle_timeout_ms as u64)
    }

    /// The lowest sequence without a record in this session.
    pub(super) fn base(&self) -> u64 {
        (self.first..).find(|sequence| !self.recorded.contains(sequence)).unwrap()
    }

    pub(super) fn send(&mut self, frame: &[u8]) {
        self.link.send(frame);
        self.sent_at = Instant::now();
    }

    pub(super) fn say_goodbye(&mut self, deadline_ms: u32) {
        let mut goodbye = [0; 64];
        let length = Goodbye { reason: GoodbyeReason::Leaving, deadline_ms }.encode(&mut goodbye).unwrap();
        self.send(&goodbye[..length]);
    }

    /// Notes a transmission.
    pub(super) fn took_off(&mut self, sequence: u64) {
        let now = Instant::now();
        let due = now + self.timeout.now;
        let flight = self.flights.entry(sequence).or_insert(Flight {
            known: Known::Sent,
            first_at: now,
            last_at: now,
            due,
            transmissions: 0,
        });
        flight.transmissions += 1;
        flight.last_at = now;
        flight.due = match flight.known {
            Known::Received => now + SLOW_REPEAT * flight.transmissions,
            Known::Sent | Known::Answered => due,
        };
    }

    /// Frames that are due for a repeat; timeouts that are over double.
    pub(super) fn due(&mut self, doubles: bool) -> Vec<u64> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (sequence, flight) in self.flights.iter().filter(|(_, flight)| flight.due <= now) {
            due.push(*sequence);
            let known_before = self.doubled_at.is_some_and(|doubled_at| flight.last_at < doubled_at);
            if flight.known == Known::Sent && doubles && !known_before {
                self.timeout.now = (self.timeout.now * 2).min(LONGEST_TIMEOUT);
                self.doubled_at = Some(now);
            }
        }
        due
    }

    /// An ack shows that a frame arrived.
    pub(super) fn arrived(&mut self, sequence: u64, known: Known) {
        let Some(flight) = self.flights.get_mut(&sequence) else { return };
        if flight.known == Known::Sent && flight.transmissions == 1 {
            self.timeout.sample(flight.first_at.elapsed());
        }
        if flight.known != known {
            flight.known = known;
            let wait = if known == Known::Received { SLOW_REPEAT } else { self.timeout.now };
            flight.due = Instant::now() + wait;
        }
    }
}

impl Timeout {
    fn sample(&mut self, took: Duration) {
        let (smoothed, varies) = match self.smoothed {
            None => (took, took / 2),
            Some((smoothed, varies)) => {
                ((smoothed * 7 + took) / 8, (varies * 3 + smoothed.abs_diff(took)) / 4)
            }
        };
        self.smoothed = Some((smoothed, varies));
        self.now = (smoothed + varies * 4).clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT);
    }
}
