//! psql, for a statement or for a session of many.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What a script printed, unaligned and without headings; the error's text if it failed.
pub(crate) fn run(url: &str, script: &str) -> Result<String, String> {
    let output = command(url).args(["-c", script]).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// A session that stays open, with its transaction if it began one, until it is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Session {
    pub(crate) fn open(url: &str) -> Self {
        let mut child = command(url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { input: child.stdin.take(), child, output }
    }

    /// Runs a script and waits for its end; the lines it printed.
    pub(crate) fn run(&mut self, script: &str) -> Vec<String> {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{script};\n\\echo the end of it").unwrap();
        input.flush().unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "psql has ended: {lines:?}");
            match line.trim_end() {
                "the end of it" => return lines,
                line => lines.push(line.to_owned()),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

fn command(url: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url]).env("PGTZ", "UTC");
    command
}
