//! The way of a sighting from a decoded frame to a durable identity and its answer.
//!
//! [`Admitter`] judges a frame and decides it against the duplicate window; what it accepts goes as one entry through a
//! bounded queue to the journal's thread, which makes it durable, and from there to each store at the store's own pace. An
//! answer that leans on something not durable yet is a [`PendingAnswer`]: it becomes final when the journal has it or, at
//! level `stored`, when every store has, and is undone only by a stop before the journal has it.

mod admit;
mod answer;
mod batch;
mod core;
mod decide;
mod directory;
mod frames;
mod journaling;
mod judge;
mod ledger;
mod numbering;
mod ports;
mod progress;
mod recent;
mod recovery;
mod replay;
mod threads;
mod waiting;
mod writer;

pub use self::admit::{Admitter, FrameStanding, Pipeline, PipelineSettings, Received};
pub use self::answer::{
    Admitted, AdmittedPreferences, Answer, PendingAnswer, PendingPreferences, PreferencesAnswer,
};
pub use self::batch::BatchLimits;
pub use self::decide::FrameClaim;
pub use self::directory::{Directory, DirectoryCounts, DirectorySettings, Known, Tier, TierSettings};
pub use self::ledger::{Ledger, PreferenceLedger, StoreLedger};
pub use self::ports::PipelinePorts;
pub use self::progress::Progress;
pub use self::replay::{RefusedLetter, Replayed};
pub use self::threads::{Left, PipelineError, WriterThreads};
pub use self::writer::{StoreHealth, Trouble};
