//! A UDP proxy that drops, doubles, delays and reorders.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::random::Random;

/// More than the longest datagram of the protocol's default.
const LONGEST_BYTES: usize = 2_048;

/// How bad the path is, in percent of datagrams, either way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) dropped: u64,
    pub(crate) doubled: u64,
    /// Those that come late, and so behind others.
    pub(crate) late: u64,
    /// How late at most.
    pub(crate) late_ms: u64,
}

/// Passes datagrams on until it is dropped.
#[derive(Debug)]
pub(crate) struct UdpProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _passing: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    backend: Mutex<SocketAddr>,
    weather: Mutex<Weather>,
    random: Mutex<Random>,
}

impl UdpProxy {
    /// On a free port of loopback.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn start(backend: SocketAddr, seed: u64) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared {
            backend: Mutex::new(backend),
            weather: Mutex::default(),
            random: Mutex::new(Random::new(seed)),
        });
        let mut passing = JoinSet::new();
        passing.spawn(questions(Arc::new(socket), Arc::clone(&shared)));
        Ok(Self { address, shared, _passing: passing })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where datagrams go from now on.
    pub(crate) fn lead_to(&self, backend: SocketAddr) {
        *self.shared.backend.lock().unwrap_or_else(PoisonError::into_inner) = backend;
    }

    pub(crate) fn set(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }
}

impl Shared {
    /// The waits after which a datagram is passed on: none if it is dropped, two if it is doubled.
    fn fate(&self) -> Vec<Duration> {
        let weather = *self.weather.lock().unwrap_or_else(PoisonError::into_inner);
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        if random.percent(weather.dropped) {
            return Vec::new();
        }
        let copies = 1 + usize::from(random.percent(weather.doubled));
        let mut wait = || match random.percent(weather.late) {
            true => Duration::from_millis(random.within(1..weather.late_ms.max(2))),
            false => Duration::ZERO,
        };
        (0..copies).map(|_| wait()).collect()
    }
}

async fn questions(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    let mut upstream: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut datagram = vec![0; LONGEST_BYTES];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut datagram).await else { continue };
        while tasks.try_join_next().is_some() {}
        let server = match upstream.get(&client) {
            Some(server) => Arc::clone(server),
            None => {
                let Ok(server) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.map(Arc::new) else {
                    continue;
                };
                tasks.spawn(answers(Arc::clone(&server), Arc::clone(&socket), client, Arc::clone(&shared)));
                upstream.insert(client, Arc::clone(&server));
                server
            }
        };
        let backend = *shared.backend.lock().unwrap_or_else(PoisonError::into_inner);
        pass(&mut tasks, &shared, &server, backend, datagram.get(..length).unwrap_or_default()).await;
    }
}

async fn answers(server: Arc<UdpSocket>, socket: Arc<UdpSocket>, client: SocketAddr, shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    let mut datagram = vec![0; LONGEST_BYTES];
    loop {
        // A daemon that is away shows as an error of the socket, and comes back.
        let Ok(length) = server.recv(&mut datagram).await else { continue };
        while tasks.try_join_next().is_some() {}
        pass(&mut tasks, &shared, &socket, client, datagram.get(..length).unwrap_or_default()).await;
    }
}

async fn pass(
    tasks: &mut JoinSet<()>,
    shared: &Shared,
    by: &Arc<UdpSocket>,
    to: SocketAddr,
    datagram: &[u8],
) {
    for wait in shared.fate() {
        if wait.is_zero() {
            // Lost, as datagrams may be.
            let _sent = by.send_to(datagram, to).await;
            continue;
        }
        let (by, datagram) = (Arc::clone(by), datagram.to_vec());
        tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            let _sent = by.send_to(&datagram, to).await;
        });
    }
}
