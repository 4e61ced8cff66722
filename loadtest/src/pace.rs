//! When a frame is due: as fast as it is answered, at a rate, or as it was recorded.

use std::time::Duration;

/// How fast to send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// Whenever the session has room.
    Unhurried,
    /// So many sightings a second.
    Rate(f64),
    /// So many times as fast as the sightings' own times say.
    Recorded(f64),
}

impl Pace {
    /// The pace of a session that sends `part` of `whole` clones: a rate is shared, time is not.
    pub(crate) fn of_part(self, part: usize, whole: u32) -> Self {
        match self {
            Self::Rate(per_second) => Self::Rate(per_second * part as f64 / f64::from(whole)),
            Self::Unhurried | Self::Recorded(_) => self,
        }
    }
}

/// The due times of one session's frames, counted from its start.
#[derive(Debug)]
pub(crate) struct Schedule {
    pace: Pace,
    sent: f64,
    /// First and latest time so far, in microseconds: a sighting out of order is due with what it follows.
    recorded: Option<(i64, i64)>,
}

impl Schedule {
    pub(crate) const fn new(pace: Pace) -> Self {
        Self { pace, sent: 0.0, recorded: None }
    }

    /// When to send the next frame, given how many sightings are in it and the latest of their times.
    pub(crate) fn due(&mut self, sightings: usize, latest_us: i64) -> Duration {
        match self.pace {
            Pace::Unhurried => Duration::ZERO,
            Pace::Rate(per_second) => {
                let due = self.sent / per_second;
                self.sent += u32::try_from(sightings).map_or(f64::MAX, f64::from);
                Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX)
            }
            Pace::Recorded(speed) => {
                let (first, latest) = self.recorded.unwrap_or((latest_us, latest_us));
                let latest = latest.max(latest_us);
                self.recorded = Some((first, latest));
                let recorded = Duration::from_micros(latest.abs_diff(first));
                Duration::try_from_secs_f64(recorded.as_secs_f64() / speed).unwrap_or(Duration::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_spaces_frames_by_what_they_hold() {
        let mut schedule = Schedule::new(Pace::Rate(100.0));
        let due: Vec<_> = [64, 36, 1].map(|sightings| schedule.due(sightings, 0).as_millis()).into();
        assert_eq!(due, [0, 640, 1_000]);
    }

    #[test]
    fn a_rate_is_shared_by_the_sessions() {
        assert_eq!(Pace::Rate(100.0).of_part(1, 4), Pace::Rate(25.0));
        assert_eq!(Pace::Recorded(2.0).of_part(1, 4), Pace::Recorded(2.0));
    }

    #[test]
    fn recorded_times_are_kept_and_what_is_out_of_order_is_due_at_once() {
        let mut schedule = Schedule::new(Pace::Recorded(2.0));
        let due: Vec<_> = [1_000_000, 3_000_000, 2_000_000, 5_000_000]
            .map(|latest_us| schedule.due(1, latest_us).as_millis())
            .into();
        assert_eq!(due, [0, 1_000, 1_000, 2_000]);
    }

    #[test]
    fn without_a_pace_everything_is_due_at_once() {
        assert_eq!(Schedule::new(Pace::Unhurried).due(64, 5), Duration::ZERO);
    }
}
