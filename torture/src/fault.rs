//! The faults, and what each does when: drawn by a seed, made of few actions.

use std::time::Duration;

use crate::datagrams::Weather;
use crate::engines::Engine;
use crate::front::Mood;
use crate::proxy::Mode;
use crate::random::Random;

/// A step of a fault.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// kill -9 of the daemon.
    Kill,
    /// Starts it, if it does not run; with a time, kills it so long after, ready or not, and starts it again.
    Start {
        killed_after: Option<Duration>,
    },
    /// SIGTERM, and waits for its end; with a time, kills it so long after.
    Terminate {
        killed_after: Option<Duration>,
    },
    SuspendDaemon,
    ResumeDaemon,
    KillEngine(Engine),
    StartEngine(Engine),
    SuspendEngine(Engine),
    ResumeEngine(Engine),
    /// What the proxy before a store does.
    Way(Engine, Mode),
    CutWay(Engine),
    /// What the proxy between gateways and daemon does.
    Gateways(Mode),
    CutGateways,
    Datagrams(Weather),
    Front(Mood),
    FillDisk,
    FreeDisk,
    SyncFails(bool),
    /// The wall clock is wrong by so many seconds.
    Wall(i64),
    /// Kills the daemon, flips bits in a segment of its journal, and starts it.
    FlipBits,
    /// Kills the daemon, and its volume comes back with what was synced.
    LosePower,
}

/// A fault, by the name that tables have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Killed,
    KilledInStart,
    KilledInDrain,
    Drained,
    DaemonSuspended,
    PostgresCrash,
    RedisCrash,
    DynamoDbCrash,
    PostgresSuspended,
    RedisSuspended,
    DynamoDbSuspended,
    StoreCut,
    StoreSlow,
    StoreHalfOpen,
    GatewaysCut,
    GatewaysSlow,
    GatewaysHalfOpen,
    Datagrams,
    Throttled,
    Unprocessed,
    DynamoDbBroken,
    Blackout,
    DiskFull,
    SyncFails,
    FlippedBits,
    ClockStep,
    PowerLoss,
}

impl Fault {
    pub(crate) const ALL: [Self; 27] = [
        Self::Killed,
        Self::KilledInStart,
        Self::KilledInDrain,
        Self::Drained,
        Self::DaemonSuspended,
        Self::PostgresCrash,
        Self::RedisCrash,
        Self::DynamoDbCrash,
        Self::PostgresSuspended,
        Self::RedisSuspended,
        Self::DynamoDbSuspended,
        Self::StoreCut,
        Self::StoreSlow,
        Self::StoreHalfOpen,
        Self::GatewaysCut,
        Self::GatewaysSlow,
        Self::GatewaysHalfOpen,
        Self::Datagrams,
        Self::Throttled,
        Self::Unprocessed,
        Self::DynamoDbBroken,
        Self::Blackout,
        Self::DiskFull,
        Self::SyncFails,
        Self::FlippedBits,
        Self::ClockStep,
        Self::PowerLoss,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Killed => "daemon killed",
            Self::KilledInStart => "daemon killed in its start",
            Self::KilledInDrain => "daemon killed in its drain",
            Self::Drained => "daemon drained and started",
            Self::DaemonSuspended => "daemon suspended",
            Self::PostgresCrash => "PostgreSQL crashed",
            Self::RedisCrash => "Redis killed, data lost",
            Self::DynamoDbCrash => "DynamoDB killed",
            Self::PostgresSuspended => "PostgreSQL suspended",
            Self::RedisSuspended => "Redis suspended",
            Self::DynamoDbSuspended => "DynamoDB suspended",
            Self::StoreCut => "a store cut off",
            Self::StoreSlow => "a store slow",
            Self::StoreHalfOpen => "a store half open",
            Self::GatewaysCut => "gateways cut off",
            Self::GatewaysSlow => "gateways slow",
            Self::GatewaysHalfOpen => "gateways half open",
            Self::Datagrams => "datagrams dropped, doubled, reordered",
            Self::Throttled => "DynamoDB throttles",
            Self::Unprocessed => "DynamoDB leaves items unprocessed",
            Self::DynamoDbBroken => "DynamoDB breaks, answers cut",
            Self::Blackout => "both stores away, daemon killed",
            Self::DiskFull => "disk full",
            Self::SyncFails => "fsync fails",
            Self::FlippedBits => "bits flipped in the journal",
            Self::ClockStep => "wall clock stepped",
            Self::PowerLoss => "power lost",
        }
    }

    /// Whether it needs a volume that can be mounted.
    pub(crate) const fn needs_volume(self) -> bool {
        matches!(self, Self::DiskFull | Self::PowerLoss)
    }

    /// What it does, in milliseconds from the round's begin, all within so many.
    pub(crate) fn actions(self, load_ms: u64, random: &mut Random) -> Vec<(u64, Action)> {
        let at = random.within(load_ms / 8..load_ms * 5 / 8);
        let lasts = random.within(load_ms / 8..load_ms * 3 / 8);
        let end = at + lasts;
        let soon = Duration::from_millis(random.within(1..150));
        let store = Engine::ALL[random.index(Engine::ALL.len())];
        let start = Action::Start { killed_after: None };
        let way = |mode| vec![(at, Action::Way(store, mode)), (end, Action::Way(store, Mode::Pass))];
        let gateways = |mode| vec![(at, Action::Gateways(mode)), (end, Action::Gateways(Mode::Pass))];
        let crash = |engine| vec![(at, Action::KillEngine(engine)), (end, Action::StartEngine(engine))];
        let suspend = |engine| vec![(at, Action::SuspendEngine(engine)), (end, Action::ResumeEngine(engine))];
        let front = |mood| vec![(at, Action::Front(mood)), (end, Action::Front(Mood::default()))];
        let slow = Mode::Delay(Duration::from_millis(random.within(5..120)));
        let hold = if random.percent(50) { Mode::Hold } else { Mode::HoldAnswers };
        match self {
            Self::Killed => vec![(at, Action::Kill), (at + random.within(0..300), start)],
            Self::KilledInStart => {
                vec![(at, Action::Kill), (at, Action::Start { killed_after: Some(soon) })]
            }
            Self::KilledInDrain => vec![(at, Action::Terminate { killed_after: Some(soon) }), (at, start)],
            Self::Drained => vec![(at, Action::Terminate { killed_after: None }), (at, start)],
            Self::DaemonSuspended => vec![(at, Action::SuspendDaemon), (end, Action::ResumeDaemon)],
            Self::PostgresCrash => crash(Engine::Postgres),
            Self::RedisCrash => crash(Engine::Redis),
            Self::DynamoDbCrash => crash(Engine::DynamoDb),
            Self::PostgresSuspended => suspend(Engine::Postgres),
            Self::RedisSuspended => suspend(Engine::Redis),
            Self::DynamoDbSuspended => suspend(Engine::DynamoDb),
            Self::StoreCut => [vec![(at, Action::CutWay(store))], way(Mode::Refuse)].concat(),
            Self::StoreSlow => way(slow),
            Self::StoreHalfOpen => [way(hold), vec![(end, Action::CutWay(store))]].concat(),
            Self::GatewaysCut => vec![(at, Action::CutGateways), ((at + end) / 2, Action::CutGateways)],
            Self::GatewaysSlow => gateways(slow),
            Self::GatewaysHalfOpen => [gateways(hold), vec![(end, Action::CutGateways)]].concat(),
            Self::Datagrams => {
                let weather = Weather {
                    dropped: random.within(0..40),
                    doubled: random.within(0..40),
                    late: random.within(0..50),
                    late_ms: random.within(5..400),
                };
                vec![(0, Action::Datagrams(weather)), (load_ms, Action::Datagrams(Weather::default()))]
            }
            Self::Throttled => front(Mood { throttled: random.within(20..90), ..Mood::default() }),
            Self::Unprocessed => front(Mood { left: random.within(30..95), ..Mood::default() }),
            Self::DynamoDbBroken => {
                front(Mood { broken: random.within(5..40), cut: random.within(5..40), ..Mood::default() })
            }
            Self::Blackout => blackout(at, end, start),
            Self::DiskFull => vec![(at, Action::FillDisk), (end, Action::FreeDisk)],
            Self::SyncFails => {
                let mut actions = vec![(at, Action::SyncFails(true)), (end, Action::SyncFails(false))];
                if random.percent(60) {
                    let middle = (at + end) / 2;
                    actions.extend([(middle, Action::Kill), (middle + 100, start)]);
                }
                actions
            }
            Self::FlippedBits => {
                // Stores away, so that something waits in what is damaged.
                let mut actions = blackout(at, end, start);
                actions.push((end.saturating_sub(lasts / 4), Action::FlipBits));
                actions
            }
            Self::ClockStep => {
                let seconds = i64::try_from(random.within(10..6 * 60 * 60)).unwrap_or(10);
                let sign = if random.percent(50) { 1 } else { -1 };
                vec![(at, Action::Wall(sign * seconds)), (end, Action::Wall(0))]
            }
            Self::PowerLoss => vec![(at, Action::LosePower)],
        }
    }
}

/// Both stores are away, and the daemon is killed and started meanwhile.
fn blackout(at: u64, end: u64, start: Action) -> Vec<(u64, Action)> {
    let mut actions = Vec::new();
    for engine in [Engine::Postgres, Engine::DynamoDb] {
        actions.extend([(at, Action::Way(engine, Mode::Refuse)), (at, Action::CutWay(engine))]);
        actions.push((end, Action::Way(engine, Mode::Pass)));
    }
    let middle = (at + end) / 2;
    actions.extend([(middle, Action::Kill), (middle + 50, start)]);
    actions
}
