//! Points in time as microseconds since the Unix epoch, UTC, and their one text form.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike};

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
///
/// Any `i64` is a value, since it comes from the network; arithmetic saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Length of [`Timestamp::to_text`]: `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
pub const TIMESTAMP_TEXT_BYTES: usize = 27;

/// Text that is not `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UTC time of the form YYYY-MM-DDTHH:MM:SS.ffffffZ")]
pub struct NotATimestamp;

impl Timestamp {
    /// The time `micros` microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This time moved by `micros`, forward or back.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this time; negative when this time is the earlier one.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether the text form keeps its fixed width: years 0000 to 9999.
    #[must_use]
    pub fn has_text(self) -> bool {
        DateTime::from_timestamp_micros(self.0).is_some_and(|t| (0..=9999).contains(&t.year()))
    }

    /// `YYYY-MM-DDTHH:MM:SS.ffffffZ`: fixed width, so that text order is time order.
    ///
    /// Times outside the years 0000 to 9999, which admission never lets pass, become the nearest end of them.
    #[must_use]
    pub fn to_text(self) -> TimestampText {
        const FIRST_MICROS: i64 = -62_167_219_200_000_000; // 0000-01-01T00:00:00.000000Z
        const LAST_MICROS: i64 = 253_402_300_799_999_999; // 9999-12-31T23:59:59.999999Z
        let time =
            DateTime::from_timestamp_micros(self.0.clamp(FIRST_MICROS, LAST_MICROS)).unwrap_or_default();
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let mut put = |at: usize, digits: usize, mut value: u32| {
            for place in text[at..at + digits].iter_mut().rev() {
                *place = b"0123456789"[(value % 10) as usize];
                value /= 10;
            }
        };
        put(0, 4, time.year().unsigned_abs());
        put(5, 2, time.month());
        put(8, 2, time.day());
        put(11, 2, time.hour());
        put(14, 2, time.minute());
        put(17, 2, time.second());
        put(20, 6, time.timestamp_subsec_micros());
        TimestampText(text)
    }

    /// Reads the form that [`Self::to_text`] writes.
    ///
    /// # Errors
    /// [`NotATimestamp`] for any other text.
    pub fn from_text(text: &str) -> Result<Self, NotATimestamp> {
        if text.len() != TIMESTAMP_TEXT_BYTES {
            return Err(NotATimestamp);
        }
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.6fZ")
            .map(|time| Self(time.and_utc().timestamp_micros()))
            .map_err(|_| NotATimestamp)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_text().as_str())
    }
}

/// The text of a [`Timestamp`], without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampText([u8; TIMESTAMP_TEXT_BYTES]);

impl TimestampText {
    /// The text: ASCII digits and punctuation.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_fixed_width_utc_with_microseconds() {
        assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp::from_micros(1_581_252_411_243_835).to_string(), "2020-02-09T12:46:51.243835Z");
        assert_eq!(Timestamp::from_micros(-1).to_string(), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn times_outside_four_digit_years_become_the_nearest_end() {
        assert_eq!(Timestamp::from_micros(i64::MAX).to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::from_micros(i64::MIN).to_string(), "0000-01-01T00:00:00.000000Z");
        assert!(!Timestamp::from_micros(i64::MAX).has_text());
        assert!(Timestamp::from_micros(0).has_text());
    }

    #[test]
    fn other_text_is_refused() {
        for text in
            ["", "2020-02-09 12:46:51.243835Z", "2020-02-09T12:46:51.24383Z", "2020-13-09T12:46:51.243835Z"]
        {
            assert_eq!(Timestamp::from_text(text), Err(NotATimestamp), "{text}");
        }
    }

    proptest! {
        /// Invariant: text order is time order, and text reads back as the same time.
        #[test]
        fn text_round_trips_and_sorts(a in 0i64..253_402_300_799_999_999, b in 0i64..253_402_300_799_999_999) {
            let (ta, tb) = (Timestamp::from_micros(a), Timestamp::from_micros(b));
            prop_assert_eq!(Timestamp::from_text(ta.to_text().as_str()), Ok(ta));
            prop_assert_eq!(ta.to_string().cmp(&tb.to_string()), a.cmp(&b));
        }
    }
}
