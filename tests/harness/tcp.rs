//! A gateway on a plain TCP socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use beacon_protocol::{Deframed, Hello, MAX_FRAME_BYTES, Welcome, deframe};

use super::PATIENCE;
use super::frames::{self, batches};
use super::reply::{Acked, Record, Refused, Reply};
use crate::model::Sighting;

/// A connection, and what came over it but was not looked at.
#[derive(Debug)]
pub(crate) struct TcpGateway {
    stream: TcpStream,
    received: Vec<u8>,
}

impl TcpGateway {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// Sends bytes as they are. A connection that the daemon has closed takes them too, for nothing.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                panic!("cannot send: {error}")
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end_sending(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next frame, or the end. Fails if neither comes.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Reply {
        loop {
            if let Deframed::Frame { consumed, .. } = deframe(&self.received, MAX_FRAME_BYTES).unwrap() {
                let reply = Reply::decode(&self.received[..consumed]);
                self.received.drain(..consumed);
                return reply;
            }
            let mut buffer = [0; 16_384];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Reply::Closed,
                Ok(length) => self.received.extend(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Reply::Closed,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// Says hello and returns the answer.
    #[track_caller]
    pub(crate) fn greet(&mut self, hello: &Hello<'_>) -> Reply {
        self.send(&frames::encoded_hello(hello));
        self.receive()
    }

    /// Opens a session of a new boot epoch, its sequences from 1.
    #[track_caller]
    pub(crate) fn open(&mut self, gateway_id: &str) -> Welcome {
        self.greet(&Hello { boot_epoch: frames::new_epoch(), ..frames::hello(gateway_id) }).welcome()
    }

    /// Says hello where it is refused; returns the refusal's name.
    #[track_caller]
    pub(crate) fn open_refused(&mut self, gateway_id: &str) -> &'static str {
        self.greet(&frames::hello(gateway_id)).refusal().code.label()
    }

    /// Sends a frame and returns its record.
    #[track_caller]
    pub(crate) fn ask(&mut self, frame: &[u8]) -> Record {
        self.send(frame);
        let ack = self.receive().ack();
        assert_eq!(ack.received, 0, "a bitmap is for UDP");
        let [record] = <[Record; 1]>::try_from(ack.records).unwrap();
        record
    }

    /// Nothing is there to be received: a ping is answered first.
    #[track_caller]
    pub(crate) fn assert_unanswered(&mut self) {
        const TOKEN: u64 = 0xA11;
        self.send(&frames::ping(TOKEN));
        let reply = self.receive();
        assert!(matches!(reply, Reply::Pong(pong) if pong.token == TOKEN), "no pong but {reply:?}");
    }

    /// Sends bytes for which the daemon refuses and closes; returns the refusal.
    #[track_caller]
    pub(crate) fn refused(&mut self, bytes: &[u8]) -> Refused {
        self.send(bytes);
        let refusal = self.receive().refusal();
        assert_eq!(self.receive(), Reply::Closed, "a refusal closes the connection");
        refusal
    }

    /// Sends all sightings in their order, `window_frames` frames ahead of the acks, and returns a record for each
    /// batch. Stops early when the connection ends.
    pub(crate) fn send_all(&mut self, sightings: &[Sighting], window_frames: usize) -> Vec<Record> {
        let frames =
            (1..).zip(batches(sightings)).map(|(sequence, batch)| frames::sightings(sequence, batch));
        let mut frames = frames.peekable();
        let mut records = Vec::new();
        let mut sent = 0;
        while frames.peek().is_some() || records.len() < sent {
            while sent - records.len() < window_frames
                && let Some(frame) = frames.next()
            {
                self.send(&frame);
                sent += 1;
            }
            match self.receive() {
                Reply::Ack(Acked { records: more, .. }) => records.extend(more),
                Reply::Ping => {}
                Reply::Closed => break,
                other => panic!("no ack but {other:?}"),
            }
        }
        records.sort_by_key(|record| record.sequence);
        records
    }
}
