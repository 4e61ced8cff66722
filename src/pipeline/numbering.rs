//! How positions in the duplicate window go with the numbers of identities in the journal: by a constant distance, but
//! where identities between were lost.

use std::collections::VecDeque;

use crate::domain::window::Position;

/// A window's positions and the identities at them.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    /// From this position on, identities are numbered from this one on. Ascending in both.
    pieces: VecDeque<(u64, u64)>,
}

impl Numbering {
    /// The identity of this number comes to stand at `position`, which no other has come to yet.
    pub(super) fn starts(&mut self, position: Position, identity: u64) {
        if self.identity_at(position) != Some(identity) {
            self.pieces.push_back((position.number(), identity));
        }
    }

    /// The number of the identity at a position.
    pub(super) fn identity_at(&self, position: Position) -> Option<u64> {
        let pieces = self.pieces.partition_point(|&(from, _)| from <= position.number());
        let (from, identity) = self.pieces.get(pieces.checked_sub(1)?)?;
        Some(identity + (position.number() - from))
    }

    /// The position before which all identities with smaller numbers stand.
    pub(super) fn position_of(&self, identity: u64) -> Position {
        let pieces = self.pieces.partition_point(|&(_, from)| from <= identity);
        let Some((from, first)) = pieces.checked_sub(1).and_then(|piece| self.pieces.get(piece)) else {
            return Position::new(0);
        };
        let position = from + (identity - first);
        // What was lost stands nowhere: the next piece begins there.
        Position::new(self.pieces.get(pieces).map_or(position, |&(next, _)| position.min(next)))
    }

    /// Forgets what lies before a position.
    pub(super) fn forget_before(&mut self, position: Position) {
        while self.pieces.get(1).is_some_and(|&(next, _)| next <= position.number()) {
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_identities_go_together_around_what_was_lost() {
        let mut numbering = Numbering::default();
        let at = Position::new;
        assert_eq!((numbering.identity_at(at(0)), numbering.position_of(7)), (None, at(0)));
        numbering.starts(at(0), 100);
        numbering.starts(at(3), 103);
        numbering.starts(at(5), 200);
        assert_eq!(numbering.pieces.len(), 2, "what follows on begins no piece");
        for (position, identity) in [(0, 100), (4, 104), (5, 200), (9, 204)] {
            assert_eq!(numbering.identity_at(at(position)), Some(identity));
            assert_eq!(numbering.position_of(identity), at(position));
        }
        assert_eq!(numbering.position_of(150), at(5), "150 was lost");
        assert_eq!(numbering.position_of(99), at(0));
        numbering.forget_before(at(5));
        assert_eq!((numbering.pieces.len(), numbering.identity_at(at(6))), (1, Some(201)));
    }
}
