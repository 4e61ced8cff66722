//! `cargo xtask bench`: the benchmarks, and where their results are.

use anyhow::ensure;

use crate::engines;
use crate::steps::Steps;
use crate::tools::{cargo, target};

/// The bench targets that measure against real engines.
const ON_ENGINES: [&str; 4] = ["directory", "dynamodb_store", "full_stack", "postgres_store"];

/// Runs the bench targets, all of them or the one named.
///
/// # Errors
/// When one does not build, fails, or there is none of that name; when an engine does not start.
pub(crate) fn run(name: Option<&str>, dev: bool) -> anyhow::Result<()> {
    ensure!(
        name.is_none_or(|name| !name.starts_with('-')),
        "a bench target's name does not start with a dash"
    );
    let mut steps = Steps::new("benchmarks");
    let profile = ["--profile", if dev { "dev" } else { "release" }];
    // The benchmark of the whole daemon runs the built programs, all of them.
    if !steps.run("programs", cargo(["build", "--workspace", "--bins"]).args(profile)) {
        return steps.finish();
    }
    // Gone when this is, also after a failure.
    let _engines = if name.is_none_or(|name| ON_ENGINES.contains(&name)) {
        let Some(engines) = engines::start(&mut steps) else {
            return steps.finish();
        };
        Some(engines)
    } else {
        None
    };
    let mut bench = cargo(["bench", "--workspace", "--bench", name.unwrap_or("*")]);
    bench.args(profile);
    if steps.run(name.unwrap_or("all"), &mut bench) {
        println!("\nresults of criterion: {}", target().join("criterion").display());
    }
    steps.finish()
}
