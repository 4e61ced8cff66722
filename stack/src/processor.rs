//! Processor time of processes, from Linux's /proc.

use std::fs;

/// Ticks a second in /proc: the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time since a process's start.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    ticks: u64,
}

impl Usage {
    /// Seconds from `before` to this.
    pub fn since(self, before: Self) -> f64 {
        self.ticks.saturating_sub(before.ticks) as f64 / TICKS_PER_SECOND
    }
}

/// Of a process without its children.
pub fn of_process(pid: u32) -> Usage {
    Usage { ticks: Stat::read(&pid.to_string()).map_or(0, |stat| stat.own_ticks) }
}

/// Of a process and its children, also those that have ended.
pub fn of_tree(pid: u32) -> Usage {
    let mut ticks = Stat::read(&pid.to_string()).map_or(0, |stat| stat.own_ticks + stat.ended_children_ticks);
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = process.file_name().to_str().and_then(Stat::read);
        ticks += stat.filter(|stat| stat.parent == pid).map_or(0, |stat| stat.own_ticks);
    }
    Usage { ticks }
}

/// Of the programs that this one ran and that have ended.
pub fn of_children() -> Usage {
    Usage { ticks: Stat::read("self").map_or(0, |stat| stat.ended_children_ticks) }
}

struct Stat {
    parent: u32,
    own_ticks: u64,
    ended_children_ticks: u64,
}

impl Stat {
    /// None for what is no process, or not any more.
    fn read(process: &str) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name may hold anything; behind its closing bracket come state, parent, and from the 14th field the times.
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own_ticks: ticks(11)? + ticks(12)?,
            ended_children_ticks: ticks(13)? + ticks(14)?,
        })
    }
}
