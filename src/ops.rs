//! What operators see of a running daemon.

mod http;
mod report;

pub use self::http::AdminThread;
pub use self::report::{DirectoryReport, Observer, Report, WindowReport, WriterReport};
