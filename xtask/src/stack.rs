//! `cargo xtask stack`: engines that stay until they are told to go, and the file that remembers them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use beacon_stack::{LeftRunning, Lifetime};

use crate::engines;
use crate::steps::Steps;

/// Starts what does not run yet, and says how to reach it.
///
/// # Errors
/// When an engine is missing or does not start.
pub(crate) fn up() -> anyhow::Result<()> {
    match Remembered::load()? {
        Some(remembered) if remembered.engines.iter().all(LeftRunning::is_running) => {
            println!("the engines are up already; they are reached by\n{}", remembered.exports());
            return Ok(());
        }
        _ => down()?,
    }
    let mut steps = Steps::new("steps");
    if let Some(programs) = engines::prepare(&mut steps) {
        steps.act("engines", || {
            let stack = programs.start(&directory(), Lifetime::Machine)?;
            let environment = stack.environment().to_vec();
            let remembered = Remembered { environment, engines: stack.leave_running()? };
            fs::write(memory(), remembered.to_text())?;
            println!("{}", remembered.exports());
            Ok(())
        });
    }
    steps.finish()
}

/// Stops what [`up`] started, and removes its data. Nothing to stop is fine.
///
/// # Errors
/// When an engine does not end.
pub(crate) fn down() -> anyhow::Result<()> {
    if let Some(Remembered { engines, .. }) = Remembered::load()? {
        for engine in engines {
            let stopped = engine.stop()?;
            println!("{} (pid {}) {}", engine.name, engine.pid, if stopped { "stopped" } else { "was gone" });
        }
    }
    // Also after an `up` that was killed before it could write anything down.
    if directory().exists() {
        fs::remove_dir_all(directory())?;
    }
    Ok(())
}

/// Prints the variables as a shell takes them.
///
/// # Errors
/// When the engines are not up.
pub(crate) fn print_environment() -> anyhow::Result<()> {
    let remembered = Remembered::load()?.context("the engines are not up: cargo xtask stack up")?;
    if let Some(gone) = remembered.engines.iter().find(|engine| !engine.is_running()) {
        bail!("{} does not run any more: cargo xtask stack up", gone.name);
    }
    println!("{}", remembered.exports());
    Ok(())
}

fn directory() -> PathBuf {
    engines::home().join("stack")
}

fn memory() -> PathBuf {
    directory().join("engines")
}

/// What [`up`] writes down for the others: a line for each engine and each variable, its words
/// apart by tabs.
#[derive(Debug, PartialEq, Eq)]
struct Remembered {
    engines: Vec<LeftRunning>,
    environment: Vec<(String, String)>,
}

impl Remembered {
    fn load() -> anyhow::Result<Option<Self>> {
        let path = memory();
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::from_text(&text).with_context(|| path.display().to_string()).map(Some)
    }

    fn from_text(text: &str) -> anyhow::Result<Self> {
        let mut remembered = Self { engines: Vec::new(), environment: Vec::new() };
        for line in text.lines() {
            match line.split('\t').collect::<Vec<_>>().as_slice() {
                ["engine", name, pid, marker, directory] => {
                    ensure!(!marker.is_empty(), "an engine without a mark");
                    remembered.engines.push(LeftRunning {
                        name: (*name).to_owned(),
                        pid: pid.parse()?,
                        marker: (*marker).to_owned(),
                        directory: Path::new(directory).to_owned(),
                    });
                }
                ["variable", name, value] => {
                    remembered.environment.push(((*name).to_owned(), (*value).to_owned()));
                }
                _ => bail!("a line that is not understood: {line}"),
            }
        }
        Ok(remembered)
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for LeftRunning { name, pid, marker, directory } in &self.engines {
            text.push_str(&format!("engine\t{name}\t{pid}\t{marker}\t{}\n", directory.display()));
        }
        for (name, value) in &self.environment {
            text.push_str(&format!("variable\t{name}\t{value}\n"));
        }
        text
    }

    fn exports(&self) -> String {
        let export =
            |(name, value): &(String, String)| format!("export {name}='{}'", value.replace('\'', "'\\''"));
        self.environment.iter().map(export).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_back() {
        let remembered = Remembered {
            engines: vec![LeftRunning {
                name: "Redis".into(),
                pid: 4711,
                marker: "127.0.0.1:20001".into(),
                directory: "target/stack/redis".into(),
            }],
            environment: vec![("BEACOND_REDIS_URL".into(), "redis://127.0.0.1:20001".into())],
        };
        assert_eq!(Remembered::from_text(&remembered.to_text()).unwrap(), remembered);
        assert!(Remembered::from_text("engine\tRedis\t4711\t\ttarget").is_err());
        assert!(Remembered::from_text("something else").is_err());
    }

    #[test]
    fn exports_survive_a_shell() {
        let environment = vec![("NAME".into(), "it's $HOME".into())];
        let remembered = Remembered { engines: Vec::new(), environment };
        assert_eq!(remembered.exports(), r"export NAME='it'\''s $HOME'");
    }
}
