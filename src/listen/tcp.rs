//! TCP sessions: a stream of frames each way.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use beacon_protocol::{Deframed, Hello, MAX_FRAME_BYTES, Message, RefusalCode, deframe};
use bytes::{Buf, BytesMut};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::answerer::Answerer;
use super::counters::{OpenGuard, count};
use super::hello::{Greeting, Refuse};
use super::inlet::{End, Inlet};
use super::outlet::Outlet;
use super::sequences::{Order, Sequences};
use super::settings::Places;
use crate::pipeline::Received;
use crate::tasks::TaskGroup;

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 1_024;

/// A session's receive buffer at first: several common frames a read.
const READ_BYTES: usize = 16_384;

/// How long a refused gateway is read on, so that a reset does not overtake its refusal.
const LINGER: Duration = Duration::from_millis(500);

/// How much of it is read on at most.
const LINGER_BYTES: u64 = 1 << 20;

/// How often a hello is tried again while the registry cannot be asked.
const REGISTRY_RETRY: Duration = Duration::from_millis(250);

/// How long accepting pauses when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound TCP socket.
#[derive(Debug)]
pub(super) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn serve(self, context: &Arc<Context>, tasks: &TaskGroup) {
        let (context, sessions) = (Arc::clone(context), tasks.clone());
        tasks.spawn(async move {
            let stop = context.stop.clone();
            stop.run_until_cancelled(accept(self.listener, context, sessions)).await;
        });
    }
}

async fn accept(listener: TcpListener, context: Arc<Context>, tasks: TaskGroup) {
    let max_sessions = || context.limits.now().max_tcp_sessions;
    let mut places = Places::new(max_sessions());
    // Those turned away cost a little too: as many at once as a tenth of those taken.
    let mut turned_away = Places::new(max_sessions().div_ceil(10));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        places.adjust(max_sessions());
        turned_away.adjust(max_sessions().div_ceil(10));
        if let Ok(place) = Arc::clone(&places.free).try_acquire_owned() {
            tasks.spawn(run(Arc::clone(&context), stream, place));
        } else if let Ok(place) = Arc::clone(&turned_away.free).try_acquire_owned() {
            tasks.spawn(turn_away(Arc::clone(&context), stream, place));
        } else {
            context.counters.refused(RefusalCode::TooManySessions);
        }
    }
}

async fn turn_away(context: Arc<Context>, stream: TcpStream, place: OwnedSemaphorePermit) {
    let refuse = Refuse::new(RefusalCode::TooManySessions, "every place for a session is taken");
    let (reader, writer) = stream.into_split();
    end_session(&context, reader, Outlet::tcp(writer, LINGER), refuse.into()).await;
    drop(place);
}

async fn run(context: Arc<Context>, stream: TcpStream, place: OwnedSemaphorePermit) {
    count(&context.counters.tcp_sessions_opened);
    let open = OpenGuard::new(&context.counters.tcp_sessions_open);
    Box::pin(session(&context, stream)).await;
    drop((open, place));
}

async fn session(context: &Arc<Context>, stream: TcpStream) {
    // Acks are small and waited for; a socket that will not have it is still usable.
    let _ = stream.set_nodelay(true);
    let (stream, writer) = stream.into_split();
    let mut outlet = Outlet::tcp(writer, context.limits.now().write_timeout);
    let mut reader = Reader {
        stream,
        buffer: BytesMut::with_capacity(READ_BYTES),
        read_at: Received::now(&*context.clock),
        context: Arc::clone(context),
        idle_timeout: context.limits.now().idle_timeout,
    };
    let greeting =
        match context.stop.run_until_cancelled(reader.hello()).await.unwrap_or_else(|| Err(draining())) {
            Ok(greeting) => greeting,
            Err(end) => return end_session(context, reader.stream, outlet, end).await,
        };
    reader.idle_timeout = Duration::from_millis(greeting.welcome.idle_timeout_ms.into());
    let mut frame = [0; 256];
    let length = greeting.welcome.encode(&mut frame).unwrap_or_default();
    if outlet.send(&frame[..length]).await.is_err() || outlet.flush().await.is_err() {
        return;
    }
    let window_frames = greeting.welcome.window_frames;
    let sequences = Sequences::new(Order::Contiguous, greeting.first_unacked, window_frames);
    let sequences = Arc::new(Mutex::new(sequences));
    let answers_at_once = usize::try_from(window_frames).unwrap_or(usize::MAX);
    let (outgoing, answers) = mpsc::channel(answers_at_once);
    let inlet =
        Inlet::new(Arc::clone(context), &greeting, Order::Contiguous, Arc::clone(&sequences), outgoing);
    let answerer =
        Answerer::new(outlet, sequences, answers_at_once, Arc::clone(context.pipeline.latencies()));
    let unheard = CancellationToken::new();
    // The inlet is dropped when reading ends; the answerer then says what is still due, and ends.
    let reading =
        async { unheard.run_until_cancelled(Box::pin(reader.frames(inlet))).await.unwrap_or(End::Unheard) };
    let answering = async { answerer.run(answers).await.inspect_err(|_| unheard.cancel()) };
    let (end, answered) = tokio::join!(reading, answering);
    if let Ok(outlet) = answered {
        end_session(context, reader.stream, outlet, end).await;
    }
}

/// Sends the refusal that ended the session, if one did, and closes.
async fn end_session(context: &Context, stream: OwnedReadHalf, mut outlet: Outlet, end: End) {
    if let End::Refused(refuse) = &end {
        context.counters.refused(refuse.code);
        tracing::debug!(code = refuse.code.label(), text = refuse.text, "a session was refused");
        if let Some(frame) = refuse.encode(MAX_FRAME_BYTES)
            && (outlet.send(&frame).await.is_err() || outlet.flush().await.is_err())
        {
            return;
        }
    }
    let Outlet::Tcp { stream: mut writer, .. } = outlet else {
        return;
    };
    if writer.shutdown().await.is_ok() && !matches!(end, End::Unheard) {
        // A close with bytes unread would reset the connection and could overtake what was said last.
        let mut rest = stream.take(LINGER_BYTES);
        let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

struct Reader {
    stream: OwnedReadHalf,
    buffer: BytesMut,
    /// When the last bytes in the buffer came.
    read_at: Received,
    context: Arc<Context>,
    /// What the welcome says: a later change is for later sessions.
    idle_timeout: Duration,
}

impl Reader {
    /// Waits for a sound hello and judges it.
    async fn hello(&mut self) -> Result<Greeting, End> {
        let deadline = Instant::now() + self.context.limits.now().hello_timeout;
        let context = Arc::clone(&self.context);
        loop {
            match deframe(&self.buffer, MAX_FRAME_BYTES).map_err(Refuse::from)? {
                Deframed::Need(bytes) => {
                    self.fill(bytes, deadline, "no hello in time").await?;
                }
                Deframed::Frame { frame, consumed } => {
                    count(&context.counters.frames_received);
                    let Message::Hello(hello) = Message::decode(frame).map_err(Refuse::from)? else {
                        return Err(Refuse::new(
                            RefusalCode::UnexpectedKind,
                            "a session begins with a hello",
                        )
                        .into());
                    };
                    let greeting = greet_until(&context, &hello, deadline).await?;
                    self.buffer.advance(consumed);
                    return Ok(greeting);
                }
            }
        }
    }

    /// Takes frames until the session ends, and says why it did.
    async fn frames(&mut self, mut inlet: Inlet) -> End {
        let stop = self.context.stop.clone();
        // A frame that waits for room when the daemon stops has not been begun with: nothing of it was decided.
        match stop.run_until_cancelled(self.take_frames(&mut inlet)).await {
            Some(Ok(never)) => match never {},
            Some(Err(end)) => end,
            None => {
                inlet.drain().await;
                End::Leaving
            }
        }
    }

    async fn take_frames(&mut self, inlet: &mut Inlet) -> Result<Infallible, End> {
        let mut heard_at = Instant::now();
        let frame_timeout = self.context.limits.now().frame_timeout;
        loop {
            let need = self.whole_frames(inlet, &mut heard_at).await?;
            let idle_at = heard_at + self.idle_timeout;
            let (deadline, late) = if self.buffer.is_empty() {
                (idle_at, "no frame within the idle timeout")
            } else {
                (idle_at.min(Instant::now() + frame_timeout), "a frame came too slowly")
            };
            while self.buffer.len() < need {
                self.fill(need, deadline, late).await?;
                if self.buffer.len() < need {
                    // What is there of a header is judged at once; of a body nothing can be.
                    deframe(&self.buffer, MAX_FRAME_BYTES).map_err(Refuse::from)?;
                }
            }
        }
    }

    /// Takes every whole frame in the buffer; answers how many bytes the next one needs.
    async fn whole_frames(&mut self, inlet: &mut Inlet, heard_at: &mut Instant) -> Result<usize, End> {
        let mut taken = 0;
        let need = loop {
            match deframe(&self.buffer[taken..], MAX_FRAME_BYTES).map_err(Refuse::from)? {
                Deframed::Need(bytes) => break bytes,
                Deframed::Frame { frame, consumed } => {
                    count(&self.context.counters.frames_received);
                    let whole = &self.buffer[taken..taken + consumed];
                    let message = Message::decode(frame).map_err(|error| Refuse::of_frame(error, whole))?;
                    inlet.take(message, &self.read_at).await?;
                    taken += consumed;
                }
            }
        };
        if taken > 0 {
            *heard_at = Instant::now();
            self.buffer.advance(taken);
        }
        Ok(need)
    }

    async fn fill(&mut self, need: usize, deadline: Instant, late: &str) -> Result<(), End> {
        let missing = need.saturating_sub(self.buffer.len());
        if self.buffer.capacity() - self.buffer.len() < missing.max(1) {
            self.buffer.reserve(missing.max(READ_BYTES));
        }
        match timeout_at(deadline, self.stream.read_buf(&mut self.buffer)).await {
            Ok(Ok(0)) if self.buffer.is_empty() => Err(End::Leaving),
            Ok(Ok(0)) => {
                Err(Refuse::new(RefusalCode::Malformed, "the connection ended inside a frame").into())
            }
            Ok(Ok(_)) => {
                self.read_at = Received::now(&*self.context.clock);
                Ok(())
            }
            Ok(Err(_)) => Err(End::Unheard),
            Err(_) => Err(Refuse::new(RefusalCode::TimedOut, late).into()),
        }
    }
}

/// Judges a hello, again and again while the registry cannot be asked: over TCP a gateway just waits.
async fn greet_until(context: &Context, hello: &Hello<'_>, deadline: Instant) -> Result<Greeting, End> {
    loop {
        match context.greet(hello, Order::Contiguous).await {
            Err(refuse) if refuse.code == RefusalCode::Busy => {
                let retry_at = Instant::now() + REGISTRY_RETRY;
                if retry_at > deadline {
                    return Err(Refuse { code: RefusalCode::TimedOut, ..refuse }.into());
                }
                tokio::time::sleep_until(retry_at).await;
            }
            judged => return judged.map_err(End::from),
        }
    }
}

fn draining() -> End {
    Refuse::new(RefusalCode::Draining, "the daemon stops").into()
}
