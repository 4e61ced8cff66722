//! The data directory: made if missing, held by one daemon at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The file whose lock is the hold on the directory; it says who holds it and where that daemon can be asked.
const LOCK_FILE: &str = "beacond.lock";

/// How often a lock that is taken is tried, and how far apart.
const LOCK_TRIES: u32 = 5;
const LOCK_TRIED_EVERY: Duration = Duration::from_millis(20);

/// A data directory held by this process. The hold ends with the process, however it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

/// Who holds a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id of the daemon.
    pub pid: u32,
    /// Its TCP listener.
    pub tcp: SocketAddr,
    /// Its UDP listener.
    pub udp: SocketAddr,
    /// Where operators ask.
    pub admin: SocketAddr,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made, or not written to.
    #[error("the data directory {path} cannot be used: {source}")]
    Unusable {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon holds it.
    #[error("the data directory {path} is in use by the daemon with pid {pid}")]
    InUse {
        /// Its path.
        path: PathBuf,
        /// Process id of the holder.
        pid: String,
    },
}

impl DataDir {
    /// Makes the directory if it is missing, and takes hold of it.
    ///
    /// # Errors
    /// When it cannot be written to, or another daemon holds it.
    pub fn hold(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |source| DataDirError::Unusable { path: path.to_owned(), source };
        make(path)?;
        let mut lock = open_lock(&path.join(LOCK_FILE)).map_err(unusable)?;
        match try_lock(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = holder_of(&mut lock).map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
                return Err(DataDirError::InUse { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let held = Self { path: path.to_owned(), lock };
        if let Err(error) = held.write(&format!("{{\"pid\":{}}}\n", std::process::id())) {
            // The hold is the lock, not what the file says.
            tracing::debug!(path = %path.display(), %error, "the data directory does not say who holds it");
        }
        Ok(held)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says where this daemon can be asked.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn announce(&self, holder: &Holder) -> io::Result<()> {
        let text = serde_json::to_string(holder).map_err(io::Error::other)?;
        self.write(&format!("{text}\n"))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut file = &self.lock;
        file.rewind()?;
        // Over what it says: on a full disk it keeps the place that it has.
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    }
}

/// The file system that a path is on, or will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Nothing may be.
    pub read_only: bool,
}

/// Too little for a file of any use.
const FULL_BELOW_BYTES: u64 = 1 << 20;

impl Disk {
    /// The file system of a path, which need not exist.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn of(path: &Path) -> io::Result<Self> {
        let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
        let found = rustix::fs::statvfs(there)?;
        Ok(Self {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            read_only: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    }

    /// Whether it takes nothing.
    #[must_use]
    pub const fn takes_nothing(&self) -> bool {
        self.read_only || self.free_bytes < FULL_BELOW_BYTES
    }
}

/// Whether an error says that a disk is full, read-only or failing: somebody may mend that while a daemon waits.
#[must_use]
pub fn is_of_the_disk(error: &io::Error) -> bool {
    /// `EIO`, which the standard library has no kind for.
    const INPUT_OUTPUT: i32 = 5;
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::QuotaExceeded
    ) || error.raw_os_error() == Some(INPUT_OUTPUT)
}

/// A lock is held as well on a file that may only be read.
fn open_lock(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    match opened {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            File::open(path).map_err(|_| error)
        }
        opened => opened,
    }
}

/// Makes a data directory if it is missing, for its owner alone: what is in it is personal data.
///
/// # Errors
/// When it cannot be made.
pub fn make(path: &Path) -> Result<(), DataDirError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| DataDirError::Unusable { path: path.to_owned(), source })
}

/// Whoever looks for the holder has the lock for a moment; a daemon that starts just then tries again.
fn try_lock(lock: &File) -> Result<(), TryLockError> {
    for _ in 1..LOCK_TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_TRIED_EVERY),
            locked => return locked,
        }
    }
    lock.try_lock()
}

/// The daemon that holds a data directory now, if one does.
///
/// # Errors
/// When the lock file is there and cannot be read.
pub fn holder(path: &Path) -> io::Result<Option<Holder>> {
    let mut lock = match File::open(path.join(LOCK_FILE)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match lock.try_lock_shared() {
        // Nobody holds it: what it says is of a daemon that is gone.
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            lock.read_to_string(&mut text)?;
            Ok(serde_json::from_str(&text).ok())
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn holder_of(lock: &mut File) -> Option<u32> {
    #[derive(Deserialize)]
    struct Pid {
        pid: u32,
    }
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    serde_json::from_str::<Pid>(&text).ok().map(|holder| holder.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_hold_names_the_first_holders_pid() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataDir::hold(directory.path()).unwrap();
        let refused = DataDir::hold(directory.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(first);
        assert!(DataDir::hold(directory.path()).is_ok());
    }

    #[test]
    fn the_holder_can_be_found_while_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(holder(directory.path()).unwrap(), None);
        let held = DataDir::hold(directory.path()).unwrap();
        let address = "127.0.0.1:1".parse().unwrap();
        let announced = Holder { pid: 7, tcp: address, udp: address, admin: address };
        held.announce(&announced).unwrap();
        assert_eq!(holder(directory.path()).unwrap(), Some(announced));
        drop(held);
        assert_eq!(holder(directory.path()).unwrap(), None, "what a dead daemon left says nothing");
    }

    #[test]
    fn a_directory_that_cannot_be_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let refused = DataDir::hold(&file.join("below")).unwrap_err().to_string();
        assert!(refused.contains("file/below"), "{refused}");
    }
}
