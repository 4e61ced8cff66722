//! The gateway: the box in a restaurant that hears beacons for us.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;

use super::beacon::StoreId;

/// The longest gateway id, in characters (the width of `gateways.gateway_id`).
pub const GATEWAY_ID_MAX_CHARS: usize = 64;

/// A gateway's id: 1 to 64 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId(CompactString);

/// A gateway id that is empty, too long or has control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a gateway id is 1 to {GATEWAY_ID_MAX_CHARS} characters without control characters")]
pub struct NotAGatewayId;

impl GatewayId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for GatewayId {
    type Err = NotAGatewayId;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        let chars = id.chars().count();
        if chars == 0 || chars > GATEWAY_ID_MAX_CHARS || id.chars().any(char::is_control) {
            return Err(NotAGatewayId);
        }
        Ok(Self(CompactString::new(id)))
    }
}

/// Whether a gateway may report at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GatewayStatus {
    /// It may.
    #[default]
    Active,
    /// It is turned away.
    Disabled,
}

/// Text that is none of `active`, `disabled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a gateway's status is one of active, disabled")]
pub struct NotAGatewayStatus;

impl GatewayStatus {
    /// Its name in the stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

impl FromStr for GatewayStatus {
    type Err = NotAGatewayStatus;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Active, Self::Disabled]
            .into_iter()
            .find(|status| status.as_str() == name)
            .ok_or(NotAGatewayStatus)
    }
}

/// Which restaurants a gateway may report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreScope {
    /// Every one: an unregistered gateway of a daemon that runs with `--insecure-dev`.
    Every,
    /// These; an empty set means none.
    These(HashSet<StoreId>),
}

/// A gateway as registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its id.
    pub id: GatewayId,
    /// What it may report.
    pub stores: StoreScope,
    /// Whether it may report at all.
    pub status: GatewayStatus,
}

impl Gateway {
    /// Whether it may report sightings of this restaurant's beacons.
    #[must_use]
    pub fn may_report(&self, store: &StoreId) -> bool {
        match &self.stores {
            StoreScope::Every => true,
            StoreScope::These(stores) => stores.contains(store),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_set_of_stores_means_none() {
        let store: StoreId = "s1".parse().unwrap();
        let mut gateway = Gateway {
            id: "g".parse().unwrap(),
            stores: StoreScope::These(HashSet::new()),
            status: GatewayStatus::Active,
        };
        assert!(!gateway.may_report(&store));
        gateway.stores = StoreScope::These(HashSet::from([store.clone()]));
        assert!(gateway.may_report(&store));
        gateway.stores = StoreScope::Every;
        assert!(gateway.may_report(&store));
    }

    #[test]
    fn ids_have_one_to_64_characters() {
        assert_eq!("".parse::<GatewayId>(), Err(NotAGatewayId));
        assert_eq!("g".repeat(65).parse::<GatewayId>(), Err(NotAGatewayId));
        assert_eq!("a\u{7}".parse::<GatewayId>(), Err(NotAGatewayId));
        assert!("g".repeat(64).parse::<GatewayId>().is_ok());
    }
}
