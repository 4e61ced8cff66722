//! What operators see of a running daemon.

mod http;

pub use self::http::AdminThread;
