//! What an import of beacons or gateways did.

/// What an import did to each row it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportSummary {
    /// Rows that were not there.
    pub inserted: usize,
    /// Rows that were there and differed.
    pub updated: usize,
    /// Rows that were there as they are.
    pub unchanged: usize,
}

impl ImportSummary {
    /// Counts a row by how many rows its insert made and, if none, its update changed.
    ///
    /// # Errors
    /// The update's.
    pub(super) fn count<E>(
        &mut self,
        inserted: usize,
        update: impl FnOnce() -> Result<usize, E>,
    ) -> Result<(), E> {
        if inserted > 0 {
            self.inserted += 1;
        } else if update()? > 0 {
            self.updated += 1;
        } else {
            self.unchanged += 1;
        }
        Ok(())
    }
}
