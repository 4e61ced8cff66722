//! The cache of beacons: `beacon:<beacon_id>`, a hash with the registration's fields and its version.

use std::str::FromStr;
use std::sync::Arc;

use redis::{ErrorKind, RedisResult, ServerErrorKind};

use super::health::count;
use super::links::{Links, beacon_key, unlink};
use super::scripts::KEEP_BEACON;
use crate::domain::beacon::{Beacon, BeaconId};
use crate::domain::time::Timestamp;
use crate::ports::{BEACON_CACHED_FOR, BeaconCache, PortFuture, StoreError};

/// The fields of a hash, in the order in which they are asked for. Others are not looked at.
const FIELDS: [&str; 7] = ["store_id", "major", "minor", "location", "location_type", "status", "updated_at"];

/// Beacons in Redis. A field that a beacon does not have is absent in its hash.
///
/// What could not be forgotten, because Redis was down or the caller went away, is forgotten before this cache answers
/// again, whatever the answer to the call was.
#[derive(Debug)]
pub struct RedisBeaconCache {
    links: Arc<Links>,
}

impl RedisBeaconCache {
    pub(super) fn new(links: Arc<Links>) -> Self {
        Self { links }
    }

    async fn read(&self, id: BeaconId) -> Result<Option<Beacon>, StoreError> {
        let mut lane = self.links.beacons()?;
        let key = beacon_key(id);
        let answer: RedisResult<Vec<Option<Vec<u8>>>> =
            redis::cmd("HMGET").arg(&key).arg(&FIELDS).query_async(&mut lane.connection).await;
        match answer {
            Ok(values) if values.iter().all(Option::is_none) => return Ok(None),
            Ok(values) => {
                if let Some(beacon) = beacon(id, &values) {
                    return Ok(Some(beacon));
                }
            }
            Err(error) if is_no_hash(&error) => {}
            Err(error) => {
                count(&self.links.health.counters.requests_failed, 1);
                return Err(self.links.failed(&lane, &error));
            }
        }
        count(&self.links.health.counters.beacons_malformed, 1);
        // Its version may be as good as any: it would keep the sound row out for as long as it lives.
        self.remove(&[id]).await?;
        Ok(None)
    }

    async fn write(&self, beacon: &Beacon) -> Result<(), StoreError> {
        let mut lane = self.links.beacons()?;
        let updated_at = beacon.updated_at.to_text();
        let mut keep = KEEP_BEACON.prepare_invoke();
        keep.key(beacon_key(beacon.id)).arg(updated_at.as_str()).arg(BEACON_CACHED_FOR.as_secs());
        keep.arg("store_id").arg(beacon.store_id.as_str());
        keep.arg("major").arg(beacon.major).arg("minor").arg(beacon.minor);
        if let Some(location) = &beacon.location {
            keep.arg("location").arg(location.as_str());
        }
        if let Some(kind) = beacon.location_type {
            keep.arg("location_type").arg(kind.as_str());
        }
        keep.arg("status").arg(beacon.status.as_str()).arg("updated_at").arg(updated_at.as_str());
        match keep.invoke_async::<usize>(&mut lane.connection).await {
            Ok(written) => {
                count(&self.links.health.counters.beacons_kept, written);
                self.links.health.taken();
                Ok(())
            }
            Err(error) => {
                count(&self.links.health.counters.requests_failed, 1);
                Err(self.links.failed(&lane, &error))
            }
        }
    }

    async fn remove(&self, ids: &[BeaconId]) -> Result<(), StoreError> {
        let mut unless_removed = Unremoved { links: &self.links, ids };
        let mut lane = self.links.beacons()?;
        match unlink(&mut lane.connection, ids).await {
            Ok(()) => {
                unless_removed.ids = &[];
                Ok(())
            }
            Err(error) => {
                count(&self.links.health.counters.requests_failed, 1);
                Err(self.links.failed(&lane, &error))
            }
        }
    }
}

impl BeaconCache for RedisBeaconCache {
    fn beacon(&self, id: BeaconId) -> PortFuture<'_, Result<Option<Beacon>, StoreError>> {
        Box::pin(self.read(id))
    }

    fn keep(&self, beacon: Arc<Beacon>) -> PortFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.write(&beacon).await })
    }

    fn forget(&self, ids: Vec<BeaconId>) -> PortFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.remove(&ids).await })
    }
}

/// Beacons that are not known to be removed, also when the one who asked for it goes away before the answer.
struct Unremoved<'a> {
    links: &'a Links,
    ids: &'a [BeaconId],
}

impl Drop for Unremoved<'_> {
    fn drop(&mut self) {
        if !self.ids.is_empty() {
            self.links.forget_later(self.ids);
        }
    }
}

fn is_no_hash(error: &redis::RedisError) -> bool {
    match error.kind() {
        ErrorKind::Extension | ErrorKind::Server(ServerErrorKind::ResponseError) => {
            error.code() == Some("WRONGTYPE")
        }
        _ => false,
    }
}

/// The beacon of a hash's values, if the model allows it.
fn beacon(id: BeaconId, values: &[Option<Vec<u8>>]) -> Option<Beacon> {
    let [store_id, major, minor, location, location_type, status, updated_at] = values else {
        return None;
    };
    Some(Beacon {
        id,
        store_id: required(store_id)?,
        major: required(major)?,
        minor: required(minor)?,
        location: optional(location)?,
        location_type: optional(location_type)?,
        status: required(status)?,
        updated_at: Timestamp::from_text(text(updated_at)?).ok()?,
    })
}

fn text(value: &Option<Vec<u8>>) -> Option<&str> {
    std::str::from_utf8(value.as_ref()?).ok()
}

fn required<T: FromStr>(value: &Option<Vec<u8>>) -> Option<T> {
    text(value)?.parse().ok()
}

/// `None` when it is there and malformed.
fn optional<T: FromStr>(value: &Option<Vec<u8>>) -> Option<Option<T>> {
    if value.is_none() { Some(None) } else { required(value).map(Some) }
}
