//! A proxy before PostgreSQL that loses notifications, as poolers do, and cuts connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes bytes on for as long as the process lives.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: String,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    mute: AtomicBool,
    refuse: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(crate) fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let faults = Arc::new(Faults::default());
        let of_thread = Arc::clone(&faults);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, faults) = (client.unwrap(), Arc::clone(&of_thread));
                if faults.refuse.load(Ordering::SeqCst) {
                    continue;
                }
                pass(client, TcpStream::connect(&server).unwrap(), faults);
            }
        });
        Self { address, faults }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Whether notifications are lost from now on.
    pub(crate) fn mute(&self, mute: bool) {
        self.faults.mute.store(mute, Ordering::SeqCst);
    }

    /// Cuts all connections, and takes no new ones until [`Self::mend`].
    pub(crate) fn cut(&self) {
        self.faults.refuse.store(true, Ordering::SeqCst);
        for stream in self.faults.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn mend(&self) {
        self.faults.refuse.store(false, Ordering::SeqCst);
    }
}

fn pass(client: TcpStream, server: TcpStream, faults: Arc<Faults>) {
    let both = [client.try_clone().unwrap(), server.try_clone().unwrap()];
    faults.open.lock().unwrap().extend(both);
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let _ = answers(&server, &client, &faults);
        let _ = client.shutdown(Shutdown::Both);
    });
}

/// Passes on the server's messages: a type byte, and a length that counts itself.
fn answers(mut server: &TcpStream, mut client: &TcpStream, faults: &Faults) -> std::io::Result<()> {
    loop {
        let mut message = vec![0; 5];
        server.read_exact(&mut message)?;
        let length = u32::from_be_bytes([message[1], message[2], message[3], message[4]]);
        message.resize(length as usize + 1, 0);
        server.read_exact(&mut message[5..])?;
        let notification = message[0] == b'A';
        if !(notification && faults.mute.load(Ordering::SeqCst)) {
            client.write_all(&message)?;
        }
    }
}
