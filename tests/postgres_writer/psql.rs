//! psql: the other client, by which tests prepare a database and read it back.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What a script prints, rows as lines with `|` between columns; what psql complains of otherwise.
pub(crate) fn run(url: &str, script: &str) -> Result<String, String> {
    let output = psql(url).args(["-v", "ON_ERROR_STOP=1", "-c", script]).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// A connection that stays, for transactions that are to be open while something else happens.
#[derive(Debug)]
pub(crate) struct Session {
    psql: Child,
    commands: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl Session {
    pub(crate) fn open(url: &str) -> Self {
        let mut psql = psql(url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let commands = psql.stdin.take().unwrap();
        let lines = BufReader::new(psql.stdout.take().unwrap());
        Self { psql, commands, lines }
    }

    /// Sends a command, and does not wait for it.
    pub(crate) fn send(&mut self, command: &str) {
        writeln!(self.commands, "{command};\n\\echo :SQLSTATE").unwrap();
    }

    /// Waits for the command sent last; what it printed, then its SQLSTATE.
    pub(crate) fn answer(&mut self) -> (String, String) {
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "psql has ended after: {printed}");
            let line = line.trim_end();
            if line.len() == 5 && line.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
            {
                return (printed.trim_end().to_owned(), line.to_owned());
            }
            printed.push_str(line);
            printed.push('\n');
        }
    }

    /// Runs a command that must succeed.
    pub(crate) fn run(&mut self, command: &str) -> String {
        self.send(command);
        let (printed, state) = self.answer();
        assert_eq!(state, "00000", "{command}: {printed}");
        printed
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}

fn psql(url: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-A", "-t", "-d", url]).stderr(Stdio::piped());
    command
}
