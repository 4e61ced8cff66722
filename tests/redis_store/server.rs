//! A Redis server of a test's own, and another client to look into it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) struct Server {
    dir: TempDir,
    port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let mut server = Self::not_started();
        server.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        server.run();
        server
    }

    /// A port on which nothing listens yet.
    pub(crate) fn not_started() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { dir: TempDir::new().unwrap(), port, arguments: Vec::new(), child: None }
    }

    /// Starts it, empty, on the port it had.
    pub(crate) fn run(&mut self) {
        let mut child = Command::new(program("redis-server"))
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", "", "--dir"])
            .arg(self.dir.path())
            .args(&self.arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("redis-server: run it by `cargo xtask test`, or set BEACOND_REDIS_SERVER: {error}")
            });
        let said: Vec<String> = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap)
            .take_while(|line| !line.contains("Ready to accept connections"))
            .collect();
        assert!(child.try_wait().unwrap().is_none(), "redis-server ended: {said:#?}");
        self.child = Some(child);
    }

    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Makes it hang: it is there and does not answer.
    pub(crate) fn stop_answering(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn answer_again(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn url_as(&self, who: &str) -> String {
        format!("redis://{who}@127.0.0.1:{}", self.port)
    }

    /// What `redis-cli` prints, without the end of the last line.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new(program("redis-cli"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// The fields of a hash and their values, sorted.
    pub(crate) fn hash(&self, key: &str) -> Vec<(String, String)> {
        let printed = self.cli(&["HGETALL", key]);
        let lines: Vec<&str> = printed.lines().collect();
        let mut pairs: Vec<_> =
            lines.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect();
        pairs.sort();
        pairs
    }

    pub(crate) fn field(&self, key: &str, field: &str) -> String {
        self.cli(&["HGET", key, field])
    }

    /// Seconds that a key has left to live; negative if it has no end, or is not there.
    pub(crate) fn ttl_seconds(&self, key: &str) -> i64 {
        self.cli(&["TTL", key]).parse().unwrap()
    }

    pub(crate) fn holds(&self, key: &str) -> bool {
        self.cli(&["EXISTS", key]) == "1"
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// A program of Redis: beside the server that the tests were given, else wherever it is found.
fn program(name: &str) -> PathBuf {
    let given = std::env::var_os("BEACOND_REDIS_SERVER").map(PathBuf::from);
    match given {
        Some(server) if name == "redis-server" => server,
        Some(server) => Some(server.with_file_name(name)).filter(|path| path.exists()).unwrap_or(name.into()),
        None => name.into(),
    }
}
