//! The operators' HTTP server, on a thread and runtime of its own: it answers also while sessions keep every other busy.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::letters::FromHere;
use super::metrics::Sample;
use super::pages::{AdminSources, routes};
use super::readiness::Reason;
use crate::tasks::TaskGroup;

/// Connections at once: a few scrapers and probes, and somebody with a browser. More wait to be accepted.
const MAX_CONNECTIONS: usize = 64;

/// How long a client may take to send the head of a request, or to think of the next.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// After how long a connection takes no further request, so that nobody keeps a place.
const CONNECTION_FOR: Duration = Duration::from_secs(10);

/// How long a client may then take to read the rest of an answer; also at the daemon's end.
const LAST_ANSWER_FOR: Duration = Duration::from_secs(2);

/// The buffer of a request's head, the least that hyper takes.
const HEAD_BYTES: usize = 8_192;

/// How long accepting pauses when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The thread that answers operators.
#[derive(Debug)]
pub struct AdminThread {
    thread: JoinHandle<()>,
    stop: CancellationToken,
}

impl AdminThread {
    /// Serves the operators' pages on a bound socket; `sources` are read anew for each request.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be started.
    pub fn serve<R, P, M, Q>(
        listener: std::net::TcpListener,
        sources: AdminSources<P, M, Q>,
    ) -> io::Result<Self>
    where
        R: Serialize + 'static,
        P: Fn() -> R + Clone + Send + Sync + 'static,
        M: Fn() -> Vec<Sample> + Clone + Send + Sync + 'static,
        Q: Fn() -> Vec<Reason> + Clone + Send + Sync + 'static,
    {
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let routes = routes(sources);
        let thread = std::thread::Builder::new().name("admin".into()).spawn(move || {
            let served = runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                let connections = TaskGroup::new("operators");
                stopped.run_until_cancelled(accept(&listener, &routes, &stopped, &connections)).await;
                drop(listener);
                connections.join(LAST_ANSWER_FOR).await;
                io::Result::Ok(())
            });
            if let Err(error) = served {
                tracing::error!(%error, "operators are not answered");
            }
        })?;
        Ok(Self { thread, stop })
    }

    /// Ends it, after the answers that are under way.
    pub fn stop(self) {
        self.stop.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the admin thread panicked");
        }
    }
}

async fn accept(listener: &TcpListener, routes: &Router, stop: &CancellationToken, connections: &TaskGroup) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Whoever comes from one of this machine's own addresses comes to the same one.
                let own = stream.local_addr().is_ok_and(|local| local.ip() == peer.ip());
                let from_here = FromHere(own || peer.ip().is_loopback());
                let (routes, stop) = (routes.clone().layer(Extension(from_here)), stop.clone());
                connections.spawn(async move {
                    serve_connection(stream, routes, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an operator's connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers requests until the client has had its time. What goes wrong on its side is its own affair.
async fn serve_connection(stream: TcpStream, routes: Router, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(CONNECTION_FOR) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(LAST_ANSWER_FOR, connection).await;
}
