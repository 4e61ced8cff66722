//! Steps: commands with a name, timed, and a closing table that says what became of each.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::interrupt;

/// The steps of one chore so far. A failed step does not stop those after it, so that one run
/// shows everything that is wrong; [`Steps::finish`] is what makes the chore fail.
#[derive(Debug)]
pub(crate) struct Steps {
    chore: &'static str,
    environment: Vec<(String, String)>,
    done: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    outcome: Outcome,
    took: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Steps {
    /// No steps yet; the closing line is headed by `chore`.
    pub(crate) fn new(chore: &'static str) -> Self {
        Self { chore, environment: Vec::new(), done: Vec::new() }
    }

    /// Sets these variables for the commands to come.
    pub(crate) fn set(&mut self, environment: &[(String, String)]) {
        self.environment.extend_from_slice(environment);
    }

    /// Runs the command with this terminal's output and without input; true if it succeeded.
    pub(crate) fn run(&mut self, name: &str, command: &mut Command) -> bool {
        println!("\n== {name}: {}", shown(command));
        let variables = self.environment.iter().map(|(name, value)| (name, value));
        let started = Instant::now();
        let outcome = match interrupt::status(command.stdin(Stdio::null()).envs(variables)) {
            Ok(Some(status)) if status.success() => Outcome::Passed,
            Ok(Some(status)) => Outcome::Failed(status.to_string()),
            Ok(None) => Outcome::Failed("interrupted".into()),
            Err(error) => Outcome::Failed(format!("cannot be started: {error}")),
        };
        let passed = outcome == Outcome::Passed;
        self.done.push(Step { name: name.to_owned(), outcome, took: started.elapsed() });
        passed
    }

    /// Does what is no command; what came of it, unless it failed.
    pub(crate) fn act<T>(&mut self, name: &str, act: impl FnOnce() -> anyhow::Result<T>) -> Option<T> {
        println!("\n== {name}");
        let started = Instant::now();
        let done = act();
        let outcome = match &done {
            Ok(_) => Outcome::Passed,
            Err(error) => {
                println!("{error:#}");
                let said = error.to_string();
                Outcome::Failed(said.lines().next().unwrap_or_default().to_owned())
            }
        };
        self.done.push(Step { name: name.to_owned(), outcome, took: started.elapsed() });
        done.ok()
    }

    /// Notes that a step was not run, and why.
    pub(crate) fn skip(&mut self, name: &str, why: impl Into<String>) {
        let why = why.into();
        println!("\n== {name}: skipped, {why}");
        self.done.push(Step { name: name.to_owned(), outcome: Outcome::Skipped(why), took: Duration::ZERO });
    }

    /// Prints the table and the closing line.
    ///
    /// # Errors
    /// When any step failed.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        println!("\n{}", self.table());
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        if failed > 0 {
            bail!("{failed} of the steps above failed");
        }
        Ok(())
    }

    fn table(&self) -> String {
        let width = self.done.iter().map(|step| step.name.len()).max().unwrap_or(0);
        let mut lines = Vec::with_capacity(self.done.len() + 1);
        for Step { name, outcome, took } in &self.done {
            let seconds = took.as_secs_f64();
            lines.push(match outcome {
                Outcome::Passed => format!("{name:width$}  passed   {seconds:7.1} s"),
                Outcome::Failed(why) => format!("{name:width$}  FAILED   {seconds:7.1} s  {why}"),
                Outcome::Skipped(why) => format!("{name:width$}  skipped            {why}"),
            });
        }
        let took: Duration = self.done.iter().map(|step| step.took).sum();
        lines.push(format!("{:width$}  took     {:7.1} s", "all", took.as_secs_f64()));
        lines.push(format!(
            "{}: {} passed, {} failed, {} skipped",
            self.chore,
            self.count(|outcome| *outcome == Outcome::Passed),
            self.count(|outcome| matches!(outcome, Outcome::Failed(_))),
            self.count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        ));
        lines.join("\n")
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.done.iter().filter(|step| wanted(&step.outcome)).count()
    }
}

/// The command as somebody would type it: no directories before the program, the variables it sets.
fn shown(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={:?}", name.to_string_lossy(), value.to_string_lossy()));
        }
    }
    let program = Path::new(command.get_program());
    words.push(program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned());
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_step_fails_the_chore_and_later_steps_still_run() {
        let mut steps = Steps::new("steps");
        assert!(!steps.run("wrong", &mut Command::new("false")));
        assert!(!steps.run("absent", &mut Command::new("no-such-program-anywhere")));
        assert!(steps.run("right", &mut Command::new("true")));
        assert!(steps.table().ends_with("steps: 1 passed, 2 failed, 0 skipped"));
        assert!(steps.finish().is_err());
    }

    #[test]
    fn skipped_step_is_named_with_its_reason_and_does_not_fail() {
        let mut steps = Steps::new("steps");
        steps.skip("vectors", "python3 is not here");
        let table = steps.table();
        assert!(table.contains("vectors  skipped"), "{table}");
        assert!(table.contains("python3 is not here"), "{table}");
        assert!(table.ends_with("steps: 0 passed, 0 failed, 1 skipped"), "{table}");
        assert!(steps.finish().is_ok());
    }

    #[test]
    fn failed_act_fails_the_chore_and_its_first_line_is_in_the_table() {
        let mut steps = Steps::new("steps");
        assert_eq!(steps.act("right", || Ok(7)), Some(7));
        assert_eq!(steps.act("wrong", || -> anyhow::Result<()> { bail!("no room\nof all things") }), None);
        let table = steps.table();
        assert!(
            table.lines().any(|line| line.starts_with("wrong  FAILED") && line.ends_with("no room")),
            "{table}"
        );
        assert!(steps.finish().is_err());
    }

    #[test]
    fn commands_see_the_variables_that_were_set() {
        let mut steps = Steps::new("steps");
        steps.set(&[("BEACOND_STEPS".into(), "seen".into())]);
        assert!(steps.run("sees", Command::new("sh").args(["-c", "test $BEACOND_STEPS = seen"])));
    }

    #[test]
    fn command_is_shown_with_what_it_sets() {
        let mut command = Command::new("cargo");
        command.args(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(shown(&command), "RUSTDOCFLAGS=\"-D warnings\" cargo doc --no-deps");
    }
}
