//! What the tests of the process share.

use crate::model::Beacon;

/// A beacon that is registered, without a place.
pub(crate) fn table() -> Beacon {
    Beacon {
        id: uuid::Uuid::from_u128(1),
        store: "store".to_owned(),
        major: 1,
        minor: 1,
        location: None,
        location_type: None,
        status: "active".to_owned(),
    }
}
