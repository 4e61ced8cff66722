//! A round: load, faults, everything lifted, and then the proof.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::check::{Breach, breaches};
use crate::datagrams::Weather;
use crate::engines::Engines;
use crate::era::Era;
use crate::evidence::Evidence;
use crate::fault::Action;
use crate::gateway::{Conduct, Load, Transport};
use crate::plan::Plan;
use crate::proxy::Mode;
use crate::random::Random;
use crate::watch::{Watched, read, watch};

/// Customers of a round: few enough that each is met again and again.
const CUSTOMERS: u32 = 700;

/// When every fault is lifted, everything is answered and stored within this, or it never will be.
const SETTLED_WITHIN: Duration = Duration::from_secs(25);

/// Between two looks whether all is stored.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a round came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) breaches: Vec<Breach>,
    pub(crate) evidence: Evidence,
    pub(crate) readings: u64,
    pub(crate) lost: [u64; 2],
    pub(crate) stored: usize,
    pub(crate) took: Duration,
}

/// Runs a round.
///
/// # Errors
/// What keeps the torture itself from going on; a promise broken is in the outcome.
pub(crate) async fn run(
    era: &mut Era,
    engines: &mut Engines,
    number: u32,
    plan: &Plan,
    random: &mut Random,
) -> anyhow::Result<Outcome> {
    let began_at = Instant::now();
    let conduct = Arc::new(Conduct::default());
    let watched = Watched::default();
    let mut watching = JoinSet::new();
    watching.spawn(watch(era.admin.subscribe(), watched.clone(), Arc::clone(&conduct)));
    era.launch()?;
    era.ready().await?;
    let mut gateways = JoinSet::new();
    for gateway in std::mem::take(&mut era.gateways) {
        let load = load(number, random);
        let daemon = match gateway.transport() {
            Transport::Tcp => era.tcp.address(),
            Transport::Udp => era.udp.address(),
        };
        gateways.spawn(gateway.run(daemon, load, Arc::clone(&conduct)));
    }
    let begin = tokio::time::Instant::now();
    let mut broken = None;
    for (at_ms, action) in &plan.actions {
        tokio::time::sleep_until(begin + Duration::from_millis(*at_ms)).await;
        if let Err(error) = act(era, engines, &conduct, *action, random).await {
            broken = Some(format!("{action:?}: {error:#}"));
            break;
        }
    }
    tokio::time::sleep_until(begin + Duration::from_millis(plan.load_ms)).await;
    let mended = mend(era, engines).await;
    conduct.settle();
    let broken = broken.or_else(|| mended.err().map(|error| format!("{error:#}")));
    let mut found: Vec<Breach> =
        broken.into_iter().map(|what| Breach { rule: "start and stop", what }).collect();
    let evidence = settle(era, &mut gateways, &conduct).await;
    if found.is_empty() && !at_rest(era).await {
        let what = format!("still waiting after {SETTLED_WITHIN:?}: {}", watched.last());
        found.push(Breach { rule: "settles", what });
    }
    found.extend(conduct.breaches().into_iter().map(|what| Breach { rule: "answers", what }));
    if watched.dead_lettered() > 0 {
        let what = format!("{} dead letters, and every row is good", watched.dead_lettered());
        found.push(Breach { rule: "dead letters", what });
    }
    let mut held = era.readers.held(number, CUSTOMERS).await?;
    let named = era.damage.unwrap_or(0);
    for (store, lost) in held.iter_mut().zip(watched.lost()) {
        if lost > named {
            let what =
                format!("{lost} identities lost for {}, {named} named by `journal verify`", store.store);
            found.push(Breach { rule: "damage", what });
        }
        store.lost = lost.min(named);
    }
    for (rows, store) in era.rows.iter_mut().zip(&held) {
        *rows += store.rows.len() + store.strange.len();
    }
    found.extend(breaches(&evidence, &held));
    Ok(Outcome {
        breaches: found,
        readings: watched.readings(),
        lost: watched.lost(),
        stored: held[0].rows.len(),
        evidence,
        took: began_at.elapsed(),
    })
}

fn load(round: u32, random: &mut Random) -> Load {
    // Some gateways send often and little, some much at a time.
    let (every_ms, sightings) = [(10, 12), (20, 40), (40, 120)][random.index(3)];
    Load { round, customers: CUSTOMERS, every: Duration::from_millis(every_ms), sightings }
}

/// Waits until every gateway has its answers.
async fn settle(
    era: &mut Era,
    gateways: &mut JoinSet<(crate::gateway::Gateway, Evidence)>,
    conduct: &Conduct,
) -> Evidence {
    let mut evidence = Evidence::default();
    let deadline = tokio::time::Instant::now() + SETTLED_WITHIN;
    loop {
        match tokio::time::timeout_at(deadline, gateways.join_next()).await {
            Ok(None) => return evidence,
            Ok(Some(Ok((gateway, of_gateway)))) => {
                evidence.merge(of_gateway);
                era.gateways.push(gateway);
            }
            Ok(Some(Err(error))) => conduct.breach(format!("a gateway of the torture's own failed: {error}")),
            // They say themselves what was not answered.
            Err(_) if !conduct.has_ended() => conduct.end(),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Waits until the daemon says that nothing waits.
async fn at_rest(era: &Era) -> bool {
    let deadline = Instant::now() + SETTLED_WITHIN;
    while Instant::now() < deadline {
        let admin = *era.admin.borrow();
        if let Some(admin) = admin
            && read(admin).await.is_some_and(|reading| reading.is_at_rest())
        {
            return true;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    false
}

/// Lifts every fault, and starts what is away.
async fn mend(era: &mut Era, engines: &mut Engines) -> anyhow::Result<()> {
    era.disk.free();
    era.withdraw("sync_fails");
    era.withdraw("wall_offset_us");
    era.tcp.set(Mode::Pass);
    era.udp.set(Weather::default());
    engines.mend()?;
    if let Some(daemon) = &mut era.daemon {
        daemon.signal(Signal::CONT)?;
        daemon.check()?;
    }
    era.launch()?;
    era.ready().await
}

async fn act(
    era: &mut Era,
    engines: &mut Engines,
    conduct: &Conduct,
    action: Action,
    random: &mut Random,
) -> anyhow::Result<()> {
    match action {
        Action::Kill => era.kill(),
        Action::Start { killed_after } => start(era, killed_after).await,
        Action::Terminate { killed_after } => terminate(era, killed_after).await,
        Action::SuspendDaemon => era.daemon.as_ref().map_or(Ok(()), |daemon| daemon.signal(Signal::STOP)),
        Action::ResumeDaemon => era.daemon.as_ref().map_or(Ok(()), |daemon| daemon.signal(Signal::CONT)),
        Action::KillEngine(engine) => engines.kill(engine),
        Action::StartEngine(engine) => engines.start_again(engine),
        Action::SuspendEngine(engine) => engines.suspend(engine),
        Action::ResumeEngine(engine) => engines.resume(engine),
        Action::Way(engine, mode) => {
            engines.way_to(engine).set(mode);
            Ok(())
        }
        Action::CutWay(engine) => {
            engines.way_to(engine).cut();
            Ok(())
        }
        Action::Gateways(mode) => {
            era.tcp.set(mode);
            Ok(())
        }
        Action::CutGateways => {
            era.tcp.cut();
            Ok(())
        }
        Action::Datagrams(weather) => {
            era.udp.set(weather);
            Ok(())
        }
        Action::Front(mood) => {
            engines.set_front(mood);
            Ok(())
        }
        Action::FillDisk => era.disk.fill(),
        Action::FreeDisk => {
            era.disk.free();
            Ok(())
        }
        Action::SyncFails(true) => era.order("sync_fails", ""),
        Action::SyncFails(false) => {
            era.withdraw("sync_fails");
            Ok(())
        }
        Action::Wall(seconds) => era.order("wall_offset_us", &(seconds * 1_000_000).to_string()),
        Action::FlipBits => {
            era.kill()?;
            conduct.damage();
            era.damage_journal(random)?;
            start(era, None).await
        }
        Action::LosePower => {
            era.kill()?;
            era.disk.lose_power()?;
            start(era, None).await
        }
    }
}

/// Starts the daemon, by a right clock: one that starts with a clock that is behind takes it for the truth, and refuses
/// what is of now.
async fn start(era: &mut Era, killed_after: Option<Duration>) -> anyhow::Result<()> {
    era.withdraw("wall_offset_us");
    era.launch()?;
    if let Some(after) = killed_after {
        tokio::time::sleep(after).await;
        era.kill()?;
        era.launch()?;
    }
    era.ready().await
}

/// SIGTERM. A daemon that stops by itself says by its code whether something waits; nothing else is a stop.
async fn terminate(era: &mut Era, killed_after: Option<Duration>) -> anyhow::Result<()> {
    era.admin.send_replace(None);
    let Some(mut daemon) = era.daemon.take() else { return Ok(()) };
    daemon.check()?;
    daemon.signal(Signal::TERM)?;
    // One that is suspended hears of nothing else.
    daemon.signal(Signal::CONT)?;
    let Some(after) = killed_after else {
        let status = daemon.ended().await?;
        anyhow::ensure!(matches!(status.code(), Some(0 | 3)), "stopped with {status}");
        return Ok(());
    };
    tokio::time::sleep(after).await;
    drop(daemon);
    Ok(())
}
