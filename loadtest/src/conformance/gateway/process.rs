//! The gateway under test as a process, one for each scene.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::target::{Target, Transport};

/// The variable that tells the gateway where to connect.
const TARGET_VARIABLE: &str = "BEACOND_TARGET";
/// Stands for the same in its arguments.
const TARGET_MARK: &str = "{target}";

/// A process that is ended with its scene.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts the command with the address filled in; what it prints goes nowhere.
    pub(super) fn start(
        command: &[String],
        transport: Transport,
        address: SocketAddr,
    ) -> std::io::Result<Self> {
        let target = Target { transport, address: address.to_string() }.to_string();
        let mut words = command.iter().map(|word| OsString::from(word.replace(TARGET_MARK, &target)));
        let program = words.next().unwrap_or_default();
        let child = Command::new(program)
            .args(words)
            .env(TARGET_VARIABLE, target)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child })
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("the gateway ended ({status})"))
    }

    /// Asks it to end in order, as somebody at its terminal would.
    pub(super) fn interrupt(&self) -> bool {
        let number = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        number.is_some_and(|pid| rustix::process::kill_process(pid, rustix::process::Signal::INT).is_ok())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; nobody is left to tell of anything else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
