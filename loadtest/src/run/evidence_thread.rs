//! The evidence is written on a thread of its own, behind a bounded channel.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::evidence::{EvidenceHead, EvidenceWriter, FrameEvidence};

/// Frames on their way to the file, at about 1.5 KB each.
const QUEUE: usize = 16_384;

/// Where gateways hand in their frames.
#[derive(Debug)]
pub(crate) struct EvidenceSender {
    frames: mpsc::Sender<FrameEvidence>,
    /// How often somebody had to wait for the disk.
    waited: AtomicU64,
    /// Something happened after which the order of decisions is not known.
    blurred: AtomicBool,
}

/// The thread.
#[derive(Debug)]
pub(crate) struct EvidenceThread {
    thread: JoinHandle<io::Result<EvidenceWriter>>,
}

/// Begins a file of evidence.
///
/// # Errors
/// When it cannot be written, or there is no thread to be had.
pub(crate) fn begin(path: &Path, head: &EvidenceHead) -> io::Result<(EvidenceSender, EvidenceThread)> {
    let mut writer = EvidenceWriter::create(path, head)?;
    let (frames, mut received) = mpsc::channel::<FrameEvidence>(QUEUE);
    let thread = std::thread::Builder::new().name("evidence".to_owned()).spawn(move || {
        while let Some(frame) = received.blocking_recv() {
            writer.frame(&frame)?;
        }
        Ok(writer)
    })?;
    let sender = EvidenceSender { frames, waited: AtomicU64::new(0), blurred: AtomicBool::new(false) };
    Ok((sender, EvidenceThread { thread }))
}

impl EvidenceSender {
    /// Hands in a frame. If the thread has failed it is dropped, and the failure told at the end.
    pub(crate) async fn frame(&self, frame: FrameEvidence) {
        match self.frames.try_send(frame) {
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(frame)) => {
                self.waited.fetch_add(1, Ordering::Relaxed);
                // The same holds here.
                let _ = self.frames.send(frame).await;
            }
        }
    }

    /// From now on the order of decisions is not known.
    pub(crate) fn blur(&self) {
        self.blurred.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_blurred(&self) -> bool {
        self.blurred.load(Ordering::Relaxed)
    }

    /// How often somebody had to wait for the disk.
    pub(crate) fn waits(&self) -> u64 {
        self.waited.load(Ordering::Relaxed)
    }
}

impl EvidenceThread {
    /// Waits until all is written, once every sender is gone.
    ///
    /// # Errors
    /// When something could not be written.
    pub(crate) fn finish(self, is_exact: bool) -> io::Result<()> {
        let written = self.thread.join().map_err(|_| io::Error::other("the evidence's thread panicked"))?;
        written?.finish(is_exact)
    }
}
