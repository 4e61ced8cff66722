//! Whether parts are of one run, and what the whole says of where it ran.

use std::collections::BTreeSet;

use chrono::DateTime;

use super::MergeError;
use crate::measurement::{Measurement, Stamp};

/// What parts are compared by: its name, and what a part says of it.
type Fact = (&'static str, fn(&Stamp) -> String);
/// Number of a part, from 1, and how many there are.
type Shard = (u32, u32);

/// When a part began, in UTC microseconds.
///
/// # Errors
/// When it does not say.
pub(super) fn began_at_us(part: &Measurement) -> Result<i64, MergeError> {
    let began_at = &part.stamp.began_at;
    let time = DateTime::parse_from_rfc3339(began_at)
        .map_err(|error| MergeError::Unreadable(format!("began_at {began_at:?}: {error}")))?;
    Ok(time.timestamp_micros())
}

/// # Errors
/// What they do not have in common, or which part is there twice.
pub(super) fn check(parts: &[Measurement]) -> Result<(), MergeError> {
    let Some((first, others)) = parts.split_first() else { return Ok(()) };
    let facts: [Fact; 5] = [
        ("the scenario", |stamp| stamp.scenario_name.clone()),
        ("the seed", |stamp| stamp.seed.to_string()),
        ("the scale", |stamp| stamp.scale.to_string()),
        ("the ack level", |stamp| stamp.ack_level.clone()),
        ("a key of the scenario", |stamp| stamp.scenario.clone()),
    ];
    for other in others {
        for (what, of) in &facts {
            let (one, other) = (of(&first.stamp), of(&other.stamp));
            if one != other {
                let (one, other) = first_difference(&one, &other);
                return Err(MergeError::NotTheSame { what, one, other });
            }
        }
    }
    let mut seen = BTreeSet::new();
    let mut whole = None;
    for text in parts.iter().flat_map(|part| &part.stamp.shards) {
        let shard = shard(text).ok_or_else(|| MergeError::NoPart(text.clone()))?;
        if *whole.get_or_insert(shard.1) != shard.1 {
            return Err(MergeError::NoPart(text.clone()));
        }
        if !seen.insert(shard) {
            return Err(MergeError::Twice(text.clone()));
        }
    }
    Ok(())
}

/// The lines in which two texts differ first.
fn first_difference(one: &str, other: &str) -> (String, String) {
    let (mut one, mut other) = (one.lines(), other.lines());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return (String::new(), String::new()),
            (one, other) if one == other => {}
            (one, other) => {
                return (one.unwrap_or_default().to_owned(), other.unwrap_or_default().to_owned());
            }
        }
    }
}

fn shard(text: &str) -> Option<Shard> {
    let (number, whole) = text.split_once('/')?;
    let (number, whole): Shard = (number.parse().ok()?, whole.parse().ok()?);
    (1..=whole).contains(&number).then_some((number, whole))
}

/// The parts' own order.
pub(super) fn order(stamp: &Stamp) -> Option<Shard> {
    stamp.shards.first().and_then(|text| shard(text))
}

/// Parts that nobody merged.
pub(super) fn missing(stamp: &Stamp) -> Vec<String> {
    let there: BTreeSet<Shard> = stamp.shards.iter().filter_map(|text| shard(text)).collect();
    let whole = there.first().map_or(0, |(_, whole)| *whole);
    let numbers = (1..=whole).filter(|number| !there.contains(&(*number, whole)));
    numbers.map(|number| format!("{number}/{whole}")).collect()
}

/// Whether all spoke to the same daemon: what it says of itself is then one thing, told several times.
pub(super) fn same_daemon(parts: &[Measurement]) -> bool {
    let targets = |part: &Measurement| part.stamp.targets.iter().cloned().collect::<BTreeSet<_>>();
    parts.windows(2).all(|pair| matches!(pair, [one, other] if targets(one) == targets(other)))
}

/// # Errors
/// When there is no part, or one does not say when it began.
pub(super) fn merge(parts: &[Measurement]) -> Result<Stamp, MergeError> {
    let Some(first) = parts.first() else {
        return Err(MergeError::Unreadable("there is no part".to_owned()));
    };
    let mut stamp = first.stamp.clone();
    let mut began_at_us = began_at_us(first)?;
    for part in parts.iter().skip(1) {
        let other = &part.stamp;
        let other_us = self::began_at_us(part)?;
        if other_us < began_at_us {
            began_at_us = other_us;
            stamp.began_at.clone_from(&other.began_at);
        }
        let new_targets = other.targets.iter().filter(|target| !first.stamp.targets.contains(target));
        stamp.targets.extend(new_targets.cloned());
        stamp.shards.extend(other.shards.iter().cloned());
        for (store, version) in &other.stores {
            let ours = stamp.stores.entry(store.clone()).or_insert_with(|| version.clone());
            // One generator may be the only one that looked into a store.
            if ours.as_str() == "not asked" {
                ours.clone_from(version);
            }
        }
        if stamp.daemon_version.is_empty() {
            stamp.daemon_version.clone_from(&other.daemon_version);
        }
        stamp.fingerprint = format!("{}, {}", stamp.fingerprint, other.fingerprint);
        stamp.timer_step_us = stamp.timer_step_us.max(other.timer_step_us);
        stamp.look_every_us = stamp.look_every_us.max(other.look_every_us);
    }
    Ok(stamp)
}

/// What the parts do not have in common and may: a line each.
pub(super) fn differences(parts: &[Measurement]) -> Vec<String> {
    let facts: [Fact; 4] = [
        ("load testers", |stamp| format!("{} {}", stamp.version, stamp.revision)),
        ("daemons", |stamp| stamp.daemon_version.clone()),
        ("processors", |stamp| format!("{} x {}", stamp.host.cores, stamp.host.processor)),
        ("kernels", |stamp| stamp.host.kernel.clone()),
    ];
    let mut lines = Vec::new();
    for (what, of) in facts {
        let values: BTreeSet<String> =
            parts.iter().map(|part| of(&part.stamp)).filter(|value| !value.is_empty()).collect();
        if values.len() > 1 {
            lines.push(format!(
                "the parts had different {what}: {}",
                values.into_iter().collect::<Vec<_>>().join(", ")
            ));
        }
    }
    lines
}
