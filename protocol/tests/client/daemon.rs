//! A daemon that says what a test tells it to, over TCP or UDP.

use std::net::SocketAddr;
use std::time::Duration;

use beacon_protocol::client::{BackoffRange, GatewayConfig, Target};
use beacon_protocol::{
    AckEncoder, AckLevel, DATAGRAM_HEADER_BYTES, DatagramHeader, Deframed, EncodeError, Exception,
    GoodbyeReason, Hello, MAX_FRAME_BYTES, Message, OUTCOME_CODES, OutcomeCode, Ping, RecordStatus, Refusal,
    RefusalCode, ResultRecord, TimeBase, Welcome, deframe,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

pub(crate) const EPOCH: u64 = 77;
pub(crate) const SESSION: u64 = 0xABCD;

/// Short times: sockets need a real clock, and the tests wait for events, not for these.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_millis(1_000);
pub(crate) const PONG_TIMEOUT: Duration = Duration::from_millis(500);
pub(crate) const HELLO_WAIT: Duration = Duration::from_millis(100);
pub(crate) const RECONNECT_WAIT: Duration = Duration::from_millis(40);
pub(crate) const UNDECIDED_WAIT: Duration = Duration::from_millis(100);

/// Token of a ping whose pong must come first.
const BARRIER: u64 = 4_711;

/// What a gateway sent, owned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Received {
    Hello(OwnedHello),
    Batch(Batch),
    Preferences { sequence: u64, customer_id: Vec<u8> },
    Ping(u64),
    Pong(u64),
    Goodbye(GoodbyeReason),
    Status { firmware: String },
    Closed,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OwnedHello {
    pub(crate) boot_epoch: u64,
    pub(crate) first_unacked: u64,
    pub(crate) client_random: [u8; 32],
    pub(crate) ack_level: Option<AckLevel>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Batch {
    pub(crate) sequence: u64,
    pub(crate) base: TimeBase,
    pub(crate) customer_ids: Vec<Vec<u8>>,
    pub identity_checksum: u32,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn hello(self) -> OwnedHello {
        let Self::Hello(hello) = self else { panic!("{self:?} instead of hello") };
        hello
    }

    pub(crate) fn batch(self) -> Batch {
        let Self::Batch(batch) = self else { panic!("{self:?} instead of sightings") };
        batch
    }

    fn from_message(message: Message<'_>) -> Self {
        match message {
            Message::Hello(Hello { boot_epoch, first_unacked, client_random, ack_level, .. }) => {
                Self::Hello(OwnedHello { boot_epoch, first_unacked, client_random, ack_level })
            }
            Message::Sightings(batch) => Self::Batch(Batch {
                sequence: batch.sequence,
                base: batch.base,
                customer_ids: batch.sightings().map(|seen| seen.customer_id.to_vec()).collect(),
                identity_checksum: batch.identity_checksum(),
                body: batch.frame().body().to_vec(),
            }),
            Message::Preferences(preferences) => Self::Preferences {
                sequence: preferences.sequence,
                customer_id: preferences.customer_id.to_vec(),
            },
            Message::Ping(ping) => Self::Ping(ping.token),
            Message::Pong(pong) => Self::Pong(pong.token),
            Message::Goodbye(goodbye) => Self::Goodbye(goodbye.reason),
            Message::GatewayStatus(status) => Self::Status { firmware: status.firmware.to_owned() },
            other => panic!("a gateway sent {other:?}"),
        }
    }
}

/// What the daemon grants unless a test says otherwise.
pub(crate) fn welcome(hello: &OwnedHello) -> Welcome {
    Welcome {
        version: 1,
        ack_level: AckLevel::Journal,
        session: SESSION,
        boot_epoch: hello.boot_epoch,
        last_acked: 0,
        client_random_echo: *hello.client_random.first_chunk().unwrap(),
        window_frames: 64,
        max_frame_bytes: 65_536,
        max_datagram_bytes: 1_200,
        max_sightings: 4_096,
        idle_timeout_ms: 30_000,
        server_time_us: 1,
        server_random: [9; 32],
    }
}

/// A record in which every sighting has the same final outcome.
pub(crate) fn all(sequence: u64, code: OutcomeCode, count: u16) -> ResultRecord<'static> {
    let mut counts = [0; OUTCOME_CODES];
    counts[usize::from(code.byte())] = count;
    ResultRecord { sequence, status: RecordStatus::Decided, dead_lettered: 0, counts, exceptions: &[] }
}

/// A record of which the listed sightings are undecided and the others identified.
pub(crate) fn undecided(sequence: u64, count: u16, exceptions: &[Exception]) -> ResultRecord<'_> {
    let open = u16::try_from(exceptions.len()).unwrap();
    let mut counts = [0; OUTCOME_CODES];
    counts[0] = open;
    counts[10] = count - open;
    ResultRecord { sequence, status: RecordStatus::Decided, dead_lettered: 0, counts, exceptions }
}

pub(crate) fn plain(sequence: u64, status: RecordStatus) -> ResultRecord<'static> {
    ResultRecord { sequence, status, dead_lettered: 0, counts: [0; OUTCOME_CODES], exceptions: &[] }
}

pub(crate) fn refusal(sequence: u64, code: RefusalCode, retry_after_ms: u32) -> Refusal<'static> {
    Refusal { sequence, code, retry_after_ms, text: "as the test says" }
}

fn encode_ack(
    buffer: &mut [u8],
    cumulative: u64,
    received: u64,
    records: &[ResultRecord<'_>],
) -> Result<usize, EncodeError> {
    let mut encoder = AckEncoder::new(buffer, cumulative, received)?;
    for record in records {
        encoder.push(record)?;
    }
    encoder.finish()
}

fn encoded(encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>) -> Vec<u8> {
    let mut buffer = vec![0; MAX_FRAME_BYTES];
    let length = encode(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

/// A listening daemon on TCP.
pub(crate) struct TcpDaemon {
    listener: TcpListener,
}

impl TcpDaemon {
    pub(crate) async fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn config(&self) -> GatewayConfig {
        config(Target::Tcp(self.listener.local_addr().unwrap()))
    }

    pub(crate) async fn accept(&self) -> Connection {
        let (stream, _) = self.listener.accept().await.unwrap();
        Connection { stream, input: Vec::new() }
    }

    /// Accepts, and grants the session that is asked for.
    pub(crate) async fn welcome(&self) -> (Connection, OwnedHello) {
        let mut connection = self.accept().await;
        let hello = connection.next().await.hello();
        connection.send(|buffer| welcome(&hello).encode(buffer)).await;
        (connection, hello)
    }
}

/// One connection of a gateway.
pub(crate) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Connection {
    pub(crate) async fn next(&mut self) -> Received {
        loop {
            if let Deframed::Frame { frame, consumed } = deframe(&self.input, MAX_FRAME_BYTES).unwrap() {
                let received = Received::from_message(Message::decode(frame).unwrap());
                self.input.drain(..consumed);
                return received;
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return Received::Closed,
                Ok(_) => {}
            }
        }
    }

    /// A gateway answers in order: if the next thing is the pong, nothing else was sent before.
    pub(crate) async fn assert_nothing_more(&mut self) {
        self.send(|buffer| Ping { token: BARRIER, time_us: 0 }.encode(buffer)).await;
        assert_eq!(self.next().await, Received::Pong(BARRIER));
    }

    /// The next so many batches of sightings.
    pub(crate) async fn batches(&mut self, count: usize) -> Vec<Batch> {
        let mut batches = Vec::new();
        while batches.len() < count {
            batches.push(self.next().await.batch());
        }
        batches
    }

    pub(crate) async fn send(&mut self, encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>) {
        self.stream.write_all(&encoded(encode)).await.unwrap();
    }

    pub(crate) async fn ack(&mut self, cumulative: u64, records: &[ResultRecord<'_>]) {
        self.send(|buffer| encode_ack(buffer, cumulative, 0, records)).await;
    }
}

/// A daemon on UDP that speaks with one gateway.
pub(crate) struct UdpDaemon {
    socket: UdpSocket,
    peer: Option<SocketAddr>,
    packet_number: u64,
    pub(crate) session: u64,
    /// Packet numbers and sessions of what came, in order.
    pub(crate) headers: Vec<DatagramHeader>,
}

impl UdpDaemon {
    pub(crate) async fn bind() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Self { socket, peer: None, packet_number: 0, session: SESSION, headers: Vec::new() }
    }

    pub(crate) fn config(&self) -> GatewayConfig {
        config(Target::Udp(self.socket.local_addr().unwrap()))
    }

    pub(crate) async fn next(&mut self) -> Received {
        let mut datagram = vec![0; MAX_FRAME_BYTES];
        let (length, peer) = self.socket.recv_from(&mut datagram).await.unwrap();
        self.peer = Some(peer);
        let (header, frame) = beacon_protocol::decode_datagram(&datagram[..length], MAX_FRAME_BYTES).unwrap();
        self.headers.push(header);
        Received::from_message(Message::decode(frame).unwrap())
    }

    pub(crate) async fn send(&mut self, encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>) {
        self.packet_number += 1;
        let mut datagram = vec![0; DATAGRAM_HEADER_BYTES];
        DatagramHeader { session: self.session, packet_number: self.packet_number }
            .encode(&mut datagram)
            .unwrap();
        datagram.extend(encoded(encode));
        self.socket.send_to(&datagram, self.peer.unwrap()).await.unwrap();
    }

    /// A gateway answers in order: if the next thing is the pong, nothing else was sent before.
    pub(crate) async fn assert_nothing_more(&mut self) {
        self.send(|buffer| Ping { token: BARRIER, time_us: 0 }.encode(buffer)).await;
        assert_eq!(self.next().await, Received::Pong(BARRIER));
    }

    pub(crate) async fn welcome(&mut self) -> OwnedHello {
        let hello = self.next().await.hello();
        let welcome = Welcome { session: self.session, ..welcome(&hello) };
        self.send(|buffer| welcome.encode(buffer)).await;
        hello
    }

    pub(crate) async fn ack(&mut self, cumulative: u64, received: u64, records: &[ResultRecord<'_>]) {
        self.send(|buffer| encode_ack(buffer, cumulative, received, records)).await;
    }
}

fn config(target: Target) -> GatewayConfig {
    let range = |first: Duration| BackoffRange { first, most: first * 8 };
    GatewayConfig {
        reconnect_backoff: range(RECONNECT_WAIT),
        undecided_backoff: range(UNDECIDED_WAIT),
        hello_backoff: range(HELLO_WAIT),
        pong_timeout: PONG_TIMEOUT,
        ..GatewayConfig::new(target, "kitchen-1", EPOCH)
    }
}
