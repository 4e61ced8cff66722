//! What operators see of a running daemon.

mod histograms;
mod http;
mod letters;
mod metrics;
mod pages;
mod process;
mod readiness;

pub use self::http::AdminThread;
pub use self::letters::{
    LetterOrders, ORDER_HEADER, ORDER_HEADER_VALUE, OrderError, PurgeAnswer, PurgeOrder, ReplayAnswer,
    ReplayOrder,
};
pub use self::metrics::{MetricKind, Sample};
pub use self::pages::AdminSources;
pub use self::readiness::Reason;
