//! A gateway on a plain UDP socket. It repeats nothing by itself: on loopback nothing is lost but by the daemon.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use beacon_protocol::{DATAGRAM_HEADER_BYTES, DatagramHeader, Hello, Welcome};

use super::PATIENCE;
use super::frames;
use super::reply::{Acked, Refused, Reply};

/// A socket and the session it has, 0 before there is one.
#[derive(Debug)]
pub(crate) struct UdpGateway {
    socket: UdpSocket,
    pub(crate) session: u64,
    packet_number: u64,
    boot_epoch: u64,
    /// Of all datagrams that came from the daemon.
    received: RefCell<Vec<u64>>,
}

impl UdpGateway {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            session: 0,
            packet_number: 0,
            boot_epoch: frames::new_epoch(),
            received: RefCell::default(),
        }
    }

    /// Sends a frame in a datagram of this session.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.packet_number += 1;
        let header = DatagramHeader { session: self.session, packet_number: self.packet_number };
        let mut datagram = vec![0; DATAGRAM_HEADER_BYTES];
        header.encode(&mut datagram).unwrap();
        datagram.extend(frame);
        self.send_datagram(&datagram);
    }

    /// Sends bytes as they are.
    pub(crate) fn send_datagram(&self, datagram: &[u8]) {
        self.socket.send(datagram).unwrap();
    }

    /// The packet numbers of the datagrams received so far.
    pub(crate) fn packet_numbers_received(&self) -> Vec<u64> {
        self.received.borrow().clone()
    }

    /// The next datagram from the daemon as it is.
    #[track_caller]
    pub(crate) fn receive_bytes(&self) -> Vec<u8> {
        let mut buffer = [0; 65_536];
        match self.socket.recv(&mut buffer) {
            Ok(length) => buffer[..length].to_vec(),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                panic!("the daemon's socket is gone")
            }
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    /// The next frame from the daemon, and the session its datagram names.
    #[track_caller]
    pub(crate) fn receive_of_session(&self) -> (u64, Reply) {
        let datagram = self.receive_bytes();
        let (header, frame) = DatagramHeader::decode(&datagram).unwrap();
        self.received.borrow_mut().push(header.packet_number);
        (header.session, Reply::decode(frame))
    }

    /// The next frame from the daemon.
    #[track_caller]
    pub(crate) fn receive(&self) -> Reply {
        self.receive_of_session().1
    }

    /// Says hello, with session 0 in the header, and returns the answer.
    #[track_caller]
    pub(crate) fn greet(&mut self, hello: &Hello<'_>) -> Reply {
        self.session = 0;
        self.send(&frames::encoded_hello(hello));
        let reply = self.receive();
        if let Reply::Welcome(welcome) = &reply {
            self.session = welcome.session;
        }
        reply
    }

    /// Opens a session of this socket's boot epoch, its sequences from 1; said again, it is the same hello.
    #[track_caller]
    pub(crate) fn open(&mut self, gateway_id: &str) -> Welcome {
        self.greet(&Hello { boot_epoch: self.boot_epoch, ..frames::hello(gateway_id) }).welcome()
    }

    /// Sends a frame and returns the ack that brings a record.
    #[track_caller]
    pub(crate) fn ask(&mut self, frame: &[u8]) -> Acked {
        self.send(frame);
        self.answered()
    }

    /// The next ack with a record; one that only says what was received comes before.
    #[track_caller]
    pub(crate) fn answered(&self) -> Acked {
        loop {
            let ack = self.receive().ack();
            if !ack.records.is_empty() {
                return ack;
            }
        }
    }

    /// Sends a frame that is refused; returns the refusal.
    #[track_caller]
    pub(crate) fn refused(&mut self, frame: &[u8]) -> Refused {
        self.send(frame);
        self.receive().refusal()
    }
}
