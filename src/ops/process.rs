//! The process as its operating system sees it, under the names that every Prometheus client uses.
//!
//! From Linux's `/proc`; elsewhere, or where it cannot be read, these metrics are absent.

use std::fs;

use super::metrics::Sample;

/// Clock ticks of `/proc` a second: `USER_HZ`, which Linux fixes at 100 on every machine this daemon is built for.
const TICKS_PER_S: f64 = 100.0;

/// Everything known of the process, and which build it is.
pub(super) fn samples() -> Vec<Sample> {
    let build = Sample::gauge("beacond_build_info", "Always 1; which version this is.", 1.0)
        .with("version", env!("CARGO_PKG_VERSION"));
    let stat = fs::read_to_string("/proc/self/stat").ok();
    let stat = stat.as_deref().and_then(ProcessStat::parse);
    let booted_at_s = read_field("/proc/stat", "btime ");
    let found = [
        stat.map(|stat| {
            let help = "Processor time spent, in user and system mode.";
            Sample::counter("process_cpu_seconds_total", help, stat.cpu_s)
        }),
        stat.zip(booted_at_s).map(|(stat, booted_at_s)| {
            let help = "When the process started, since 1970.";
            Sample::gauge("process_start_time_seconds", help, booted_at_s + stat.started_after_boot_s)
        }),
        stat.map(|stat| Sample::gauge("process_threads", "Threads now.", stat.threads)),
        read_field("/proc/self/status", "VmRSS:").map(|resident_kib| {
            let help = "Memory that is resident.";
            Sample::gauge("process_resident_memory_bytes", help, resident_kib * 1_024.0)
        }),
        open_files()
            .map(|open| Sample::gauge("process_open_fds", "File descriptors open, sockets included.", open)),
        read_field("/proc/self/limits", "Max open files")
            .map(|limit| Sample::gauge("process_max_fds", "File descriptors that may be open.", limit)),
    ];
    std::iter::once(build).chain(found.into_iter().flatten()).collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct ProcessStat {
    cpu_s: f64,
    threads: f64,
    started_after_boot_s: f64,
}

impl ProcessStat {
    /// From `/proc/self/stat`, whose fields are numbered from 1 in its manual; the second may hold spaces and brackets.
    fn parse(text: &str) -> Option<Self> {
        let (_, behind_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_s: (field(14)? + field(15)?) / TICKS_PER_S,
            threads: field(20)?,
            started_after_boot_s: field(22)? / TICKS_PER_S,
        })
    }
}

/// The number that follows `name` at the start of a line.
fn read_field(path: &str, name: &str) -> Option<f64> {
    field(&fs::read_to_string(path).ok()?, name)
}

fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

fn open_files() -> Option<f64> {
    // The directory being read is one of them.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let text = "42 (a) b) (c) S 1 42 42 0 -1 4194560 100 0 0 0 1250 250 0 0 20 0 7 0 5000 1000 200 18446744073709551615";
        let stat = ProcessStat { cpu_s: 15.0, threads: 7.0, started_after_boot_s: 50.0 };
        assert_eq!(ProcessStat::parse(text), Some(stat));
    }

    #[test]
    fn text_that_is_cut_short_gives_nothing() {
        for text in ["", "42 (beacond", "42 (beacond) S 1 42", "42 (beacond) S one two"] {
            assert_eq!(ProcessStat::parse(text), None, "{text}");
        }
        assert_eq!(field("VmPeak: 12 kB\n", "VmRSS:"), None);
        assert_eq!(field("VmPeak: 12 kB\nVmRSS:\t  34 kB\n", "VmRSS:"), Some(34.0));
    }
}
