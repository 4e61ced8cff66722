//! A TCP proxy that delays, holds, refuses and cuts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Bytes passed on at once.
const PIECE_BYTES: usize = 16_384;

/// What it does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Passes each piece on after so long.
    Delay(Duration),
    /// Keeps connections open, and takes new ones, without passing anything on.
    Hold,
    /// Passes questions on and keeps back the answers.
    HoldAnswers,
    /// Closes what connects.
    Refuse,
}

/// Passes on until it is dropped.
#[derive(Debug)]
pub(crate) struct TcpProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    backend: Mutex<SocketAddr>,
    mode: watch::Sender<Mode>,
    connections: Mutex<CancellationToken>,
}

impl TcpProxy {
    /// On a free port of loopback.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn start(backend: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            backend: Mutex::new(backend),
            mode: watch::Sender::new(Mode::Pass),
            connections: Mutex::default(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _accepting: accepting })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections go from now on.
    pub(crate) fn lead_to(&self, backend: SocketAddr) {
        *self.shared.backend.lock().unwrap_or_else(PoisonError::into_inner) = backend;
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// Ends all connections that there are.
    pub(crate) fn cut(&self) {
        let mut connections = self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *connections).cancel();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        // An accept that fails has met a connection that is gone again.
        let Ok((client, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        if *shared.mode.borrow() == Mode::Refuse {
            continue;
        }
        let end = shared.connections.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let backend = *shared.backend.lock().unwrap_or_else(PoisonError::into_inner);
        let mode = shared.mode.subscribe();
        connections.spawn(async move {
            end.run_until_cancelled(pass(client, backend, mode)).await;
        });
    }
}

async fn pass(client: TcpStream, backend: SocketAddr, mode: watch::Receiver<Mode>) {
    // A connection that does not come about, or ends, is the matter of those at its ends.
    let Ok(server) = TcpStream::connect(backend).await else { return };
    let _delayed = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let questions = pump(from_client, to_server, mode.clone(), |mode| mode == Mode::Hold);
    let answers = pump(from_server, to_client, mode, |mode| matches!(mode, Mode::Hold | Mode::HoldAnswers));
    let _ended = tokio::join!(questions, answers);
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    is_held: fn(Mode) -> bool,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = from.read(&mut piece).await?;
        // The sender of modes lives as long as the proxy.
        let mode = mode.wait_for(|mode| !is_held(*mode)).await.map_or(Mode::Pass, |mode| *mode);
        if let Mode::Delay(delay) = mode {
            tokio::time::sleep(delay).await;
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(piece.get(..length).unwrap_or_default()).await?;
    }
}
