//! Registrations kept on the disk, for a start while no store can be asked.
//!
//! A compact binary form, since it is written again and again and may hold millions: some 50 bytes a beacon, a quarter of
//! what lines of JSON take, nine times as fast to write and four times as fast to read.

mod form;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use self::form::{Reader, Writer};
use crate::domain::beacon::Beacon;
use crate::domain::gateway::Gateway;
use crate::domain::time::Timestamp;

/// The file's name in the data directory.
pub const SNAPSHOT_FILE: &str = "registrations.snapshot";

/// Read or written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// The registrations as they were at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Beacons, in the order written.
    pub beacons: Vec<Beacon>,
    /// Gateways, in the order written.
    pub gateways: Vec<Gateway>,
    /// When it was written, by the daemon's clock.
    pub written_at: Timestamp,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// Beacons in it.
    pub beacons: u64,
    /// Gateways in it.
    pub gateways: u64,
    /// Size of the file.
    pub bytes: u64,
}

/// Why a snapshot cannot be used. The daemon starts without it, and writes another over it.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a snapshot, or one of a form that this version does not know.
    #[error("{path} is not a snapshot of a form known here")]
    Unknown {
        /// Its path.
        path: PathBuf,
    },
    /// It is not what was written: it ends early, its checksum differs, or a value breaks the model.
    #[error("{path} is damaged at byte {offset}")]
    Damaged {
        /// Its path.
        path: PathBuf,
        /// Where that was found.
        offset: u64,
    },
}

/// Replaces the snapshot at `path` in one step: whoever reads it finds the old one or this one, also after a power
/// failure. Blocks while it writes; one caller at a time.
///
/// # Errors
/// When the disk does not let it; the old one stays.
pub fn write<'r>(
    path: &Path,
    beacons: impl Iterator<Item = &'r Beacon>,
    gateways: impl Iterator<Item = &'r Gateway>,
    written_at: Timestamp,
) -> io::Result<SnapshotSummary> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = write_beside(&beside, beacons, gateways, written_at);
    let replaced = written.and_then(|summary| fs::rename(&beside, path).map(|()| summary));
    if replaced.is_err() {
        // What is left of it takes room that a full disk needs; the next one is written over it anyway.
        let _ = fs::remove_file(&beside);
    }
    let summary = replaced?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(summary)
}

/// The snapshot at `path`, whole and sound; `None` when there is none.
///
/// # Errors
/// [`SnapshotError`].
pub fn read(path: &Path) -> Result<Option<Snapshot>, SnapshotError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SnapshotError::Unreadable { path: path.to_owned(), source }),
    };
    let reader = Reader::new(BufReader::with_capacity(BUFFER_BYTES, file));
    reader.snapshot().map(Some).map_err(|fault| fault.of(path))
}

fn write_beside<'r>(
    beside: &Path,
    beacons: impl Iterator<Item = &'r Beacon>,
    gateways: impl Iterator<Item = &'r Gateway>,
    written_at: Timestamp,
) -> io::Result<SnapshotSummary> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(beside)?;
    let mut writer = Writer::new(BufWriter::with_capacity(BUFFER_BYTES, file), written_at)?;
    let mut summary = SnapshotSummary { beacons: 0, gateways: 0, bytes: 0 };
    for beacon in beacons {
        writer.beacon(beacon)?;
        summary.beacons += 1;
    }
    for gateway in gateways {
        writer.gateway(gateway)?;
        summary.gateways += 1;
    }
    let mut file = writer.finish(&mut summary)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok(summary)
}

#[cfg(test)]
mod tests;
