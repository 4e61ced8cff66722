//! The files of a journal's directory, as far as the journal needs them: real ones, and in tests faulty ones.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::faults;

/// A file that is open.
pub(super) trait StorageFile: Send + Sync + fmt::Debug {
    /// Reads some bytes from this place on; none at the end.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes some bytes to this place.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize>;

    /// Returns when all that was written is on the disk. After an error nothing is known, and the file is not to be
    /// synced again: the next call may succeed without having written what this one could not.
    fn sync(&self) -> io::Result<()>;

    /// As [`Self::sync`], the file's length too.
    fn sync_with_length(&self) -> io::Result<()>;
}

/// A directory of files. What is created, renamed or removed is so for good only after [`Self::sync_directory`].
pub(super) trait Storage: Send + Sync + fmt::Debug {
    /// Makes the directory if it is missing.
    fn make(&self) -> io::Result<()>;

    /// The files' names and lengths; of a directory that is missing, none.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;

    fn open_to_write(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;

    /// An empty file of this name; one that is there already is emptied.
    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;

    /// Cuts a file off at this length.
    fn cut(&self, name: &str, bytes: u64) -> io::Result<()>;

    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    fn remove(&self, name: &str) -> io::Result<()>;

    fn sync_directory(&self) -> io::Result<()>;

    /// Where a file of this name is, for people.
    fn path(&self, name: &str) -> PathBuf;
}

/// Writes all of these bytes.
pub(super) fn write_all_at(file: &dyn StorageFile, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = bytes.get(written..).unwrap_or_default();
                at += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A directory of the file system.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Storage for Directory {
    fn make(&self) -> io::Result<()> {
        if self.0.is_dir() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
            _ => sync_directory(Path::new(".")),
        }
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let listing = match fs::read_dir(&self.0) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in listing {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => files.push((name, metadata.len())),
                Ok(_) => {}
                // Recycled since the listing began.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(RealFile(File::open(self.path(name))?)))
    }

    fn open_to_write(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(name))?;
        Ok(Box::new(RealFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Ok(Box::new(RealFile(file.open(self.path(name))?)))
    }

    fn cut(&self, name: &str, bytes: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.path(name))?.set_len(bytes)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        sync_directory(&self.0)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[derive(Debug)]
struct RealFile(File);

impl StorageFile for RealFile {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, into, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        FileExt::write_at(&self.0, bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        ordered_failure()?;
        self.0.sync_data()
    }

    fn sync_with_length(&self) -> io::Result<()> {
        ordered_failure()?;
        self.0.sync_all()
    }
}

/// The failure of every sync that the torture test may order.
fn ordered_failure() -> io::Result<()> {
    if faults::sync_fails() {
        return Err(io::Error::other("input/output error, by order of the torture test"));
    }
    Ok(())
}
