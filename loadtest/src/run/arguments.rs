//! What `loadtest run` can be told.

use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::Args;

use crate::compare::Noise;
use crate::target::Target;

const EXIT_CODES: &str = "\
Exit codes: 0 every objective is met, 1 one is not, 3 the run proves nothing, 64 wrong arguments,
65 a baseline that cannot be read, 69 no daemon, no store, or refused by it, or too few files may be open,
78 wrong scenario, 130 interrupted

Addresses with passwords come from the environment or a file, never from the command line: BEACOND_POSTGRES_URL,
BEACOND_REDIS_URL; for DynamoDB the AWS SDK's own chain, and BEACOND_DYNAMODB_ENDPOINT for emulators.";

#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) scenario: ScenarioArguments,
    /// The daemon, as tcp://HOST:PORT or udp://HOST:PORT. Gateways are dealt out to several.
    #[arg(long, required = true, value_name = "TARGET", value_delimiter = ',')]
    pub(crate) target: Vec<Target>,
    /// The daemon's operators' page, as http://HOST:PORT: for its own times, processor and memory.
    #[arg(long, value_name = "URL")]
    pub(crate) admin: Option<String>,
    /// The embedded store's file, beacond.sqlite3 in the daemon's data directory: sampled identities are looked for there.
    #[arg(long, value_name = "FILE", conflicts_with = "postgres_url_file")]
    pub(crate) sqlite: Option<PathBuf>,
    /// A file that holds PostgreSQL's URL [default: the variable BEACOND_POSTGRES_URL]. The same for it.
    #[arg(long, value_name = "FILE")]
    pub(crate) postgres_url_file: Option<PathBuf>,
    /// A file that holds Redis's URL [default: the variable BEACOND_REDIS_URL].
    #[arg(long, value_name = "FILE")]
    pub(crate) redis_url_file: Option<PathBuf>,
    /// DynamoDB's table: sampled events are looked for there.
    #[arg(long, value_name = "TABLE")]
    pub(crate) dynamodb_table: Option<String>,
    /// Suffixes of the table's partition keys, as in the daemon's configuration (`dynamodb.suffixes`).
    #[arg(long, value_name = "N", default_value = "1", requires = "dynamodb_table")]
    pub(crate) dynamodb_suffixes: NonZeroU16,
    /// Where the report goes [default: loadtest-NAME-TIME].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// An objective, such as "ack.p99<100ms", instead of the scenario's. May be given several times.
    #[arg(long, value_name = "OBJECTIVE")]
    pub(crate) slo: Vec<String>,
    /// End as soon as an objective cannot be met any more.
    #[arg(long)]
    pub(crate) abort_on_fail: bool,
    /// A report.json to compare with: what is worse beyond the noise fails.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// How far from the baseline figures may be.
    #[arg(long, value_name = "PERCENT", default_value = "5%", requires = "baseline")]
    pub(crate) noise: Noise,
    /// This generator's part of the gateways, such as 2/4, where several machines make a run.
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    pub(crate) shard: Shard,
    /// When to begin, in microseconds since 1970 UTC: the same for every shard [default: once connected].
    #[arg(long, value_name = "UNIX_US")]
    pub(crate) begin: Option<i64>,
    /// Do not write down every frame; `loadtest verify` needs it.
    #[arg(long)]
    pub(crate) no_evidence: bool,
    /// Print the verdict only.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Which scenario, and what goes over it.
#[derive(Debug, Clone, Args)]
pub(crate) struct ScenarioArguments {
    /// A scenario that ships with the tool (smoke, pilot, ten-million-lunch, ten-million-census, reconnect-storm, backlog),
    /// or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "smoke")]
    pub(crate) scenario: String,
    /// Changes a key of the scenario, such as load.profile=spike. May be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// So many times as many customers, stores and gateways.
    #[arg(long, value_name = "X", value_parser = positive)]
    pub(crate) scale: Option<f64>,
    /// Sightings a second where the level is 1: as many customers are present as make them.
    #[arg(long, value_name = "R", value_parser = positive)]
    pub(crate) rate: Option<f64>,
    /// How long sightings are sent, warm-up included.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<std::time::Duration>,
    /// Gateways, between which customers and stores are dealt out.
    #[arg(long, value_name = "N")]
    pub(crate) gateways: Option<u32>,
    /// The same seed makes the same sightings.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

/// A part of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    /// From 1.
    pub(crate) number: u32,
    pub(crate) of: u32,
}

impl Shard {
    /// Whether a gateway is of this part.
    pub(crate) const fn has(self, gateway: u32) -> bool {
        gateway % self.of == self.number - 1
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed =
            text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parsed {
            Some((number, of)) if 1 <= number && number <= of => Ok(Self { number, of }),
            _ => Err("a part such as 2/4 is wanted".to_owned()),
        }
    }
}

/// A number above 0.
///
/// # Errors
/// What is wanted.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("a number above 0 is wanted".to_owned()),
    }
}

/// A share as people write it: `5%`.
///
/// # Errors
/// What is wanted.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match number.map(|percent| percent / 100.0) {
        Some(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a percentage such as 5% is wanted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_have_every_gateway_once() {
        let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).into();
        for gateway in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.has(gateway)).count(), 1);
        }
        for wrong in ["0/3", "4/3", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
