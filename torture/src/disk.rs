//! The volume of the data directory: an ext4 image on a loop device, which can lose its power and can be full.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Room for some segments of a journal and what waits in it.
const IMAGE_BYTES: u64 = 192 * 1024 * 1024;

/// How the room that is left is filled: in pieces, each half of the one before.
const FIRST_PIECE_BYTES: u64 = 64 * 1024 * 1024;
const LAST_PIECE_BYTES: u64 = 4 * 1024;

/// A volume; unmounted and removed when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: PathBuf,
    /// How often it was copied: each copy is a file of its own.
    copies: u32,
    /// Not where this system mounts none: then it is a plain directory, whose power cannot fail.
    is_mounted: bool,
}

impl Disk {
    /// A fresh volume below `directory`, if this system lets us mount one.
    ///
    /// # Errors
    /// When not even a directory can be made.
    pub(crate) fn make(directory: &Path) -> anyhow::Result<Self> {
        let mut disk = Self { directory: directory.to_owned(), copies: 0, is_mounted: false };
        fs::create_dir_all(disk.mount_point())?;
        let made = disk.format();
        disk.is_mounted = made.is_ok();
        fs::create_dir_all(disk.data())?;
        Ok(disk)
    }

    /// Whether its power can fail and it can be full.
    pub(crate) const fn is_volume(&self) -> bool {
        self.is_mounted
    }

    /// The data directory on it.
    pub(crate) fn data(&self) -> PathBuf {
        self.mount_point().join("data")
    }

    /// Cuts its power: what was never synced is gone. No process may have a file open on it.
    ///
    /// # Errors
    /// When it cannot be copied or mounted.
    pub(crate) fn lose_power(&mut self) -> anyhow::Result<()> {
        ensure!(self.is_mounted, "a plain directory has no power to lose");
        let before = self.image();
        self.copies += 1;
        let copy = self.image();
        // Before unmounting, which would write what is in memory.
        run("cp", &["--sparse=always".as_ref(), &before, &copy])?;
        self.unmount()?;
        fs::remove_file(before)?;
        self.mount()
    }

    /// Takes all the room that is left.
    ///
    /// # Errors
    /// When there is no filler to be made.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        fs::create_dir_all(self.filler())?;
        let mut piece_bytes = FIRST_PIECE_BYTES;
        let mut number = 0;
        while piece_bytes >= LAST_PIECE_BYTES {
            let piece = self.filler().join(number.to_string());
            let took = run("fallocate", &["-l".as_ref(), Path::new(&piece_bytes.to_string()), &piece]);
            number += 1;
            if took.is_err() {
                piece_bytes /= 2;
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub(crate) fn free(&self) {
        // Not there if it was not filled.
        let _removed = fs::remove_dir_all(self.filler());
    }

    fn format(&self) -> anyhow::Result<()> {
        File::create(self.image())?.set_len(IMAGE_BYTES)?;
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), &self.image()])?;
        self.mount()
    }

    fn mount(&self) -> anyhow::Result<()> {
        run("mount", &["-o".as_ref(), "loop".as_ref(), &self.image(), &self.mount_point()])
    }

    fn unmount(&self) -> anyhow::Result<()> {
        run("umount", &[&self.mount_point()])
    }

    fn image(&self) -> PathBuf {
        self.directory.join(format!("image-{}", self.copies))
    }

    fn mount_point(&self) -> PathBuf {
        self.directory.join("volume")
    }

    fn filler(&self) -> PathBuf {
        self.mount_point().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            let _unmounted = self.unmount().or_else(|_| run("umount", &["-l".as_ref(), &self.mount_point()]));
        }
        let _removed = fs::remove_dir_all(&self.directory);
    }
}

/// Unmounts every volume below a directory that a torture left behind when it was killed.
pub(crate) fn unmount_below(directory: &Path) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for point in mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new) {
        if point.starts_with(directory) {
            let _unmounted = run("umount", &["-l".as_ref(), point]);
        }
    }
}

fn run(program: &str, arguments: &[&Path]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    let done = command.args(arguments).stdin(Stdio::null()).output().with_context(|| program.to_owned())?;
    ensure!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}
