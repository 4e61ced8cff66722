//! `cargo xtask bench`: the benchmarks, and where their results are.

use anyhow::ensure;

use crate::steps::Steps;
use crate::tools::{cargo, target};

/// Runs the bench targets, all of them or the one named.
///
/// # Errors
/// When one does not build, fails, or there is none of that name.
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
    let mut bench = cargo(["bench", "--workspace", "--bench", name.unwrap_or("*")]);
    bench.args(profile);
    if steps.run(name.unwrap_or("all"), &mut bench) {
        println!("\nresults of criterion: {}", target().join("criterion").display());
    }
    steps.finish()
}
