//! What a child process writes, line by line, so that tests wait for lines instead of guessing times.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// The lines written so far, shared with the thread that reads them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<(Mutex<Written>, Condvar)>);

#[derive(Debug, Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Starts to read `stream` on a thread that ends with it.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let shared = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                shared.change(|written| written.lines.push(line));
            }
            shared.change(|written| written.ended = true);
        });
        lines
    }

    /// All lines so far.
    pub(crate) fn text(&self) -> String {
        self.0.0.lock().unwrap().lines.join("\n")
    }

    /// Whether the process closed the stream: it has ended, or is about to.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.0.lock().unwrap().ended
    }

    /// Waits until the stream is closed; `false` if it is not in time.
    pub(crate) fn wait_for_end(&self, patience: Duration) -> bool {
        self.wait(patience, |written| written.ended)
    }

    /// Waits until a line contains `text`; `false` if none does in time or before the end.
    pub(crate) fn wait_for_line(&self, text: &str, patience: Duration) -> bool {
        let said = |written: &Written| written.lines.iter().any(|line| line.contains(text));
        self.wait(patience, |written| written.ended || said(written)) && said(&self.0.0.lock().unwrap())
    }

    /// Waits until there is another line, the end, or `patience` is over.
    pub(crate) fn wait_for_more(&self, patience: Duration) {
        let (count, ended) = {
            let written = self.0.0.lock().unwrap();
            (written.lines.len(), written.ended)
        };
        self.wait(patience, |written| written.lines.len() > count || (written.ended && !ended));
    }

    fn wait(&self, patience: Duration, met: impl Fn(&Written) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        let mut written = self.0.0.lock().unwrap();
        while !met(&written) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            written = self.0.1.wait_timeout(written, left).unwrap().0;
        }
        true
    }

    fn change(&self, change: impl FnOnce(&mut Written)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }
}
