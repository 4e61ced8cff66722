//! What the command line says.

use std::path::PathBuf;

use clap::Parser;

/// Kills, cuts, fills and deceives a running beacond and its stores, and proves that nothing acked is lost.
#[derive(Debug, Parser)]
#[command(name = "torture", version)]
pub(crate) struct Arguments {
    /// The daemon, built with the feature `torture`
    #[arg(long)]
    pub(crate) beacond: PathBuf,
    /// For everything of a run; removed at its end, but for what a breach needs
    #[arg(long)]
    pub(crate) directory: PathBuf,
    /// Rounds to run
    #[arg(long, default_value_t = 200)]
    pub(crate) rounds: u32,
    /// What draws faults and load
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The number of the first round: those before it are left out
    #[arg(long, default_value_t = 0)]
    pub(crate) first: u32,
    /// Stop after so many minutes
    #[arg(long)]
    pub(crate) minutes: Option<u64>,
    /// Only faults whose names contain one of these words
    #[arg(long, value_name = "WORDS")]
    pub(crate) only: Vec<String>,
    /// Build this defect in, and succeed when it is told
    #[arg(long)]
    pub(crate) mutant: Option<String>,
    /// Every defect, one after the other
    #[arg(long, conflicts_with = "mutant")]
    pub(crate) mutants: bool,
}
