//! A length of time as people write it: `45m`, `1h 30m`, `250ms`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is longer is a slip, and in microseconds may be more than there are numbers.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A length of time that is text in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    pub(crate) const fn minutes(minutes: u64) -> Self {
        Self(Duration::from_secs(minutes * 60))
    }

    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub(crate) const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    pub(crate) const fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// Whole microseconds, as times in sightings are counted.
    pub(crate) fn as_us(self) -> i64 {
        i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = humantime::parse_duration(&text).map_err(|error| {
            serde::de::Error::custom(format!("{text:?} is no length of time such as \"45s\": {error}"))
        })?;
        if span > LONGEST {
            return Err(serde::de::Error::custom(format!("{text:?} is longer than 366 days")));
        }
        Ok(Self(span))
    }
}
