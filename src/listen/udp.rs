//! UDP sessions: one frame a datagram, a session an address.
//!
//! Each socket has a reader that never waits for anything but the next datagram: what a session has no room for is
//! answered `busy`, hellos go through a short queue of their own.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beacon_protocol::{
    DATAGRAM_HEADER_BYTES, DatagramHeader, DecodeError, Hello, Message, RawFrame, RefusalCode, Welcome,
    decode_datagram, deframe_whole, sequence_of,
};
use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::answerer::Answerer;
use super::counters::{OpenGuard, count};
use super::hello::{Greeting, Refuse};
use super::inlet::{End, Inlet};
use super::outlet::Outlet;
use super::sequences::{Order, Sequences};
use super::{Context, ListenSettings};
use crate::tasks::TaskGroup;

/// Hellos that wait for their judgement at once, for each socket.
const HELLOS_WAITING: usize = 256;

/// How long a gateway whose frame found no room should wait.
const BUSY_RETRY_MS: u32 = 100;

/// A refusal is at most this many times as long as the datagram it answers: nothing to amplify an attack with.
const REFUSAL_TIMES_DATAGRAM: usize = 3;

/// How often goodbye is said, and how far apart.
const GOODBYES: usize = 3;
const GOODBYES_APART: Duration = Duration::from_millis(100);

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
        let places = Arc::new(Semaphore::new(context.settings.max_udp_sessions));
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
    places: Arc<Semaphore>,
    tasks: TaskGroup,
}

/// A session as its socket's reader knows it.
#[derive(Debug)]
struct Session {
    number: u64,
    client_random: [u8; 32],
    boot_epoch: u64,
    gateway_id: String,
    welcome: Welcome,
    frames: mpsc::Sender<Bytes>,
}

/// A datagram on its way to the greeter.
type WaitingHello = (SocketAddr, Bytes);

impl Shard {
    async fn receive(self: Arc<Self>, hellos: mpsc::Sender<WaitingHello>) {
        let stop = self.context.stop.clone();
        let mut datagram = vec![0; usize::from(u16::MAX)];
        loop {
            // While draining, sessions still end and newcomers are told so; the last session's end ends the reader.
            let received = tokio::select! {
                biased;
                received = self.socket.recv_from(&mut datagram) => received,
                () = self.ended(&stop) => return,
            };
            match received {
                Ok((length, peer)) => self.take(&datagram[..length], peer, &hellos),
                // A peer that closed its port; the error is of an earlier send.
                Err(error) => tracing::debug!(%error, "a datagram could not be received"),
            }
        }
    }

    /// Waits for the stop and then for the end of every session of this socket.
    async fn ended(&self, stop: &tokio_util::sync::CancellationToken) {
        stop.cancelled().await;
        while !self.lock().is_empty() {
            tokio::time::sleep(GOODBYES_APART).await;
        }
    }

    fn take(&self, datagram: &[u8], peer: SocketAddr, hellos: &mpsc::Sender<WaitingHello>) {
        count(&self.context.counters.datagrams_received);
        let limit_bytes = usize::from(self.context.settings.max_datagram_bytes) - DATAGRAM_HEADER_BYTES;
        let (header, frame) = match decode_datagram(datagram, limit_bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                let session = DatagramHeader::decode(datagram).map_or(0, |(header, _)| header.session);
                return self.refuse(datagram.len(), peer, session, &error.into());
            }
        };
        count(&self.context.counters.frames_received);
        if frame.kind() == beacon_protocol::Kind::Refusal.byte() {
            return count(&self.context.counters.datagrams_ignored);
        }
        if header.session == 0 {
            return self.take_hello(datagram, peer, frame, hellos);
        }
        let frames = {
            let sessions = self.lock();
            sessions
                .get(&peer)
                .filter(|session| session.number == header.session)
                .map(|session| session.frames.clone())
        };
        let refuse = match frames {
            None => Refuse::new(RefusalCode::UnknownSession, "say hello again"),
            Some(frames) => match frames.try_send(Bytes::copy_from_slice(&datagram[DATAGRAM_HEADER_BYTES..]))
            {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    busy(sequence_of(&datagram[DATAGRAM_HEADER_BYTES..]).ok())
                }
                Err(mpsc::error::TrySendError::Closed(_)) => ended(&self.context),
            },
        };
        self.refuse(datagram.len(), peer, header.session, &refuse);
    }

    fn take_hello(
        &self,
        datagram: &[u8],
        peer: SocketAddr,
        frame: RawFrame<'_>,
        hellos: &mpsc::Sender<WaitingHello>,
    ) {
        let refuse = match Message::decode(frame) {
            Err(error) => error.into(),
            Ok(Message::Hello(_)) if self.context.stop.is_cancelled() => ended(&self.context),
            Ok(Message::Hello(hello)) => {
                if let Some(welcome) = self.welcomed(peer, &hello) {
                    return self.send(peer, welcome.session, 1, |frame| welcome.encode(frame));
                }
                match hellos.try_send((peer, Bytes::copy_from_slice(&datagram[DATAGRAM_HEADER_BYTES..]))) {
                    Ok(()) => return,
                    Err(_) => busy(None),
                }
            }
            Ok(_) => Refuse::new(RefusalCode::UnknownSession, "say hello first"),
        };
        self.refuse(datagram.len(), peer, 0, &refuse);
    }

    /// The welcome of the session that this very hello opened.
    fn welcomed(&self, peer: SocketAddr, hello: &Hello<'_>) -> Option<Welcome> {
        let sessions = self.lock();
        let session = sessions.get(&peer)?;
        let same = session.client_random == hello.client_random
            && session.boot_epoch == hello.boot_epoch
            && session.gateway_id == hello.gateway_id;
        let server_time_us = self.context.clock.read().now.as_micros();
        same.then_some(Welcome { server_time_us, ..session.welcome })
    }

    /// Judges hellos, one after the other: the registry may have to be asked.
    async fn greet(self: Arc<Self>, mut waiting: mpsc::Receiver<WaitingHello>) {
        while let Some((peer, frame)) = waiting.recv().await {
            let limit_bytes = usize::from(self.context.settings.max_datagram_bytes);
            let Ok(Ok(Message::Hello(hello))) = deframe_whole(&frame, limit_bytes).map(Message::decode)
            else {
                continue;
            };
            let datagram_bytes = DATAGRAM_HEADER_BYTES + frame.len();
            if let Some(welcome) = self.welcomed(peer, &hello) {
                self.send(peer, welcome.session, 1, |frame| welcome.encode(frame));
                continue;
            }
            match self.context.greet(&hello, Order::Any).await {
                Err(refuse) => self.refuse(datagram_bytes, peer, 0, &refuse),
                Ok(greeting) => self.open(peer, &hello, greeting, datagram_bytes),
            }
        }
    }

    fn open(
        self: &Arc<Self>,
        peer: SocketAddr,
        hello: &Hello<'_>,
        greeting: Greeting,
        datagram_bytes: usize,
    ) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let refuse = Refuse::new(RefusalCode::TooManySessions, "every place for a session is taken");
            return self.refuse(datagram_bytes, peer, 0, &refuse);
        };
        let welcome = greeting.welcome;
        let window_frames = usize::try_from(welcome.window_frames).unwrap_or(usize::MAX);
        let (frames, incoming) = mpsc::channel(window_frames);
        let session = Session {
            number: welcome.session,
            client_random: hello.client_random,
            boot_epoch: hello.boot_epoch,
            gateway_id: hello.gateway_id.to_owned(),
            welcome,
            frames,
        };
        // An older session of the same address loses its sender, answers what it has begun with, and ends.
        self.lock().insert(peer, session);
        self.send(peer, welcome.session, 1, |frame| welcome.encode(frame));
        let shard = Arc::clone(self);
        self.tasks.spawn(async move {
            count(&shard.context.counters.udp_sessions_opened);
            let open = OpenGuard::new(&shard.context.counters.udp_sessions_open);
            shard.serve(peer, greeting, incoming).await;
            shard.forget(peer, welcome.session);
            drop((open, place));
        });
    }

    async fn serve(&self, peer: SocketAddr, greeting: Greeting, mut incoming: mpsc::Receiver<Bytes>) {
        let Greeting { gateway, first_unacked, welcome } = greeting;
        let sequences =
            Arc::new(Mutex::new(Sequences::new(Order::Any, first_unacked, welcome.window_frames)));
        let (outgoing, answers) = mpsc::channel(usize::try_from(welcome.window_frames).unwrap_or(usize::MAX));
        let mut inlet =
            Inlet::new(Arc::clone(&self.context), gateway, Order::Any, Arc::clone(&sequences), outgoing);
        let max_datagram_bytes = usize::from(welcome.max_datagram_bytes);
        let outlet = Outlet::udp(Arc::clone(&self.socket), peer, welcome.session, max_datagram_bytes);
        let answering = Answerer::new(outlet, sequences).run(answers);
        let reading = async {
            self.frames(peer, welcome.session, &mut inlet, &mut incoming).await;
            if self.context.stop.is_cancelled() {
                for _ in 0..GOODBYES {
                    inlet.drain().await;
                    tokio::time::sleep(GOODBYES_APART).await;
                }
            }
            drop(inlet);
        };
        let ((), _) = tokio::join!(reading, answering);
    }

    async fn frames(
        &self,
        peer: SocketAddr,
        session: u64,
        inlet: &mut Inlet,
        incoming: &mut mpsc::Receiver<Bytes>,
    ) {
        let limit_bytes = usize::from(self.context.settings.max_datagram_bytes);
        loop {
            let next = tokio::select! {
                biased;
                () = self.context.stop.cancelled() => return,
                next = timeout(self.context.settings.idle_timeout, incoming.recv()) => next,
            };
            let Ok(Some(frame)) = next else { return };
            let taken = match deframe_whole(&frame, limit_bytes).and_then(Message::decode) {
                Ok(message) => inlet.take(message).await,
                Err(error) => Err(End::Refused(DecodeError::into(error))),
            };
            match taken {
                Ok(()) => {}
                Err(End::Leaving | End::Unheard) => return,
                Err(End::Refused(refuse)) => {
                    self.refuse(DATAGRAM_HEADER_BYTES + frame.len(), peer, session, &refuse);
                    if refuse.code.ends_udp_session() {
                        return;
                    }
                }
            }
        }
    }

    fn forget(&self, peer: SocketAddr, number: u64) {
        let mut sessions = self.lock();
        if sessions.get(&peer).is_some_and(|session| session.number == number) {
            sessions.remove(&peer);
        }
    }

    fn refuse(&self, datagram_bytes: usize, peer: SocketAddr, session: u64, refuse: &Refuse) {
        self.context.counters.refused(refuse.code);
        tracing::debug!(code = refuse.code.label(), text = refuse.text, "a datagram was refused");
        let limit_bytes = (datagram_bytes * REFUSAL_TIMES_DATAGRAM).saturating_sub(DATAGRAM_HEADER_BYTES);
        match refuse.encode(limit_bytes) {
            Some(encoded) if datagram_bytes >= DATAGRAM_HEADER_BYTES => {
                self.send(peer, session, 1, |frame| {
                    frame[..encoded.len()].copy_from_slice(&encoded);
                    Ok(encoded.len())
                })
            }
            _ => count(&self.context.counters.datagrams_ignored),
        }
    }

    /// Sends one frame from outside a session's answerer, if the socket takes it at once.
    fn send(
        &self,
        peer: SocketAddr,
        session: u64,
        packet_number: u64,
        encode: impl FnOnce(&mut [u8]) -> Result<usize, beacon_protocol::EncodeError>,
    ) {
        let mut datagram = [0; 512];
        let (head, frame) = datagram.split_at_mut(DATAGRAM_HEADER_BYTES);
        if (DatagramHeader { session, packet_number }).encode(head).is_ok()
            && let Ok(length) = encode(frame)
        {
            // Lost like any datagram may be: the gateway repeats what is not answered.
            let _ = self.socket.try_send_to(&datagram[..DATAGRAM_HEADER_BYTES + length], peer);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy(sequence: Option<u64>) -> Refuse {
    let refuse = Refuse::new(RefusalCode::Busy, "no room now; send it again");
    Refuse { retry_after_ms: BUSY_RETRY_MS, ..refuse }.of_sequence(sequence.unwrap_or_default())
}

/// What a datagram is told whose session has just ended.
fn ended(context: &Context) -> Refuse {
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
