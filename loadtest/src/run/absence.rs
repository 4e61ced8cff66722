//! Which gateways are cut off for a while, and when.

use crate::scenario::Offline;

/// A time without a session, in microseconds since the run's begin. It may begin before that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Absence {
    pub(crate) from_us: i64,
    pub(crate) until_us: i64,
}

/// A gateway's absence: the share of gateways that has one is spread evenly over their numbers.
pub(crate) fn absence(offline: &Offline, gateway: u32) -> Option<Absence> {
    let before = |gateway: u32| (f64::from(gateway) * offline.gateways).floor();
    if before(gateway + 1) <= before(gateway) {
        return None;
    }
    let until_us = offline.returns_after.as_us();
    Some(Absence { from_us: until_us - offline.lasts.as_us(), until_us })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Span;

    #[test]
    fn the_share_of_gateways_is_away_and_may_be_so_before_the_begin() {
        let offline = Offline { gateways: 0.1, lasts: Span::seconds(60), returns_after: Span::seconds(20) };
        let away: Vec<_> = (0..200).filter_map(|gateway| absence(&offline, gateway)).collect();
        assert_eq!(away, [Absence { from_us: -40_000_000, until_us: 20_000_000 }; 20]);
        let all = Offline { gateways: 1.0, ..offline };
        assert!((0..200).all(|gateway| absence(&all, gateway).is_some()));
        let none = Offline { gateways: 0.0, ..offline };
        assert!((0..200).all(|gateway| absence(&none, gateway).is_none()));
    }
}
