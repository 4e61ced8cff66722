//! Tells the load tester which revision it is built from, for its reports to say.

use std::path::Path;
use std::process::Command;

fn main() {
    let git = |words: &[&str]| {
        let output =
            Command::new("git").args(words).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
    };
    let revision = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
    // Of what the programs are made of: documents may differ.
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", "..", ":!../docs"]);
    let mark = if changed.is_some_and(|files| !files.is_empty()) { "+" } else { "" };
    println!("cargo::rustc-env=LOADTEST_REVISION={revision}{mark}");
    println!("cargo::rerun-if-changed=src");
    if let Some(directory) = git(&["rev-parse", "--git-common-dir"]) {
        // Moves with every commit and checkout.
        let log = Path::new(&directory).join("logs/HEAD");
        if log.exists() {
            println!("cargo::rerun-if-changed={}", log.display());
        }
    }
}
