//! The operators' HTTP page, on a thread and runtime of its own: it answers also while sessions keep every other busy.

use std::io;
use std::net::TcpListener;
use std::thread::JoinHandle;

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

/// The thread that answers operators.
#[derive(Debug)]
pub struct AdminThread {
    thread: JoinHandle<()>,
    stop: CancellationToken,
}

impl AdminThread {
    /// Serves `GET /api/v1/ledger`, read by `report` for each request, and `GET /live` on a bound socket.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be started.
    pub fn serve<R>(
        listener: TcpListener,
        report: impl Fn() -> R + Clone + Send + Sync + 'static,
    ) -> io::Result<Self>
    where
        R: Serialize + 'static,
    {
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("admin".into()).spawn(move || {
            let served = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let serving = axum::serve(listener, routes(report));
                stopped.run_until_cancelled(async { serving.await }).await.unwrap_or(Ok(()))
            });
            if let Err(error) = served {
                tracing::error!(%error, "operators are no longer answered");
            }
        })?;
        Ok(Self { thread, stop })
    }

    /// Ends it.
    pub fn stop(self) {
        self.stop.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the admin thread panicked");
        }
    }
}

fn routes<R>(report: impl Fn() -> R + Clone + Send + Sync + 'static) -> Router
where
    R: Serialize + 'static,
{
    Router::new()
        .route("/live", get(async || "live\n"))
        .route("/api/v1/ledger", get(async move || Json(report())))
}
