//! Ctrl-C and its like: the command that runs is told, and the chore ends in order.

use std::io;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The command that runs now; 0 between commands.
static RUNNING: AtomicI32 = AtomicI32::new(0);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on a signal ends the command that runs, and no other is started; what the chore has
/// to put away it puts away.
///
/// # Errors
/// When there is no thread to be had.
pub(crate) fn listen() -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot listen to signals")?;
    let listener = thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            end_running();
        }
    });
    listener.map(drop).context("cannot start a thread")
}

/// Runs the command; none if it was not started because of a signal, or ended after one.
pub(crate) fn status(command: &mut Command) -> io::Result<Option<ExitStatus>> {
    if interrupted() {
        return Ok(None);
    }
    let mut child = command.spawn()?;
    RUNNING.store(i32::try_from(child.id()).unwrap_or(0), Ordering::SeqCst);
    // Between the question above and the store nobody was told.
    if interrupted() {
        end_running();
    }
    let status = child.wait();
    RUNNING.store(0, Ordering::SeqCst);
    Ok(Some(status?).filter(|status| status.success() || !interrupted()))
}

/// Stops a chore that runs no command.
///
/// # Errors
/// When there was a signal.
pub(crate) fn check() -> anyhow::Result<()> {
    ensure!(!interrupted(), "interrupted");
    Ok(())
}

fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

fn end_running() {
    if let Some(pid) = Pid::from_raw(RUNNING.load(Ordering::SeqCst)) {
        // It may have ended by itself: Ctrl-C goes to everything in the terminal.
        let _gone = kill_process(pid, Signal::TERM);
    }
}
