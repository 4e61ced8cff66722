//! What was run, where and when, as the document says it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};

use super::arguments::RunArguments;
use super::machine;
use crate::measurement::Stamp;
use crate::scenario::{AckLevelAsked, Scenario};

/// What was found out before the run began.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) daemon_version: String,
    /// By the part they play.
    pub(crate) stores: BTreeMap<String, String>,
    pub(crate) timer_step: Duration,
}

pub(crate) fn stamp(
    arguments: &RunArguments,
    scenario: &Scenario,
    surroundings: Surroundings,
    began_at_us: i64,
    fingerprint: String,
) -> Stamp {
    let Surroundings { daemon_version, stores, timer_step } = surroundings;
    let ack_level = match scenario.sessions.ack_level {
        AckLevelAsked::Default => "the daemon's",
        AckLevelAsked::Journal => "journal",
        AckLevelAsked::Stored => "stored",
    };
    Stamp {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: env!("LOADTEST_REVISION").to_owned(),
        daemon_version,
        began_at: utc_text(began_at_us),
        host: machine::host(),
        targets: arguments.target.iter().map(ToString::to_string).collect(),
        stores,
        ack_level: ack_level.to_owned(),
        scenario: toml::to_string(scenario).unwrap_or_default(),
        scenario_name: scenario.name.clone(),
        scale: arguments.scenario.scale.unwrap_or(1.0),
        seed: scenario.seed,
        fingerprint,
        shards: vec![arguments.shard.to_string()],
        timer_step_us: u64::try_from(timer_step.as_micros()).unwrap_or(u64::MAX),
        look_every_us: u64::try_from(scenario.sample.look_every.as_us()).unwrap_or(0),
    }
}

/// RFC 3339, UTC.
pub(crate) fn utc_text(us: i64) -> String {
    let time = DateTime::from_timestamp_micros(us).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
