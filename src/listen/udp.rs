//! UDP sessions: one frame a datagram, a session an address.
//!
//! Each socket has a reader that never waits for anything but the next datagram: what a session has no room for is
//! answered `busy`, hellos go through a short queue of their own.

mod session;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beacon_protocol::{
    DATAGRAM_HEADER_BYTES, DatagramHeader, Hello, Kind, Message, RawFrame, RefusalCode, Welcome,
    decode_datagram, deframe_whole, sequence_of,
};
use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use self::session::{Arrived, Incoming};
use super::counters::{OpenGuard, count};
use super::hello::{Greeting, Refuse};
use super::inlet::pong;
use super::outlet::UdpPeer;
use super::sequences::Order;
use super::settings::Places;
use super::{Context, ListenSettings};
use crate::pipeline::Received;
use crate::tasks::TaskGroup;

/// Hellos that wait for their judgement at once, for each socket.
const HELLOS_WAITING: usize = 256;

/// How long a gateway whose frame found no room should wait.
const BUSY_RETRY_MS: u32 = 100;

/// A refusal is at most this many times as long as the datagram it answers: nothing to amplify an attack with.
const REFUSAL_TIMES_DATAGRAM: usize = 3;

/// How often a socket that stops looks whether its last session has ended.
const ENDED_ASKED_EVERY: Duration = Duration::from_millis(50);

/// UDP sockets that share one port.
#[derive(Debug)]
pub(super) struct Bound {
    sockets: Vec<Arc<UdpSocket>>,
    address: SocketAddr,
}

impl Bound {
    pub(super) fn bind(settings: &ListenSettings) -> io::Result<Self> {
        // Another daemon's sockets would share the port without a word; only a bind that does not share finds them.
        drop(std::net::UdpSocket::bind(settings.udp)?);
        let first = bind(settings.udp, settings.udp_receive_buffer_bytes)?;
        let address = first.local_addr()?;
        let mut sockets = vec![Arc::new(first)];
        for _ in 1..settings.udp_sockets.max(1) {
            sockets.push(Arc::new(bind(address, settings.udp_receive_buffer_bytes)?));
        }
        Ok(Self { sockets, address })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn serve(self, context: &Arc<Context>, tasks: &TaskGroup) {
        let places = Arc::new(Mutex::new(Places::new(context.limits.now().max_udp_sessions)));
        for socket in self.sockets {
            let shard = Arc::new(Shard {
                context: Arc::clone(context),
                socket,
                sessions: Mutex::default(),
                places: Arc::clone(&places),
                tasks: tasks.clone(),
            });
            let (hellos, waiting) = mpsc::channel(HELLOS_WAITING);
            tasks.spawn(Arc::clone(&shard).greet(waiting));
            tasks.spawn(shard.receive(hellos));
        }
    }
}

/// The kernel gives all datagrams of one address to the same socket, so each socket has its own sessions.
#[derive(Debug)]
struct Shard {
    context: Arc<Context>,
    socket: Arc<UdpSocket>,
    sessions: Mutex<HashMap<SocketAddr, Session>>,
    places: Arc<Mutex<Places>>,
    tasks: TaskGroup,
}

/// A session as its socket's reader knows it.
#[derive(Debug)]
struct Session {
    client_random: [u8; 32],
    gateway_id: String,
    welcome: Welcome,
    peer: UdpPeer,
    frames: mpsc::Sender<Arrived>,
}

/// A datagram on its way to the greeter.
type WaitingHello = (SocketAddr, Bytes);

impl Shard {
    async fn receive(self: Arc<Self>, hellos: mpsc::Sender<WaitingHello>) {
        let mut datagram = vec![0; usize::from(u16::MAX)];
        loop {
            // While draining, newcomers are told so; the last session's end ends the reader.
            let received = tokio::select! {
                biased;
                received = self.socket.recv_from(&mut datagram) => received,
                () = self.ended() => return,
            };
            match received {
                Ok((length, address)) => self.take(&datagram[..length], address, &hellos),
                // A peer that closed its port; the error is of an earlier send.
                Err(error) => tracing::debug!(%error, "a datagram could not be received"),
            }
        }
    }

    /// Waits for the stop and then for the end of every session: a socket that closes while others of its port serve
    /// would move their gateways' datagrams about.
    async fn ended(&self) {
        self.context.stop.cancelled().await;
        while !self.places.lock().unwrap_or_else(PoisonError::into_inner).all_free() {
            tokio::time::sleep(ENDED_ASKED_EVERY).await;
        }
    }

    fn take(&self, datagram: &[u8], address: SocketAddr, hellos: &mpsc::Sender<WaitingHello>) {
        count(&self.context.counters.datagrams_received);
        let limit_bytes = usize::from(self.context.settings.max_datagram_bytes) - DATAGRAM_HEADER_BYTES;
        let (header, frame) = match decode_datagram(datagram, limit_bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                let session = DatagramHeader::decode(datagram).map_or(0, |(header, _)| header.session);
                return self.refuse(datagram.len(), &self.peer(address, session), &error.into());
            }
        };
        count(&self.context.counters.frames_received);
        if frame.kind() == Kind::Refusal.byte() {
            count(&self.context.counters.datagrams_ignored);
        } else if header.session == 0 {
            self.take_hello(datagram, address, frame, hellos);
        } else {
            self.take_frame(datagram, address, header.session, frame);
        }
    }

    fn take_frame(&self, datagram: &[u8], address: SocketAddr, number: u64, frame: RawFrame<'_>) {
        let open = {
            let sessions = self.lock();
            let session = sessions.get(&address).filter(|session| session.peer.session == number);
            session.map(|session| (session.peer.clone(), session.frames.clone()))
        };
        let Some((peer, frames)) = open else {
            let stranger = UdpPeer::new(Arc::clone(&self.socket), address, number);
            return self.refuse(datagram.len(), &stranger, &unknown_session(&self.context));
        };
        let at = Received::now(&*self.context.clock);
        let is_ping = frame.kind() == Kind::Ping.byte();
        if is_ping {
            // Answered here: a session that waits for room is alive all the same.
            match Message::decode(frame) {
                Ok(Message::Ping(ping)) => peer.send_now(|buffer| pong(ping, &at.clock).encode(buffer)),
                Ok(_) => {}
                Err(error) => return self.refuse(datagram.len(), &peer, &error.into()),
            }
        }
        let frame = &datagram[DATAGRAM_HEADER_BYTES..];
        let refuse = match frames.try_send(Arrived { frame: Bytes::copy_from_slice(frame), at }) {
            Ok(()) => return,
            // A session with that much to do is not idle.
            Err(TrySendError::Full(_)) if is_ping => return,
            Err(TrySendError::Full(_)) => busy(sequence_of(frame).ok()),
            // One side has said goodbye. What is due is still answered, nothing else is.
            Err(TrySendError::Closed(_)) => return count(&self.context.counters.datagrams_ignored),
        };
        self.refuse(datagram.len(), &peer, &refuse);
    }

    fn take_hello(
        &self,
        datagram: &[u8],
        address: SocketAddr,
        frame: RawFrame<'_>,
        hellos: &mpsc::Sender<WaitingHello>,
    ) {
        let refuse = match Message::decode(frame) {
            Err(error) => error.into(),
            Ok(Message::Hello(_)) if self.context.stop.is_cancelled() => unknown_session(&self.context),
            Ok(Message::Hello(hello)) => {
                if self.welcome_again(address, &hello) {
                    return;
                }
                match hellos.try_send((address, Bytes::copy_from_slice(&datagram[DATAGRAM_HEADER_BYTES..]))) {
                    Ok(()) => return,
                    Err(_) => busy(None),
                }
            }
            Ok(_) => unknown_session(&self.context),
        };
        self.refuse(datagram.len(), &self.peer(address, 0), &refuse);
    }

    /// Repeats the welcome of the session that this very hello opened, if it did.
    fn welcome_again(&self, address: SocketAddr, hello: &Hello<'_>) -> bool {
        let sessions = self.lock();
        let Some(session) = sessions.get(&address) else { return false };
        let same = session.client_random == hello.client_random
            && session.welcome.boot_epoch == hello.boot_epoch
            && session.gateway_id == hello.gateway_id;
        if same {
            let server_time_us = self.context.clock.read().now.as_micros();
            let welcome = Welcome { server_time_us, ..session.welcome };
            session.peer.send_now(|buffer| welcome.encode(buffer));
        }
        same
    }

    /// Judges hellos, one after the other: the registry may have to be asked.
    async fn greet(self: Arc<Self>, mut waiting: mpsc::Receiver<WaitingHello>) {
        while let Some((address, frame)) = waiting.recv().await {
            let limit_bytes = usize::from(self.context.settings.max_datagram_bytes);
            let Ok(Ok(Message::Hello(hello))) = deframe_whole(&frame, limit_bytes).map(Message::decode)
            else {
                continue;
            };
            if self.welcome_again(address, &hello) {
                continue;
            }
            let opened =
                match self.context.stop.run_until_cancelled(self.context.greet(&hello, Order::Any)).await {
                    Some(opened) => opened,
                    None => Err(unknown_session(&self.context)),
                };
            if let Err(refuse) = opened.and_then(|greeting| self.open(address, &hello, greeting)) {
                self.refuse(DATAGRAM_HEADER_BYTES + frame.len(), &self.peer(address, 0), &refuse);
            }
        }
    }

    fn open(
        self: &Arc<Self>,
        address: SocketAddr,
        hello: &Hello<'_>,
        greeting: Greeting,
    ) -> Result<(), Refuse> {
        let free = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.adjust(self.context.limits.now().max_udp_sessions);
            Arc::clone(&places.free)
        };
        let place = free
            .try_acquire_owned()
            .map_err(|_| Refuse::new(RefusalCode::TooManySessions, "every place for a session is taken"))?;
        let welcome = greeting.welcome;
        let peer = self.peer(address, welcome.session);
        let (frames, arrived) = mpsc::channel(usize::try_from(welcome.window_frames).unwrap_or(usize::MAX));
        let session = Session {
            client_random: hello.client_random,
            gateway_id: hello.gateway_id.to_owned(),
            welcome,
            peer: peer.clone(),
            frames,
        };
        // An older session of the same address loses its sender, answers what it has begun with, and ends.
        self.lock().insert(address, session);
        peer.send_now(|buffer| welcome.encode(buffer));
        let shard = Arc::clone(self);
        self.tasks.spawn(async move {
            count(&shard.context.counters.udp_sessions_opened);
            let open = OpenGuard::new(&shard.context.counters.udp_sessions_open);
            let incoming = Incoming { shard: Arc::clone(&shard), peer: peer.clone(), arrived };
            incoming.serve(greeting).await;
            shard.forget(&peer);
            drop((open, place));
        });
        Ok(())
    }

    fn forget(&self, peer: &UdpPeer) {
        let mut sessions = self.lock();
        if sessions.get(&peer.address).is_some_and(|session| session.peer.session == peer.session) {
            sessions.remove(&peer.address);
        }
    }

    /// The peer of a session, with its packet numbers; of no session here, with packet numbers of its own.
    fn peer(&self, address: SocketAddr, session: u64) -> UdpPeer {
        let sessions = self.lock();
        match sessions.get(&address) {
            Some(open) if open.peer.session == session => open.peer.clone(),
            _ => UdpPeer::new(Arc::clone(&self.socket), address, session),
        }
    }

    fn refuse(&self, datagram_bytes: usize, peer: &UdpPeer, refuse: &Refuse) {
        self.context.counters.refused(refuse.code);
        tracing::debug!(code = refuse.code.label(), text = refuse.text, "a datagram was refused");
        let limit_bytes = (datagram_bytes * REFUSAL_TIMES_DATAGRAM).saturating_sub(DATAGRAM_HEADER_BYTES);
        match refuse.encode(limit_bytes) {
            Some(frame) if datagram_bytes >= DATAGRAM_HEADER_BYTES => peer.send_now(|buffer| {
                buffer[..frame.len()].copy_from_slice(&frame);
                Ok(frame.len())
            }),
            _ => count(&self.context.counters.datagrams_ignored),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy(sequence: Option<u64>) -> Refuse {
    let refuse = Refuse::new(RefusalCode::Busy, "no room now; send it again");
    Refuse { retry_after_ms: BUSY_RETRY_MS, ..refuse }.of_sequence(sequence.unwrap_or_default())
}

/// What a datagram is told that belongs to no session: to open one, unless the daemon stops.
fn unknown_session(context: &Context) -> Refuse {
    if context.stop.is_cancelled() {
        Refuse::new(RefusalCode::Draining, "the daemon stops")
    } else {
        Refuse::new(RefusalCode::UnknownSession, "say hello again")
    }
}

fn bind(address: SocketAddr, receive_buffer_bytes: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // The kernel grants what its own limit allows; more is better, less still works.
    let _ = socket.set_recv_buffer_size(receive_buffer_bytes);
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}
