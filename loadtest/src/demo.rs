//! `loadtest demo`: a daemon on an embedded store, restaurants full of guests, and a check of every claim.

mod comparison;
mod daemon;
mod live;
mod page;
mod restaurants;
mod store;
mod traffic;
mod verdict;
mod visits;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use beacon_protocol::client::ClientError;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::daemon::RunningDaemon;
use self::live::Live;
use self::restaurants::{RESTAURANTS, Restaurant};
use self::traffic::{Floor, Traffic, Volume};
use self::verdict::Evidence;
use self::visits::{GATEWAYS, GUESTS, Story, Visits};
use crate::arguments::DemoArguments;
use crate::clock::now_us;
use crate::ending::{Ending, Failure};
use crate::figures::count;
use crate::record::Record;

/// The story ends now and is this long: all of it is fresh, or the daemon would ask its store about each sighting.
const STORY_US: i64 = 12 * 60 * 1_000_000;

/// When nothing is answered for so long, no more answers are awaited.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs all of it.
pub(crate) fn run(arguments: &DemoArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let started_at = Instant::now();
    let restaurants: Vec<_> = (1..=RESTAURANTS).map(Restaurant::open).collect::<Result<_, _>>()?;
    let data_dir = data_dir(arguments.data_dir.as_deref())?;
    let database = data_dir.join("beacond.sqlite3");
    let daemon = RunningDaemon::start(&data_dir, &restaurants)?;
    introduce(arguments, &restaurants, &database, out).context("cannot print")?;

    let traffic = Arc::new(Traffic::new(Volume {
        sightings: arguments.rate * arguments.seconds / u32::from(RESTAURANTS),
        lasts: Duration::from_secs(arguments.seconds.into()),
    }));
    let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
    let told = runtime.block_on(tell(arguments, &restaurants, &traffic, &daemon, out))?;
    runtime.shutdown_background();
    let ledger = daemon.stop()?;

    let mut sent = traffic.take_sent();
    let stored = store::inspect(&database, &restaurants, &mut sent).context("cannot read the store")?;
    let evidence = Evidence {
        record: traffic.recorder.since_start(),
        sent,
        ledger_readings: told.ledger_readings + 1,
        imbalance: told.imbalance.or_else(|| ledger.imbalance()),
        ledger,
        stored,
    };
    let findings = evidence.findings();
    page::print(out, &evidence, &findings, &database).context("cannot print")?;
    let broken = findings.iter().filter(|finding| !finding.holds).count();
    let (word, ending) = match (told.interrupted, broken) {
        (true, _) => ("INTERRUPTED", Ending::Interrupted),
        (false, 0) => ("PASS", Ending::Good),
        (false, _) => ("FAIL", Ending::Bad),
    };
    let (checks, took) = (findings.len(), started_at.elapsed().as_secs_f64());
    writeln!(out, "\n{word}: {} of {checks} checks hold, after {took:.1} s", checks - broken)
        .context("cannot print")?;
    if let (Some(trouble), true) = (traffic.recorder.last_trouble(), broken > 0) {
        eprintln!("loadtest: last trouble: {trouble}");
    }
    Ok(ending)
}

/// The directory asked for, made if it is missing, or a new temporary one, which stays.
fn data_dir(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(path) = asked else {
        let temporary = tempfile::Builder::new().prefix("beacond-demo-").tempdir();
        return Ok(temporary.context("cannot make a temporary directory")?.keep());
    };
    let cannot = || format!("cannot use {}", path.display());
    std::fs::create_dir_all(path).with_context(cannot)?;
    if path.read_dir().with_context(cannot)?.next().is_some() {
        let reason = "is not empty, and the demo checks everything it finds in its store";
        return Err(Failure::Usage(format!("--data-dir {} {reason}", path.display())));
    }
    Ok(path.to_owned())
}

fn introduce(
    arguments: &DemoArguments,
    restaurants: &[Restaurant],
    database: &Path,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let beacons: usize = restaurants.iter().map(|restaurant| restaurant.beacons.len()).sum();
    let gateways = restaurants.len() * GATEWAYS;
    let customers = count(u64::from(GUESTS) * u64::from(RESTAURANTS));
    let minutes = STORY_US / 60_000_000;
    let DemoArguments { seconds, rate, .. } = arguments;
    writeln!(
        out,
        "beacond demo: {} restaurants, {beacons} beacons, {customers} customers",
        restaurants.len()
    )?;
    writeln!(
        out,
        "  {gateways} gateways, half over TCP, half over UDP, send {} sightings/s",
        count((*rate).into())
    )?;
    writeln!(out, "  {minutes} minutes of visits are told in {seconds} seconds")?;
    writeln!(out, "  one daemon in this process stores in {}\n", database.display())?;
    out.flush()
}

/// What was noticed while the traffic ran.
struct Told {
    interrupted: bool,
    ledger_readings: u64,
    imbalance: Option<String>,
}

async fn tell(
    arguments: &DemoArguments,
    restaurants: &[Restaurant],
    traffic: &Arc<Traffic>,
    daemon: &RunningDaemon,
    out: &mut impl Write,
) -> Result<Told, Failure> {
    let mut floors = Vec::new();
    for restaurant in restaurants {
        let floor = Floor::connect(restaurant.number, daemon.addresses()).await;
        floors.push((restaurant, floor.context("cannot connect a gateway")?));
    }
    let ends_us = now_us().saturating_add(i64::from(arguments.seconds) * 1_000_000);
    let story = Story { starts_us: ends_us - STORY_US, ends_us };
    let mut telling = JoinSet::new();
    for (index, (restaurant, floor)) in floors.into_iter().enumerate() {
        let next_door = &restaurants[(index + 1) % restaurants.len()];
        let visits = Visits::new(Restaurant::open(restaurant.number)?, next_door, story);
        telling.spawn(floor.tell(visits, Arc::clone(traffic)));
    }
    let on_terminal = std::io::stdout().is_terminal();
    let live = Live::begin(Duration::from_secs(arguments.seconds.into()), on_terminal, out)
        .context("cannot print")?;
    let told = watch(telling, traffic, daemon, &live, out).await;
    live.end();
    Ok(told?)
}

/// Shows each second, until all is told and answered, or nobody wants to wait any longer.
async fn watch(
    mut telling: JoinSet<Result<(), ClientError>>,
    traffic: &Traffic,
    daemon: &RunningDaemon,
    live: &Live,
    out: &mut impl Write,
) -> anyhow::Result<Told> {
    let mut told = Told { interrupted: false, ledger_readings: 0, imbalance: None };
    let mut seconds =
        tokio::time::interval_at(Instant::now() + Duration::from_secs(1), Duration::from_secs(1));
    let mut second = 0;
    let mut recent = Record::new();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            ended = telling.join_next() => match ended {
                None => return Ok(told),
                Some(ended) => ended.context("a restaurant's task failed")?.context("a gateway's client ended")?,
            },
            _ = seconds.tick() => {
                second += 1;
                traffic.recorder.look(&mut recent);
                live.show(second, &recent, out).context("cannot print")?;
                told.ledger_readings += 1;
                told.imbalance = told.imbalance.or_else(|| daemon.ledger().imbalance());
            }
            () = traffic.recorder.stalled(PATIENCE) => return Ok(told),
            _ = &mut interrupted => {
                if told.interrupted {
                    return Ok(told);
                }
                told.interrupted = true;
                traffic.stop.cancel();
                // Once more, and the answers are not awaited either.
                interrupted.set(tokio::signal::ctrl_c());
            }
        }
    }
}
