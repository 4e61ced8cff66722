//! Faults on purpose, for the torture test: with the feature `torture` a daemon takes orders from files and a variable.
//! Without it every question here is answered `no` by the compiler.

/// A defect that the torture test or the load tester's `verify` must be able to find; `BEACOND_MUTANT` names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Answers leave before the journal is synced.
    AckBeforeSync,
    /// A store's cursor moves before the store has committed.
    CursorBeforeCommit,
    /// One list of unprocessed items is forgotten.
    UnprocessedIgnored,
    /// The duplicate window is not rebuilt at a start.
    WindowNotRebuilt,
    /// An entry whose sync failed is leant on.
    LeanOnFailedSync,
    /// A repeat is told by its sequence alone.
    RepeatBySequence,
    /// One identity in 100,000 is given to no store, and counts as stored.
    DropOneIn100000,
}

#[cfg(not(feature = "torture"))]
mod orders {
    use super::Mutant;

    /// Whether this defect was asked for.
    #[must_use]
    pub const fn mutant(_: Mutant) -> bool {
        false
    }

    /// By how much the wall clock is to be wrong, in microseconds.
    #[must_use]
    pub const fn wall_offset_us() -> i64 {
        0
    }

    /// Whether every sync of the journal is to fail.
    #[must_use]
    pub const fn sync_fails() -> bool {
        false
    }
}

#[cfg(feature = "torture")]
mod orders {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    use super::Mutant;

    impl Mutant {
        const fn name(self) -> &'static str {
            match self {
                Self::AckBeforeSync => "ack-before-sync",
                Self::CursorBeforeCommit => "cursor-before-commit",
                Self::UnprocessedIgnored => "unprocessed-ignored",
                Self::WindowNotRebuilt => "window-not-rebuilt",
                Self::LeanOnFailedSync => "lean-on-failed-sync",
                Self::RepeatBySequence => "repeat-by-sequence",
                Self::DropOneIn100000 => "drop-one-in-100000",
            }
        }
    }

    /// Whether this defect was asked for.
    #[must_use]
    pub fn mutant(mutant: Mutant) -> bool {
        static ASKED: OnceLock<Option<String>> = OnceLock::new();
        let asked = ASKED.get_or_init(|| std::env::var("BEACOND_MUTANT").ok());
        asked.as_deref() == Some(mutant.name())
    }

    /// By how much the wall clock is to be wrong, in microseconds: what the file `wall_offset_us` says.
    #[must_use]
    pub fn wall_offset_us() -> i64 {
        order("wall_offset_us").and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Whether every sync of the journal is to fail: while there is a file `sync_fails`.
    #[must_use]
    pub fn sync_fails() -> bool {
        order("sync_fails").is_some()
    }

    fn order(name: &str) -> Option<String> {
        static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
        let directory = DIRECTORY.get_or_init(|| std::env::var_os("BEACOND_TORTURE_DIR").map(PathBuf::from));
        std::fs::read_to_string(directory.as_ref()?.join(name)).ok()
    }
}

pub use self::orders::{mutant, sync_fails, wall_offset_us};
