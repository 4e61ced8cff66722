//! `loadtest verify`: a run's evidence held against the stores, which are read by clients of our own and not by the
//! daemon's adapters.

mod dynamodb;
mod findings;
mod held;
mod last_seen;
mod ledger;
mod names;
mod outcome;
mod postgres;
mod proof;
mod sent;
mod source;
mod sqlite;
mod survey;
#[cfg(test)]
mod tests;
mod time;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use tokio::runtime::Runtime;
use tokio::time::Instant;
use ureq::Agent;

use self::findings::Finding;
use self::held::{Held, Sieve};
use self::last_seen::LastSeen;
use self::ledger::Reading;
use self::outcome::{Outcome, StoreFigures};
use self::proof::{Proof, Unequal};
use self::source::Source;
use self::survey::Survey;
use crate::ending::{Ending, Failure};
use crate::{clock, evidence};

/// Two identities of a customer are at least so far apart.
const MINUTE_US: i64 = 60_000_000;

/// The variable that names another endpoint than AWS's, as for the daemon.
const DYNAMODB_ENDPOINT: &str = "BEACOND_DYNAMODB_ENDPOINT";

/// Between two looks at the daemon's ledger.
const ASKED_EVERY: Duration = Duration::from_millis(500);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

const EXIT_CODES: &str = "\
Exit codes: 0 every check holds, 1 one does not, 64 wrong arguments or no store named,
65 evidence that cannot be read, is cut, or is not all there is, 69 a store or the daemon's page cannot be reached

PostgreSQL is named by BEACOND_POSTGRES_URL or by --postgres-url-file, DynamoDB's endpoint by
BEACOND_DYNAMODB_ENDPOINT, region and credentials as for every AWS tool.";

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct VerifyArguments {
    /// The directory of a run, or its evidence; of a run by several generators the evidence of each.
    #[arg(value_name = "EVIDENCE", required = true)]
    evidence: Vec<PathBuf>,
    /// The embedded store's file; its events are verified too.
    #[arg(long, value_name = "FILE", conflicts_with = "postgres_url_file")]
    sqlite: Option<PathBuf>,
    /// A file that holds PostgreSQL's URL [default: the environment's BEACOND_POSTGRES_URL].
    #[arg(long, value_name = "FILE")]
    postgres_url_file: Option<PathBuf>,
    /// The table of events in DynamoDB. All of it is read.
    #[arg(long, value_name = "TABLE")]
    dynamodb_table: Option<String>,
    /// Verify this store alone.
    #[arg(long, value_name = "STORE")]
    only_store: Option<StoreKind>,
    /// The daemon's page for operators: its ledger is verified, and tells when nothing waits for a store any more.
    #[arg(long, value_name = "http://HOST:PORT")]
    admin: Option<String>,
    /// How long to wait at most until everything is stored.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Memory for sightings, in MiB: what does not fit is read in several parts. Rows take 24 bytes each beside it, and
    /// frames about as much.
    #[arg(long, value_name = "MIB", default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    memory: u64,
    /// Name customers by their CustomerIDs too, where examples are shown; else by their numbers in the population.
    #[arg(long)]
    show_customers: bool,
    /// Write what was found as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The part a store plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StoreKind {
    /// PostgreSQL or SQLite.
    Record,
    /// DynamoDB, or SQLite's table of events.
    Events,
}

/// Verifies a run.
///
/// # Errors
/// When evidence or a store cannot be read.
pub(crate) fn run(arguments: &VerifyArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let (sources, not_checked) = sources(arguments)?;
    let mut survey = Survey::of(files(&arguments.evidence), arguments.show_customers)?;
    outcome::print_survey(out, &survey).context("printing")?;
    let until = Instant::now() + arguments.wait;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let reading = arguments.admin.as_ref().map(|admin| rest(&runtime, admin, until)).transpose()?;
    let read_at_us = clock::now_us();
    let sieve = Arc::new(Sieve::new(&mut survey));
    let mut stores: Vec<(String, Held)> = Vec::new();
    for source in &sources {
        let began = Instant::now();
        // What waits is known where the ledger was asked.
        let identified = if reading.is_some() { 0 } else { survey.figures.identified };
        let held = source.settled(&runtime, &sieve, identified, until)?;
        outcome::print_store(out, source.name(), &held, began.elapsed()).context("printing")?;
        stores.push((source.name().to_owned(), held));
    }
    let mut findings = vec![Finding::new(
        "answers",
        None,
        "every sighting was answered what the rules say",
        survey.answers.clone(),
    )];
    findings.extend(of_stores(&survey, &stores, arguments.memory)?);
    for (source, (_, held)) in sources.iter().zip(&stores).filter(|(source, _)| source.is_record()) {
        let (names, rows) = (&survey.names, held.rows.as_slice());
        let mut last_seen = LastSeen::new(names, rows, *survey.span.start(), *survey.span.end());
        source.last_seen(&runtime, |id, at_us| last_seen.customer(id, at_us))?;
        findings.push(last_seen.finding(source.name()));
    }
    let mut remarks = not_checked;
    if let Some(because) = &survey.inexact_because {
        remarks.push(format!("no exact set: the order of decisions is not known, since {because}"));
    }
    if let Some(reading) = reading {
        // Seconds are cut.
        let started_at_us = read_at_us - micros(reading.uptime_s + 1);
        let covers_the_run = started_at_us <= survey.began_at_us;
        findings.extend(reading.findings(&survey.answered, covers_the_run));
        remarks.extend(reading.remarks());
        if !covers_the_run {
            remarks
                .push("the daemon was started after the run began: its counts are not compared".to_owned());
        }
    }
    let stores = stores.iter().map(|(name, held)| StoreFigures::new(name, held)).collect();
    let outcome = Outcome::new(&survey, stores, findings, remarks);
    outcome.print(out).context("printing")?;
    if let Some(file) = &arguments.json {
        outcome.write(file).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(if outcome.holds { Ending::Good } else { Ending::Bad })
}

/// Stores to be verified, and what is not, in words.
fn sources(arguments: &VerifyArguments) -> Result<(Vec<Source>, Vec<String>), Failure> {
    let is_wanted = |kind| arguments.only_store.is_none_or(|only| only == kind);
    let mut sources = Vec::new();
    if let Some(file) = &arguments.sqlite {
        sources.push((StoreKind::Record, Source::Sqlite(file.clone())));
        if arguments.dynamodb_table.is_none() {
            sources.push((StoreKind::Events, Source::SqliteEvents(file.clone())));
        }
    } else {
        let file = arguments.postgres_url_file.as_deref();
        let url = crate::postgres::url(file).map_err(|error| {
            Failure::Usage(format!("--postgres-url-file {}: {error}", shown(file.unwrap_or(Path::new("")))))
        })?;
        sources.extend(url.map(|url| (StoreKind::Record, Source::Postgres(url))));
    }
    if let Some(table) = arguments.dynamodb_table.clone() {
        let endpoint = std::env::var(DYNAMODB_ENDPOINT).ok().filter(|endpoint| !endpoint.is_empty());
        sources.push((StoreKind::Events, Source::DynamoDb { table, endpoint }));
    }
    sources.retain(|(kind, _)| is_wanted(*kind));
    if sources.is_empty() {
        let wanted = "name a store: --sqlite, BEACOND_POSTGRES_URL, --postgres-url-file, --dynamodb-table";
        return Err(Failure::Usage(wanted.to_owned()));
    }
    let is_there = |kind| sources.iter().any(|(of, _)| *of == kind);
    let mut not_checked = Vec::new();
    for (kind, what) in
        [(StoreKind::Record, "the system of record"), (StoreKind::Events, "the store of events")]
    {
        if !is_there(kind) {
            not_checked.push(format!("not checked: {what}, which was not named"));
        }
    }
    if arguments.admin.is_none() {
        not_checked.push("not checked: the daemon's ledger, without --admin".to_owned());
    }
    Ok((sources.into_iter().map(|(_, source)| source).collect(), not_checked))
}

/// Evidence by its own name, or in a run's directory.
fn files(named: &[PathBuf]) -> Vec<PathBuf> {
    let file = |path: &PathBuf| if path.is_dir() { path.join(evidence::FILE_NAME) } else { path.clone() };
    named.iter().map(file).collect()
}

/// The ledger when nothing waits any more, or as it is when the time is over.
fn rest(runtime: &Runtime, admin: &str, until: Instant) -> Result<Reading, Failure> {
    let agent = Agent::config_builder().timeout_global(Some(ANSWER_TIMEOUT)).build().new_agent();
    let url = format!("{}{}", admin.trim_end_matches('/'), ledger::PATH);
    let unreadable = |reason: &dyn std::fmt::Display| Failure::Resources(format!("admin {url}: {reason}"));
    loop {
        let page = agent.get(&url).call().and_then(|mut page| page.body_mut().read_to_string());
        let reading = Reading::parse(&page.map_err(|error| unreadable(&error))?);
        let reading = reading.map_err(|reason| unreadable(&reason))?;
        if reading.is_at_rest() || Instant::now() + ASKED_EVERY > until {
            return Ok(reading);
        }
        runtime.block_on(async { tokio::time::sleep(ASKED_EVERY).await });
    }
}

/// Everything that is proven from sightings and rows, a part of the customers at a time.
fn of_stores(survey: &Survey, stores: &[(String, Held)], memory_mib: u64) -> Result<Vec<Finding>, Failure> {
    let mut proof = Proof::new(&survey.names, &survey.frames, stores, survey.inexact_because.is_none());
    let mut sent = Vec::new();
    for customers in survey.parts((memory_mib << 20) / size_of::<sent::Sent>() as u64) {
        survey.collect(&customers, &mut sent)?;
        proof.part(&customers, &sent);
    }
    drop(sent);
    let unequal = proof.unequal();
    let examples = unequal_in_words(survey, stores, &unequal)?;
    Ok(proof.findings(examples))
}

/// Names what is missing, or too many, of frames that a store has another number of than was answered.
fn unequal_in_words(
    survey: &Survey,
    stores: &[(String, Held)],
    unequal: &[Vec<Unequal>],
) -> Result<Vec<Vec<String>>, Failure> {
    let mut frames: Vec<u32> = unequal.iter().flatten().map(|unequal| unequal.frame).collect();
    frames.sort_unstable();
    frames.dedup();
    let mut examples = vec![Vec::new(); stores.len()];
    if frames.is_empty() {
        return Ok(examples);
    }
    survey.show(&frames, |frame, sent| {
        for ((unequal, (_, held)), examples) in unequal.iter().zip(stores).zip(&mut examples) {
            if let Some(unequal) = unequal.iter().find(|unequal| unequal.frame == frame) {
                examples.push(outcome::unequal(survey, *unequal, &sent, held));
            }
        }
    })?;
    Ok(examples)
}

fn micros(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
