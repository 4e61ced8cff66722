//! The beacond binary: arguments, logging, the command, the exit code.

use std::process::ExitCode;

use beacond::cli;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::end_the_process_on_panic();
    let logs = cli::log_to_stderr();
    cli::run(std::env::args_os(), &logs)
}
