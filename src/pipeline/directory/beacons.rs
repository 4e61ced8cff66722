//! The directory of beacons: memory, the cache that daemons share, the system of record, and notices of changes.

use std::sync::Arc;

use super::shared::SharedPort;
use super::{Directory, DirectorySettings, Load, TierSettings};
use crate::domain::beacon::{Beacon, BeaconId};
use crate::ports::{BeaconCache, BeaconChanges, SystemOfRecord};
use crate::tasks::TaskGroup;

impl Directory<BeaconId, Beacon> {
    /// A directory that knows nothing yet. Its loads beside use are tasks of `tasks`.
    #[must_use]
    pub fn of_beacons(
        settings: DirectorySettings,
        tiers: TierSettings,
        tasks: TaskGroup,
        record: Arc<dyn SystemOfRecord>,
        cache: Option<Arc<dyn BeaconCache>>,
    ) -> Arc<Self> {
        let load: Load<BeaconId, Beacon> = Box::new(move |id| {
            let record = Arc::clone(&record);
            Box::pin(async move { record.beacon(id).await })
        });
        Self::with_tiers(settings, tiers, tasks, load, cache.map(shared_port))
    }
}

/// `changed` makes every copy and every load in flight old at once, without a wait. A copy told old is loaded before
/// it is used; it still serves while the system of record cannot be asked, as every expired one does.
///
/// Who says `followed(false)` says it within 3 s of the last moment for which it knows that all was told: entries are
/// used for 2 s from there, and a change is to be seen within 5.
impl BeaconChanges for Directory<BeaconId, Beacon> {
    fn changed(&self, ids: &[BeaconId]) {
        self.notice(ids);
    }

    fn followed(&self, followed: bool) {
        self.following.turn(followed);
    }
}

fn shared_port(cache: Arc<dyn BeaconCache>) -> SharedPort<BeaconId, Beacon> {
    let (ask, keep, forget) = (Arc::clone(&cache), Arc::clone(&cache), cache);
    SharedPort {
        ask: Box::new(move |id| {
            let cache = Arc::clone(&ask);
            Box::pin(async move { cache.beacon(id).await })
        }),
        keep: Box::new(move |beacon| {
            let cache = Arc::clone(&keep);
            Box::pin(async move { cache.keep(beacon).await })
        }),
        forget: Box::new(move |ids| {
            let cache = Arc::clone(&forget);
            Box::pin(async move { cache.forget(ids).await })
        }),
        version: |beacon| beacon.updated_at,
    }
}
