//! The machine the generator runs on, and what the generator takes of it.

use std::num::NonZero;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::measurement::Host;

/// What a document says of this machine.
pub(crate) fn host() -> Host {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let (processors, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let processor = field(&processors, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kibibytes = field(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    Host {
        processor,
        cores: u32::try_from(cores()).unwrap_or(u32::MAX),
        memory_bytes: kibibytes.unwrap_or(0) * 1_024,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        open_files_limit: open_files_limit(),
    }
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Raises the limit of open files as far as this process may; returns it.
pub(crate) fn raise_open_files_limit() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // What it was is what counts then.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    open_files_limit()
}

fn open_files_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Tells how many cores this process kept busy since it was last asked.
#[derive(Debug)]
pub(crate) struct OwnCores {
    at: Instant,
    busy_s: f64,
}

impl OwnCores {
    pub(crate) fn new() -> Self {
        Self { at: Instant::now(), busy_s: busy_s() }
    }

    pub(crate) fn since_asked(&mut self) -> Option<f64> {
        let now = Self::new();
        let took_s = (now.at - self.at).as_secs_f64();
        let cores = (now.busy_s - self.busy_s) / took_s;
        *self = now;
        (took_s > 0.0).then_some(cores)
    }
}

fn busy_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
