//! One session over UDP: its frames one after the other, its answers beside them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use beacon_protocol::{DATAGRAM_HEADER_BYTES, Message, deframe_whole};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Shard;
use crate::listen::answerer::Answerer;
use crate::listen::hello::{Greeting, Refuse};
use crate::listen::inlet::{End, Inlet};
use crate::listen::outlet::{Outlet, UdpPeer};
use crate::listen::sequences::{Order, Sequences};
use crate::pipeline::Received;

/// How often goodbye is said, and how far apart.
const GOODBYES: usize = 3;
const GOODBYES_APART: Duration = Duration::from_millis(100);

/// A sound frame and when it arrived.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) frame: Bytes,
    pub(super) at: Received,
}

/// The frames of one session.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) shard: Arc<Shard>,
    pub(super) peer: UdpPeer,
    pub(super) arrived: mpsc::Receiver<Arrived>,
}

impl Incoming {
    /// Serves the session to its end.
    pub(super) async fn serve(mut self, greeting: Greeting) {
        let welcome = &greeting.welcome;
        let sequences = Sequences::new(Order::Any, greeting.first_unacked, welcome.window_frames);
        let sequences = Arc::new(Mutex::new(sequences));
        let answers_at_once = usize::try_from(welcome.window_frames).unwrap_or(usize::MAX);
        let (outgoing, answers) = mpsc::channel(answers_at_once);
        let outlet = Outlet::udp(self.peer.clone(), usize::from(welcome.max_datagram_bytes));
        let context = Arc::clone(&self.shard.context);
        let latencies = Arc::clone(context.pipeline.latencies());
        let answerer = Answerer::new(outlet, Arc::clone(&sequences), answers_at_once, latencies);
        let idle_timeout = Duration::from_millis(greeting.welcome.idle_timeout_ms.into());
        let mut inlet = Inlet::new(Arc::clone(&context), &greeting, Order::Any, sequences, outgoing);
        let reading = async move {
            // A frame that waits for room when the daemon stops has not been begun with.
            if context.stop.run_until_cancelled(self.take_frames(&mut inlet, idle_timeout)).await.is_none() {
                for _ in 0..GOODBYES {
                    inlet.drain().await;
                    tokio::time::sleep(GOODBYES_APART).await;
                }
            }
        };
        // The inlet ends with the reading; the answerer then says what is still due.
        let ((), _) = tokio::join!(reading, answerer.run(answers));
    }

    async fn take_frames(&mut self, inlet: &mut Inlet, idle_timeout: Duration) {
        let settings = &self.shard.context.settings;
        let limit_bytes = usize::from(settings.max_datagram_bytes);
        while let Ok(Some(Arrived { frame, at })) = timeout(idle_timeout, self.arrived.recv()).await {
            // Its header and checksum were found sound when it came.
            let taken = match deframe_whole(&frame, limit_bytes).and_then(Message::decode) {
                // It was answered when it came; here it only says that the gateway is there.
                Ok(Message::Ping(_)) => Ok(()),
                Ok(message) => inlet.take(message, &at).await,
                Err(error) => Err(End::Refused(Refuse::of_frame(error, &frame))),
            };
            match taken {
                Ok(()) => {}
                Err(End::Leaving | End::Unheard) => return,
                Err(End::Refused(refuse)) => {
                    self.shard.refuse(DATAGRAM_HEADER_BYTES + frame.len(), &self.peer, &refuse);
                    if refuse.code.ends_udp_session() {
                        return;
                    }
                }
            }
        }
    }
}
