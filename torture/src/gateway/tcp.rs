//! A gateway's session over TCP.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use beacon_protocol::{
    Deframed, MAX_FRAME_BYTES, Message, RecordStatus, RefusalCode, ResultRecordRef, deframe,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

use super::Gateway;
use super::encoding::encode;
use super::judge::judge;
use super::numbering::Frame;
use super::session::{Heard, Liveness, WELCOME_WITHIN, Work, encoded, heard};

/// How long a connection and a write may take.
const MOVED_WITHIN: Duration = Duration::from_secs(1);

/// Sightings of a frame that is put under an old sequence.
const REUSED_WITH: usize = 4;

/// Of a thousand ticks, those after which a session is left for no reason, and those after which a sequence is reused.
const LEFT_PER_MILLE: u64 = 3;
const REUSED_PER_MILLE: u64 = 60;

/// A stream of frames.
struct Frames {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Frames {
    async fn connect(daemon: SocketAddr) -> io::Result<Self> {
        let stream = timeout(MOVED_WITHIN, TcpStream::connect(daemon)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        timeout(MOVED_WITHIN, self.stream.write_all(frame)).await?
    }

    /// Waits for more bytes. Loses none when it is not waited for to the end.
    async fn receive(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Takes the next whole frame, if there is one.
    fn take<T>(&mut self, act: impl FnOnce(&Message<'_>) -> T) -> io::Result<Option<T>> {
        let Deframed::Frame { frame, consumed } =
            deframe(&self.received, MAX_FRAME_BYTES).map_err(io::Error::other)?
        else {
            return Ok(None);
        };
        let acted = act(&Message::decode(frame).map_err(io::Error::other)?);
        self.received.drain(..consumed);
        Ok(Some(acted))
    }

    /// The next frame.
    async fn next<T>(&mut self, act: impl Fn(&Message<'_>) -> T) -> io::Result<T> {
        loop {
            if let Some(acted) = self.take(&act)? {
                return Ok(acted);
            }
            self.receive().await?;
        }
    }

    /// Says hello, and waits for the welcome.
    async fn open(&mut self, gateway: &mut Gateway, first_unacked: u64, work: &Work) -> io::Result<usize> {
        let (hello, client_random) = gateway.hello(first_unacked);
        self.send(&hello).await?;
        let welcome = self.next(|message| match message {
            Message::Welcome(welcome) => Some(*welcome),
            _ => None,
        });
        let welcome = timeout(WELCOME_WITHIN, welcome).await??;
        let welcome = welcome.filter(|welcome| gateway.is_welcome(welcome, &client_random, work));
        let welcome = welcome.ok_or_else(|| io::Error::other("not welcome"))?;
        Ok(usize::try_from(welcome.max_frame_bytes).unwrap_or(MAX_FRAME_BYTES))
    }
}

/// Why a session ended that did not fail.
enum Ended {
    /// Nothing is left to do, or it was left.
    Left,
    /// To put another frame under this sequence.
    ToReuse(u64),
}

/// One session, and after some another one that breaks the rules.
pub(super) async fn session(gateway: &mut Gateway, daemon: SocketAddr, work: &mut Work) -> io::Result<()> {
    match converse(gateway, daemon, work).await? {
        Ended::Left => Ok(()),
        Ended::ToReuse(sequence) => {
            let reused = reuse(gateway, daemon, sequence, work).await;
            gateway.numbering.renew();
            reused
        }
    }
}

async fn converse(gateway: &mut Gateway, daemon: SocketAddr, work: &mut Work) -> io::Result<Ended> {
    let mut frames = Frames::connect(daemon).await?;
    let first_unacked = gateway.numbering.resume();
    let max_bytes = frames.open(gateway, first_unacked, work).await?;
    for frame in gateway.numbering.frames.values_mut() {
        frame.sessions += 1;
        frame.sent_at = Some(Instant::now());
        frames.send(&frame.bytes).await?;
    }
    let mut liveness = Liveness::begin();
    let mut ticks = interval(work.hearing.load.every);
    let mut draining = false;
    loop {
        if work.conduct.has_ended() || (!work.hears() && gateway.numbering.is_done()) {
            return Ok(Ended::Left);
        }
        let received = tokio::select! {
            received = frames.receive() => { received?; true }
            _ = ticks.tick() => false,
        };
        if received {
            liveness.heard();
            while let Some(heard) =
                frames.take(|message| heard(&mut gateway.numbering, &mut gateway.random, message, work))?
            {
                match heard {
                    Heard::Done => {}
                    Heard::Ping(pong) => frames.send(&encoded(|buffer| pong.encode(buffer))).await?,
                    Heard::Draining => draining = true,
                    // On TCP a daemon does not say it; one that does is left, and everything resumed (R25).
                    Heard::Busy { .. } | Heard::Over => return Ok(Ended::Left),
                }
            }
            continue;
        }
        if liveness.is_silent() || gateway.random.within(0..1_000) < LEFT_PER_MILLE {
            return Ok(Ended::Left);
        }
        if let Some(ping) = liveness.ping() {
            frames.send(&ping).await?;
        }
        if draining {
            continue;
        }
        if gateway.identity.reuses
            && gateway.numbering.is_done()
            && let Some(sequence) = gateway.numbering.last_identified
            && gateway.random.within(0..1_000) < REUSED_PER_MILLE
        {
            return Ok(Ended::ToReuse(sequence));
        }
        send_more(gateway, &mut frames, max_bytes, work).await?;
    }
}

/// Sends what was undecided and has waited, else what was heard.
async fn send_more(
    gateway: &mut Gateway,
    frames: &mut Frames,
    max_bytes: usize,
    work: &mut Work,
) -> io::Result<()> {
    if !gateway.numbering.has_room() {
        return Ok(());
    }
    let (sightings, tries) = match gateway.numbering.take_due(usize::MAX) {
        Some(due) => due,
        None if work.hears() => (work.hearing.batch(usize::MAX), 0),
        None => return Ok(()),
    };
    if let Some(sequence) = gateway.numbering.make(&sightings, max_bytes, tries, work)
        && let Some(frame) = gateway.numbering.frames.get_mut(&sequence)
    {
        frame.sessions += 1;
        frame.sent_at = Some(Instant::now());
        frames.send(&frame.bytes).await?;
    }
    Ok(())
}

/// What is answered to a frame under a sequence that had another.
enum Answered {
    Refused(RefusalCode),
    Record,
    Else,
}

/// Puts another frame under a sequence that was answered. It must be refused, or decided where the daemon lost the first
/// to damage; it must never be taken for a repeat.
async fn reuse(gateway: &mut Gateway, daemon: SocketAddr, sequence: u64, work: &mut Work) -> io::Result<()> {
    let sightings = work.hearing.strong(REUSED_WITH);
    let Some((bytes, fitted)) = encode(sequence, &sightings, MAX_FRAME_BYTES) else { return Ok(()) };
    let frame = Frame::reused(bytes, sightings.into_iter().take(fitted).collect(), work);
    let mut frames = Frames::connect(daemon).await?;
    frames.open(gateway, sequence, work).await?;
    frames.send(&frame.bytes).await?;
    let name = format!("{} {}:{sequence}, reused", gateway.identity.name, gateway.numbering.epoch);
    let mut judged = |record: &ResultRecordRef<'_>| {
        if record.status == RecordStatus::Decided {
            work.evidence.decided_reuses += 1;
            if !work.conduct.is_damaged() {
                work.conduct
                    .breach(format!("{name}: decided, and another frame of that sequence is durable"));
            }
        }
        let answer = judge(name.clone(), &frame, record, work);
        work.evidence.answers.extend(answer.map(|(answer, _)| answer));
    };
    loop {
        timeout(WELCOME_WITHIN, frames.receive()).await??;
        while let Some(answered) = frames.take(|message| match message {
            Message::Refusal(refusal) => Answered::Refused(refusal.code),
            Message::Ack(ack) => {
                let records: Vec<_> = ack.records().filter(|record| record.sequence == sequence).collect();
                records.iter().for_each(&mut judged);
                if records.is_empty() { Answered::Else } else { Answered::Record }
            }
            _ => Answered::Else,
        })? {
            match answered {
                Answered::Refused(RefusalCode::SequenceReused) => {
                    work.evidence.refused_reuses += 1;
                    return Ok(());
                }
                Answered::Refused(_) | Answered::Record => return Ok(()),
                Answered::Else => {}
            }
        }
    }
}
