//! Values of the configuration that hold their bounds by their type, and say them when broken.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use figment::value::Value;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use tracing_subscriber::EnvFilter;

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number<const MIN: u64, const MAX: u64>(u64);

/// A duration of `MIN` to `MAX` milliseconds.
pub(super) type Milliseconds<const MIN: u64, const MAX: u64> = Number<MIN, MAX>;

impl<const MIN: u64, const MAX: u64> Number<MIN, MAX> {
    pub(super) const fn to_u64(self) -> u64 {
        self.0
    }

    pub(super) fn to_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    pub(super) fn to_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    pub(super) fn to_u32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }

    pub(super) fn to_u16(self) -> u16 {
        u16::try_from(self.0).unwrap_or(u16::MAX)
    }

    pub(super) const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Number<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeNumber<const MIN: u64, const MAX: u64>;
        impl<const MIN: u64, const MAX: u64> Visitor<'_> for WholeNumber<MIN, MAX> {
            type Value = u64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
                if (MIN..=MAX).contains(&value) {
                    return Ok(value);
                }
                Err(E::invalid_value(Unexpected::Unsigned(value), &self))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
                u64::try_from(value)
                    .map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
                    .and_then(|value| self.visit_u64(value))
            }
        }
        deserializer.deserialize_u64(WholeNumber::<MIN, MAX>).map(Self)
    }
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address(pub(super) SocketAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = SocketAddr;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as \"127.0.0.1:7400\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SocketAddr, E> {
                text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text).map(Self)
    }
}

/// What is logged, such as `info` or `beacond=debug,info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogLevel(String);

impl LogLevel {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = LogLevel;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a level such as \"info\", or one by part such as \"beacond::stores=debug,info\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<LogLevel, E> {
                let refused = |_| E::invalid_value(Unexpected::Str(text), &self);
                EnvFilter::try_new(text).map(|_| LogLevel(text.to_owned())).map_err(refused)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A signal strength: -100 to 0 dBm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dbm(pub(super) f32);

impl<'de> Deserialize<'de> for Dbm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f32(Between { least: -100.0, most: 0.0 }).map(Self)
    }
}

/// A width of the confidence curve, in dBm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ScaleDbm(pub(super) f32);

impl<'de> Deserialize<'de> for ScaleDbm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f32(Between { least: 0.1, most: 100.0 }).map(Self)
    }
}

struct Between {
    least: f32,
    most: f32,
}

impl Visitor<'_> for Between {
    type Value = f32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number of dBm from {} to {}", self.least, self.most)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the range is checked on what is kept")]
    fn visit_f64<E: Error>(self, value: f64) -> Result<f32, E> {
        let narrow = value as f32;
        if (self.least..=self.most).contains(&narrow) {
            return Ok(narrow);
        }
        Err(E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f32, E> {
        let narrow = i16::try_from(value).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))?;
        self.visit_f64(f64::from(narrow))
    }
}

/// A value as it would stand in the file.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Bool(_, truth) => truth.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_u128(), number.to_f64()) {
            (Some(whole), ..) => whole.to_string(),
            (None, Some(whole), _) => whole.to_string(),
            (None, None, Some(fraction)) => format!("{fraction:?}"),
            (None, None, None) => "a number".to_owned(),
        },
        Value::Char(_, letter) => format!("{letter:?}"),
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(..) => "an array".to_owned(),
    }
}
