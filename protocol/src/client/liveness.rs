//! Whether the daemon is still there: when to ping, and when to stop believing.

use std::time::Duration;

use tokio::time::Instant;

/// What silence asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulse {
    /// Nothing before this moment.
    Quiet(Instant),
    /// A ping is due.
    Ping,
    /// No answer to pings for too long.
    Lost,
}

/// When frames went and came. Late acks do not count: a daemon that answers pings is there.
#[derive(Debug, Clone)]
pub(super) struct Liveness {
    ping_every: Duration,
    pong_timeout: Duration,
    idle_timeout: Duration,
    last_sent: Instant,
    last_received: Instant,
    /// The first ping since a frame came.
    unanswered_since: Option<Instant>,
    last_ping: Instant,
}

impl Liveness {
    /// A session that begins now: pings at a third of the daemon's idle timeout.
    pub(super) fn new(now: Instant, idle_timeout: Duration, pong_timeout: Duration) -> Self {
        let ping_every = idle_timeout / 3;
        Self {
            ping_every,
            pong_timeout: pong_timeout.min(idle_timeout),
            idle_timeout,
            last_sent: now,
            last_received: now,
            unanswered_since: None,
            last_ping: now,
        }
    }

    pub(super) const fn sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    pub(super) const fn received(&mut self, now: Instant) {
        self.last_received = now;
        self.unanswered_since = None;
    }

    /// From now on pings leave at least so often.
    pub(super) fn ping_every(&mut self, most: Duration) {
        self.ping_every = self.ping_every.min(most);
    }

    /// A ping left.
    pub(super) fn pinged(&mut self, now: Instant) {
        self.last_sent = now;
        self.last_ping = now;
        self.unanswered_since.get_or_insert(now);
    }

    /// When to stop believing in a daemon that answers no ping since then.
    fn lost_at(&self, unanswered_since: Instant) -> Instant {
        (unanswered_since + self.pong_timeout).min(self.last_received + self.idle_timeout)
    }

    /// What is due now.
    pub(super) fn pulse(&self, now: Instant) -> Pulse {
        let due = match self.unanswered_since.map(|since| self.lost_at(since)) {
            Some(lost_at) if now >= lost_at => return Pulse::Lost,
            // A ping may be lost on its way: ask three times before giving up.
            Some(lost_at) => (self.last_ping + self.pong_timeout / 3, lost_at),
            None => {
                let due = self.last_sent.min(self.last_received) + self.ping_every;
                (due, due)
            }
        };
        if now >= due.0 { Pulse::Ping } else { Pulse::Quiet(due.0.min(due.1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);
    const PONG: Duration = Duration::from_secs(6);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn pings_at_a_third_of_the_idle_timeout_and_gives_up_after_the_pong_timeout() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, IDLE, PONG);
        assert_eq!(liveness.pulse(after(start, 9)), Pulse::Quiet(after(start, 10)));
        assert_eq!(liveness.pulse(after(start, 10)), Pulse::Ping);
        liveness.pinged(after(start, 10));
        assert_eq!(liveness.pulse(after(start, 11)), Pulse::Quiet(after(start, 12)));
        assert_eq!(liveness.pulse(after(start, 12)), Pulse::Ping);
        liveness.pinged(after(start, 12));
        assert_eq!(liveness.pulse(after(start, 16)), Pulse::Lost);
    }

    #[tokio::test]
    async fn a_daemon_silent_for_the_idle_timeout_is_left_however_patient_the_gateway() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, IDLE, Duration::from_secs(300));
        liveness.pinged(after(start, 10));
        assert_eq!(liveness.pulse(after(start, 20)), Pulse::Ping);
        liveness.pinged(after(start, 20));
        assert_eq!(liveness.pulse(after(start, 29)), Pulse::Quiet(after(start, 30)));
        assert_eq!(liveness.pulse(after(start, 30)), Pulse::Lost);
    }

    #[tokio::test]
    async fn any_frame_answers_a_ping() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, IDLE, PONG);
        liveness.pinged(after(start, 10));
        liveness.received(after(start, 15));
        assert_eq!(liveness.pulse(after(start, 16)), Pulse::Quiet(after(start, 20)));
    }

    #[tokio::test]
    async fn a_side_that_only_sends_or_only_hears_is_asked_too() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, IDLE, PONG);
        liveness.sent(after(start, 9));
        assert_eq!(liveness.pulse(after(start, 10)), Pulse::Ping);
        let mut liveness = Liveness::new(start, IDLE, PONG);
        liveness.received(after(start, 9));
        assert_eq!(liveness.pulse(after(start, 10)), Pulse::Ping);
    }
}
