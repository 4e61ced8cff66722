//! A disk in memory that fails on demand, and that forgets at a power loss what it was not told to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::journal::storage::{Storage, StorageFile};

const PAGE: usize = 4096;

/// What the disk does wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// So many more syncs of files fail.
    pub(super) syncs: u32,
    /// Nothing can grow.
    pub(super) full: bool,
    /// Nothing can be changed.
    pub(super) read_only: bool,
    /// At most half of what is asked is written.
    pub(super) short_writes: bool,
    /// After so many more changes the process is as good as dead.
    pub(super) dies_after: Option<u32>,
    /// Pages that cannot be read.
    pub(super) unreadable: bool,
}

#[derive(Debug, Default)]
struct Inode {
    now: Vec<u8>,
    kept: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
enum Change {
    Link(String, usize),
    Rename(String, String),
    Unlink(String),
}

#[derive(Debug, Default)]
struct Inner {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    kept_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    faults: Faults,
    random: u64,
}

/// The disk. A clone is the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<Inner>>);

impl Disk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(super) fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.inner().faults);
    }

    pub(super) fn mend(&self) {
        self.inner().faults = Faults::default();
    }

    /// What was synced is there, and of the rest whatever the seed says.
    pub(super) fn lose_power(&self, seed: u64) {
        let mut inner = self.inner();
        inner.random = seed | 1;
        let changes = std::mem::take(&mut inner.changes);
        let done = usize::try_from(inner.next()).unwrap() % (changes.len() + 1);
        for change in &changes[..done] {
            apply(&mut inner.kept_names, change);
        }
        inner.names = inner.kept_names.clone();
        for at in 0..inner.inodes.len() {
            inner.write_back(at, true);
            let inode = &mut inner.inodes[at];
            inode.now = inode.kept.clone();
        }
    }

    /// Names and bytes of the segments.
    pub(super) fn segments(&self) -> Vec<(String, usize)> {
        let inner = self.inner();
        let segments = inner.names.iter().filter(|(name, _)| name.ends_with(".segment"));
        segments.map(|(name, inode)| (name.clone(), inner.inodes[*inode].now.len())).collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        let inner = self.inner();
        inner.names.values().map(|inode| inner.inodes[*inode].now.len() as u64).sum()
    }

    pub(super) fn flip(&self, name: &str, at: usize, bit: u8) {
        let mut inner = self.inner();
        let inode = inner.names[name];
        let inode = &mut inner.inodes[inode];
        inode.now[at] ^= 1 << bit;
        if let Some(byte) = inode.kept.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Link(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Change::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        Change::Unlink(name) => {
            names.remove(name);
        }
    }
}

impl Inner {
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Dirty pages reach the disk: all of them, or some. None is dirty after that.
    fn write_back(&mut self, at: usize, some: bool) {
        let dirty = std::mem::take(&mut self.inodes[at].dirty);
        let keeps_length = !some || self.next().is_multiple_of(2);
        for page in dirty {
            if some && self.next().is_multiple_of(2) {
                continue;
            }
            let inode = &mut self.inodes[at];
            let from = page * PAGE;
            let to = inode.now.len().min(from + PAGE);
            if from < to {
                if inode.kept.len() < to {
                    inode.kept.resize(to, 0);
                }
                inode.kept[from..to].copy_from_slice(&inode.now[from..to]);
            }
        }
        if keeps_length {
            let length = self.inodes[at].now.len();
            self.inodes[at].kept.resize(length, 0);
        }
    }

    /// Before anything is changed.
    fn may_change(&mut self) -> io::Result<()> {
        match &mut self.faults.dies_after {
            Some(0) => return Err(io::Error::other("dead")),
            Some(left) => *left -= 1,
            None => {}
        }
        if self.faults.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(())
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[derive(Debug)]
struct Handle {
    disk: Disk,
    inode: usize,
}

impl Storage for Disk {
    fn make(&self) -> io::Result<()> {
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let inner = self.inner();
        let files = inner.names.iter();
        Ok(files.map(|(name, inode)| (name.clone(), inner.inodes[*inode].now.len() as u64)).collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let inode = self.inner().find(name)?;
        Ok(Box::new(Handle { disk: self.clone(), inode }))
    }

    fn open_to_write(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.open(name)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut inner = self.inner();
        inner.may_change()?;
        inner.inodes.push(Inode::default());
        let inode = inner.inodes.len() - 1;
        inner.change(Change::Link(name.to_owned(), inode));
        Ok(Box::new(Handle { disk: self.clone(), inode }))
    }

    fn cut(&self, name: &str, bytes: u64) -> io::Result<()> {
        let mut inner = self.inner();
        inner.may_change()?;
        let inode = inner.find(name)?;
        inner.inodes[inode].now.truncate(usize::try_from(bytes).unwrap());
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.may_change()?;
        inner.find(from)?;
        assert!(!to.ends_with(".segment") || !inner.names.contains_key(to), "{to} is overwritten");
        inner.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.may_change()?;
        inner.find(name)?;
        inner.change(Change::Unlink(name.to_owned()));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.may_change()?;
        inner.changes.clear();
        inner.kept_names = inner.names.clone();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

impl StorageFile for Handle {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let inner = self.disk.inner();
        let now = &inner.inodes[self.inode].now;
        let at = usize::try_from(at).unwrap();
        let bytes = into.len().min(now.len().saturating_sub(at));
        if inner.faults.unreadable && (at..at + bytes).contains(&(PAGE + 1)) {
            return Err(io::Error::from_raw_os_error(5));
        }
        into[..bytes].copy_from_slice(&now[now.len().min(at)..][..bytes]);
        Ok(bytes)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let mut inner = self.disk.inner();
        inner.may_change()?;
        let at = usize::try_from(at).unwrap();
        let length = if inner.faults.short_writes { bytes.len().div_ceil(2) } else { bytes.len() };
        if inner.faults.full && at + length > inner.inodes[self.inode].now.len() {
            return Err(io::Error::from_raw_os_error(28));
        }
        let inode = &mut inner.inodes[self.inode];
        if inode.now.len() < at + length {
            inode.now.resize(at + length, 0);
        }
        inode.now[at..at + length].copy_from_slice(&bytes[..length]);
        inode.dirty.extend(at / PAGE..(at + length).div_ceil(PAGE));
        Ok(length)
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.may_change()?;
        if inner.faults.syncs > 0 {
            inner.faults.syncs -= 1;
            inner.random |= 1;
            // The system forgets which pages it could not write: the next sync would succeed.
            inner.write_back(self.inode, true);
            return Err(io::Error::from_raw_os_error(5));
        }
        inner.write_back(self.inode, false);
        Ok(())
    }

    fn sync_with_length(&self) -> io::Result<()> {
        self.sync()
    }
}
