//! Starts and runs on a disk that is full or read-only: waited for and shown, and over by themselves.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::home::Home;
use crate::harness::{PATIENCE, frames, store};
use crate::model::generated::heard;
use crate::scene::table;

/// A small journal, since the disk is small.
const CONFIG: &str = "[journal]\nsegment_bytes = 4194304\nmax_bytes = 16777216\n";

/// Room for the journal, the store and a little more.
const DISK_BYTES: u64 = 40 << 20;

/// A file system of its own at a path, gone at the end.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this user may not mount anything, which it says.
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={DISK_BYTES},mode=700");
        if !run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", at.to_str()?]) {
            eprintln!("skipped: no file system can be mounted here");
            return None;
        }
        Some(Self(at.to_owned()))
    }

    fn remount(&self, how: &str) {
        assert!(run("mount", &["-o", &format!("remount,{how}"), self.0.to_str().unwrap()]));
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        for piece in [1 << 20, 4_096, 1] {
            let piece = vec![0; piece];
            while filler.write_all(&piece).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the daemon of a test that failed may not be gone yet.
        run("umount", &["-l", self.0.to_str().unwrap_or_default()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// A home on a disk of its own with the beacon in its store, stopped in order.
fn on_a_disk() -> Option<(Home, Disk)> {
    let home = Home::configured(Some(CONFIG), Vec::new());
    let disk = Disk::mount(&home.data())?;
    home.import_beacons(&[table()]);
    home.serve().stop();
    Some((home, disk))
}

fn identify(daemon: &crate::harness::daemon::Daemon, customer: &str) {
    let mut gateway = daemon.tcp_session(customer);
    let seen = heard(customer.into(), crate::harness::now_us(), &table(), -40);
    assert_eq!(gateway.ask(&frames::sightings(1, &[seen])).outcomes(), [("identified", 1)]);
}

#[test]
fn a_start_on_a_read_only_disk_waits_until_it_can_write() {
    let Some((home, disk)) = on_a_disk() else { return };
    disk.remount("ro");
    let starting = home.start_with(&["--insecure-dev"]);
    assert!(starting.stderr.wait_for_line("waiting for the disk", PATIENCE), "{}", starting.stderr.text());
    disk.remount("rw");
    let daemon = starting.accepts();
    let text = daemon.stderr.text();
    let lines = text.lines().filter(|line| line.contains("waiting for the disk")).count();
    assert_eq!(lines, 1, "said once: {text}");
    assert!(!text.contains("delete"), "{text}");
    identify(&daemon, "alice");
    daemon.stop();
    assert_eq!(store::tables(&home.data()).identities.len(), 1);
}

#[test]
fn a_start_on_a_full_disk_goes_on_by_itself_when_there_is_room() {
    let Some((home, disk)) = on_a_disk() else { return };
    disk.fill();
    let starting = home.start_with(&["--insecure-dev"]);
    // Whether it is the start that waits, or the journal of a daemon that serves already.
    let said = "No space left on device";
    let waits = starting.stderr.wait_for_line(said, PATIENCE)
        || starting.stderr.wait_for_line("disk is full", PATIENCE);
    assert!(waits, "{}", starting.stderr.text());
    disk.free();
    let daemon = starting.accepts();
    identify(&daemon, "alice");
    daemon.stop();
    assert_eq!(store::tables(&home.data()).identities.len(), 1);
}

#[test]
fn a_start_that_waits_for_the_disk_ends_when_it_is_told_to() {
    let Some((home, disk)) = on_a_disk() else { return };
    fs::remove_dir_all(home.data().join("journal")).unwrap();
    disk.remount("ro");
    let starting = home.start_with(&["--insecure-dev"]);
    assert!(starting.stderr.wait_for_line("waiting for the disk", PATIENCE), "{}", starting.stderr.text());
    assert_eq!(starting.stopped().code(), Some(0), "nothing was begun");
}

#[test]
fn a_disk_that_is_full_while_the_daemon_runs_stops_acks_and_shows_and_goes_on_when_there_is_room() {
    let Some((home, disk)) = on_a_disk() else { return };
    // The next segment has to be made.
    fs::remove_dir_all(home.data().join("journal")).unwrap();
    let starting = home.start_with(&["--insecure-dev"]);
    let daemon = starting.accepts();
    disk.fill();
    let mut gateway = daemon.tcp_session("gateway");
    let seen = heard("alice".into(), crate::harness::now_us(), &table(), -40);
    gateway.send(&frames::sightings(1, &[seen]));
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let (status, text) = daemon.page("/ready");
        if status == 503 && text.contains("journal_trouble") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "never shown: {text}");
        daemon.stderr.wait_for_more(std::time::Duration::from_millis(50));
    }
    assert_eq!(daemon.stats().number("in_progress"), 1);
    disk.free();
    assert_eq!(gateway.receive().ack().records[0].outcomes(), [("identified", 1)]);
    assert_eq!(daemon.page("/ready").0, 200);
    daemon.stop();
}
