//! The evidence of a run: every frame that was sent, sighting by sighting, and what it was answered. Written while the run
//! goes on, read by `loadtest verify`.
//!
//! A file: one line of JSON ([`EvidenceHead`]), then records in little-endian, then a trailer without which it is cut.

mod record;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

pub(crate) use self::record::{Answered, FrameEvidence, FrameVerdict, SightingEvidence};

/// The version of this layout.
const FORMAT: u32 = 1;
/// The file's name in the directory of a run.
pub(crate) const FILE_NAME: &str = "evidence";
/// First byte of what follows: a frame.
const FRAME: u8 = 1;
/// First byte of what follows: the trailer, with the number of frames and the CRC-32C of all records.
const TRAILER: u8 = 2;
/// A frame has at most 4,096 sightings, so that no length from a file is believed beyond it.
const MAX_SIGHTINGS: usize = 4_096;

/// What has to be known to read the records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EvidenceHead {
    pub(crate) format: u32,
    /// The scenario as it ran, in TOML.
    pub(crate) scenario: String,
    /// UTC microseconds of the run's begin, from which the population counts.
    pub(crate) began_at_us: i64,
    /// This generator's part of the gateways: number (from 1) and how many parts there are.
    pub(crate) shard: (u32, u32),
    /// Whether the order of a customer's sightings at the daemon is known: each is sent by one gateway, one frame in
    /// flight, nothing was undecided, repeated or unanswered, and no session was lost. Known at the end: in the trailer.
    #[serde(skip)]
    pub(crate) is_exact: bool,
}

impl EvidenceHead {
    pub(crate) const fn new(scenario: String, began_at_us: i64, shard: (u32, u32)) -> Self {
        Self { format: FORMAT, scenario, began_at_us, shard, is_exact: false }
    }
}

/// Writes the records of a run, from one thread.
#[derive(Debug)]
pub(crate) struct EvidenceWriter {
    file: BufWriter<File>,
    frames: u64,
    checksum: u32,
    scratch: Vec<u8>,
}

impl EvidenceWriter {
    /// Begins a file; what was there is gone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn create(path: &Path, head: &EvidenceHead) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        serde_json::to_writer(&mut file, head)?;
        file.write_all(b"\n")?;
        Ok(Self { file, frames: 0, checksum: 0, scratch: Vec::new() })
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn frame(&mut self, frame: &FrameEvidence) -> io::Result<()> {
        self.scratch.clear();
        self.scratch.push(FRAME);
        frame.encode(&mut self.scratch);
        self.checksum = crc32c::crc32c_append(self.checksum, &self.scratch);
        self.frames += 1;
        self.file.write_all(&self.scratch)
    }

    /// Ends the file: all that was to be written is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn finish(mut self, is_exact: bool) -> io::Result<()> {
        self.file.write_all(&[TRAILER, u8::from(is_exact)])?;
        self.file.write_all(&self.frames.to_le_bytes())?;
        self.file.write_all(&self.checksum.to_le_bytes())?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// Reads what [`EvidenceWriter`] wrote.
#[derive(Debug)]
pub(crate) struct EvidenceReader {
    file: BufReader<File>,
    head: EvidenceHead,
    frames: u64,
    checksum: u32,
    scratch: Vec<u8>,
}

impl EvidenceReader {
    /// Opens a file and reads its head.
    ///
    /// # Errors
    /// When it cannot be read, or is no evidence of this format.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
        let mut line = String::new();
        file.by_ref().take(1 << 20).read_line(&mut line)?;
        let head: EvidenceHead = serde_json::from_str(&line)
            .map_err(|error| invalid(&format!("it is no evidence of a run: {error}")))?;
        if head.format != FORMAT {
            return Err(invalid(&format!("format {} is not this tool's, {FORMAT}", head.format)));
        }
        Ok(Self { file, head, frames: 0, checksum: 0, scratch: Vec::new() })
    }

    /// What is known of the run; [`EvidenceHead::is_exact`] after the last frame.
    pub(crate) const fn head(&self) -> &EvidenceHead {
        &self.head
    }

    /// The next frame; none at the end.
    ///
    /// # Errors
    /// When it cannot be read, is cut, or is not what was written.
    #[cfg(test)]
    pub(crate) fn next_frame(&mut self) -> io::Result<Option<FrameEvidence>> {
        let mut frame = FrameEvidence::empty();
        Ok(self.read_frame(&mut frame)?.then_some(frame))
    }

    /// The next frame, in place of the one that is there, so that reading millions allocates nothing; false at the end.
    ///
    /// # Errors
    /// When it cannot be read, is cut, or is not what was written.
    pub(crate) fn read_frame(&mut self, frame: &mut FrameEvidence) -> io::Result<bool> {
        let mut kind = [0];
        self.file.read_exact(&mut kind).map_err(cut)?;
        match kind {
            [FRAME] => {
                self.scratch.clear();
                self.scratch.push(FRAME);
                frame.decode(&mut self.file, &mut self.scratch).map_err(cut)?;
                self.checksum = crc32c::crc32c_append(self.checksum, &self.scratch);
                self.frames += 1;
                Ok(true)
            }
            [TRAILER] => {
                let (mut is_exact, mut frames, mut checksum) = ([0], [0; 8], [0; 4]);
                self.file.read_exact(&mut is_exact).map_err(cut)?;
                self.file.read_exact(&mut frames).map_err(cut)?;
                self.file.read_exact(&mut checksum).map_err(cut)?;
                if u64::from_le_bytes(frames) != self.frames || u32::from_le_bytes(checksum) != self.checksum
                {
                    return Err(invalid("its records are not those that were written"));
                }
                self.head.is_exact = is_exact == [1];
                Ok(false)
            }
            [other] => Err(invalid(&format!("a record of kind {other}"))),
        }
    }
}

fn cut(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return invalid("it ends too early: the run did not end in order");
    }
    error
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

#[cfg(test)]
mod tests {
    use beacon_protocol::OutcomeCode;

    use super::*;
    use crate::population::Heard;

    fn frame(order: u64) -> FrameEvidence {
        let heard = Heard {
            customer: 7,
            beacon: 9,
            at_us: -5,
            rssi_dbm: -60,
            expected: OutcomeCode::Identified,
            opens_visit: false,
        };
        FrameEvidence {
            gateway: 3,
            order,
            verdict: FrameVerdict::Decided { identified: 1, duplicate: 0 },
            sightings: vec![
                SightingEvidence { heard, answered: Answered::NotListed },
                SightingEvidence { heard, answered: Answered::Listed(OutcomeCode::Undecided) },
            ],
        }
    }

    fn written(path: &Path) {
        let head = EvidenceHead::new("seed = 1".to_owned(), 5, (1, 1));
        let mut writer = EvidenceWriter::create(path, &head).unwrap();
        for order in 0..3 {
            writer.frame(&frame(order)).unwrap();
        }
        writer.finish(true).unwrap();
    }

    #[test]
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("evidence");
        written(&path);
        let mut reader = EvidenceReader::open(&path).unwrap();
        assert_eq!((reader.head().began_at_us, reader.head().is_exact), (5, false));
        for order in 0..3 {
            assert_eq!(reader.next_frame().unwrap(), Some(frame(order)));
        }
        assert_eq!(reader.next_frame().unwrap(), None);
        assert!(reader.head().is_exact);
    }

    #[test]
    fn a_file_that_is_cut_or_changed_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("evidence");
        written(&path);
        let whole = std::fs::read(&path).unwrap();
        let begin = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let mut reader = EvidenceReader::open(&path)?;
            while reader.next_frame()?.is_some() {}
            Ok::<_, io::Error>(())
        };
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
        for at in (begin..whole.len()).filter(|at| *at != whole.len() - 13) {
            let mut changed = whole.clone();
            changed[at] ^= 0x40;
            assert!(read(&changed).is_err(), "{at}");
        }
        assert!(read(&whole).is_ok());
    }
}
