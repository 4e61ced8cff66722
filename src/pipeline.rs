//! The way of a sighting from a decoded frame to a durable identity and its answer.
//!
//! [`Admitter`] judges a frame and decides it against the duplicate window; what it accepts goes as one block
//! through a bounded queue to the writer thread, which commits batches. An answer that leans on something not yet
//! durable is a [`PendingAnswer`]: it becomes final when the writer says so, or is undone with everything decided
//! since. A journal takes its place between the two without the listeners noticing.

mod admit;
mod answer;
mod batch;
mod core;
mod decide;
mod directory;
mod judge;
mod ledger;
mod writer;

pub use self::admit::{Admitter, Pipeline, PipelineSettings, Received};
pub use self::answer::{
    Admitted, AdmittedPreferences, Answer, PendingAnswer, PendingPreferences, PreferencesAnswer,
};
pub use self::batch::BatchLimits;
pub use self::directory::{Directory, DirectoryCounts, DirectorySettings, Known, Tier, TierSettings};
pub use self::ledger::{Ledger, PreferenceLedger, StoreLedger};
pub use self::writer::{PipelinePorts, StoreHealth, Trouble, WriterThreads};
