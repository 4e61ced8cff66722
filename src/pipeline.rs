//! The way of a sighting from a decoded frame to a durable identity and its answer.
//!
//! [`Admitter`] judges a frame and decides it against the duplicate window; what it accepts goes as one block through a
//! bounded queue to the thread of the system of record, and from there to that of the events. An answer that leans on
//! something not in every store yet is a [`PendingAnswer`]: it becomes final when the last of them has it, and is undone
//! only by a stop. A journal takes its place before the stores without the listeners noticing.

mod admit;
mod answer;
mod batch;
mod core;
mod decide;
mod directory;
mod frames;
mod judge;
mod ledger;
mod writer;

pub use self::admit::{Admitter, FrameClaim, FrameStanding, Pipeline, PipelineSettings, Received};
pub use self::answer::{
    Admitted, AdmittedPreferences, Answer, PendingAnswer, PendingPreferences, PreferencesAnswer,
};
pub use self::batch::BatchLimits;
pub use self::directory::{Directory, DirectoryCounts, DirectorySettings, Known, Tier, TierSettings};
pub use self::ledger::{Ledger, PreferenceLedger, StoreLedger};
pub use self::writer::{PipelinePorts, StoreHealth, Trouble, WriterThreads};
