//! A scenario: who is simulated, how much is sent and when, and what must hold. Read from TOML, every key overridable.

mod reading;
mod span;

use serde::{Deserialize, Serialize};

pub(crate) use self::reading::{ScenarioError, parse, read};
pub(crate) use self::span::Span;

/// As many sessions as a daemon of that size is meant for.
const MAX_GATEWAYS: u32 = 100_000;
/// With [`MAX_BEACONS`] each, their beacons still fit 32 bits.
const MAX_STORES: u32 = 1_000_000;
/// An entrance, a counter and a table.
const MIN_BEACONS: u16 = 3;
const MAX_BEACONS: u16 = 100;
/// With a number behind it, it still fits a gateway's id.
const MAX_GATEWAY_NAME_BYTES: usize = 50;
const MAX_LEVEL: f64 = 100.0;

/// What a run does. Every key has a default, so that a file names only what it changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Scenario {
    /// For people and reports.
    pub(crate) name: String,
    /// The same seed makes the same bytes.
    pub(crate) seed: u64,
    pub(crate) population: PopulationPlan,
    pub(crate) shares: Shares,
    pub(crate) sessions: Sessions,
    pub(crate) load: Load,
    pub(crate) offline: Offline,
    pub(crate) sample: Sample,
    pub(crate) verdict: VerdictPlan,
}

/// Who is there: customers, and the restaurants and gateways that hear them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PopulationPlan {
    pub(crate) customers: u32,
    pub(crate) stores: u32,
    pub(crate) beacons_per_store: u16,
    /// Each reports for the stores of a chain, which are dealt out evenly, and hears the customers of that chain.
    pub(crate) gateways: u32,
    /// The share of customers that is in a store at once, where the curve is at its height and the level 1.
    pub(crate) present: f64,
    /// How long a visit lasts, on average.
    pub(crate) stay: Span,
    /// How often who is there is sighted, on average.
    pub(crate) sighted_every: Span,
    /// The share of visits to another chain than one's own: such customers are reported by several gateways.
    pub(crate) guests: f64,
    pub(crate) visits: Visits,
    pub(crate) curve: Curve,
    /// The time of day at which the run begins, `HH:MM`, where the curve knows one.
    pub(crate) time_of_day: String,
}

/// Who comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Visits {
    /// Anybody who is not there: arrivals are a Poisson process. At the start as many are there as should be.
    Random,
    /// One after the other, each once, at a rate that all have come by the end: at the start nobody is there.
    EachOnce,
}

/// How arrivals go with the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Curve {
    Flat,
    /// A height at lunch and one at dinner.
    LunchDinner,
}

/// Shares of all sightings that are something else than an eligible one. What is left is eligible: identified, or a
/// duplicate within the minute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shares {
    pub(crate) low_confidence: f64,
    /// Of beacons that nobody registered.
    pub(crate) unknown_beacon: f64,
    /// Of copied UUIDs.
    pub(crate) beacon_mismatch: f64,
    /// Of beacons that are registered as `inactive` or `maintenance`.
    pub(crate) beacon_inactive: f64,
    /// Of another chain's stores. Only where gateways are registered: with `--insecure-dev` nothing is forbidden.
    pub(crate) forbidden: f64,
    pub(crate) too_old: f64,
    pub(crate) clock_skew: f64,
    /// Malformed: no customer id, a bad one, an RSSI no radio has.
    pub(crate) invalid: f64,
}

/// How gateways speak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sessions {
    /// A gateway sends what it heard so often.
    pub(crate) report_every: Span,
    /// Sightings in a frame at most; over UDP also what a datagram holds.
    pub(crate) batch: u16,
    /// Frames without an answer at most, each gateway.
    pub(crate) in_flight: u32,
    pub(crate) ack_level: AckLevelAsked,
    /// What gateways are called: `ID-000001` and so on.
    pub(crate) gateway: String,
    /// On loopback, speak from addresses all over 127.0.0.0/8.
    pub(crate) spread_addresses: bool,
    /// How long all gateways together may take to connect before the run begins.
    pub(crate) connect_within: Span,
}

/// The level of acknowledgement that gateways ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AckLevelAsked {
    /// Whatever the daemon's is.
    Default,
    Journal,
    Stored,
}

/// How long, and at what level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Load {
    /// Everything, warm-up included.
    pub(crate) duration: Span,
    /// Left out of every figure but the counts of what was sent, lost and wrong.
    pub(crate) warm_up: Span,
    pub(crate) profile: Profile,
    /// The highest level of the profiles that rise.
    pub(crate) peak: f64,
    /// Levels instead of a profile's: each is reached along a straight line from the one before.
    pub(crate) stages: Vec<Stage>,
    /// How long answers are awaited after the last frame.
    pub(crate) drain: Span,
}

/// How the level goes over the time of a run; 1 is the population as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    /// A tenth of the level throughout: does it work at all?
    Smoke,
    /// Rises to 1 in the first tenth, stays.
    Average,
    /// Rises to `peak` over the first third, stays for a third, falls.
    Stress,
    /// 1, and `peak` at once for the middle tenth.
    Spike,
    /// 1 throughout, for hours.
    Soak,
    /// Rises from nothing to `peak` over the whole time, until it breaks.
    Breakpoint,
}

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stage {
    /// How long.
    pub(crate) lasts: Span,
    /// The level at its end.
    pub(crate) level: f64,
}

/// Gateways that are cut off for a while, hear all the same, and return all at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Offline {
    /// The share of gateways.
    pub(crate) gateways: f64,
    /// How long they were away. Longer than `returns_after`: they were so before the run began.
    pub(crate) lasts: Span,
    /// When they return, after the run's begin.
    pub(crate) returns_after: Span,
}

/// What is looked at from outside, beside the acks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sample {
    /// Identities a second that are looked for in the stores until they are there.
    pub(crate) stored_per_second: f64,
    /// How often each store is asked for them: what the times to it are right to.
    pub(crate) look_every: Span,
    /// Customers a second whose latest identity is read from the cache and from the system of record.
    pub(crate) reads_per_second: f64,
    /// A sampled identity that is not found so long after its ack is missing.
    pub(crate) missing_after: Span,
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct VerdictPlan {
    /// Objectives, such as `ack.p99<1s`.
    pub(crate) slo: Vec<String>,
    /// A frame made later than this after its time is late by the generator's fault.
    pub(crate) lag_limit: Span,
    /// More such frames than this share, and the run is invalid.
    pub(crate) lag_share: f64,
}

impl Scenario {
    /// The same with so many times as many customers, stores and gateways: everything is in proportion but the time.
    pub(crate) fn scaled(mut self, scale: f64) -> Self {
        let population = &mut self.population;
        population.customers = scaled(population.customers, scale);
        population.stores = scaled(population.stores, scale);
        population.gateways = scaled(population.gateways, scale).min(population.stores);
        self
    }

    /// What is wrong with it as a whole, if anything is: one line that names the keys.
    pub(crate) fn refusal(&self) -> Option<String> {
        let Self { population, shares, sessions, load, offline, sample, verdict, .. } = self;
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        let is_rate = |rate: f64| rate == 0.0 || (0.001..=1e6).contains(&rate);
        let rules = [
            (population.customers >= 1, "population.customers must be 1 or more"),
            ((1..=MAX_GATEWAYS).contains(&population.gateways), "population.gateways must be 1 to 100000"),
            (
                population.stores >= population.gateways && population.stores <= MAX_STORES,
                "population.stores must be at least population.gateways, and at most 1000000",
            ),
            (
                (MIN_BEACONS..=MAX_BEACONS).contains(&population.beacons_per_store),
                "population.beacons_per_store must be 3 to 100",
            ),
            (
                is_share(population.present) && is_share(population.guests),
                "population.present and population.guests are shares: 0 to 1",
            ),
            (
                population.sighted_every >= Span::milliseconds(100)
                    && population.stay >= Span::milliseconds(100),
                "population.sighted_every and population.stay must be 100ms or more",
            ),
            (
                population.time_of_day_s().is_some(),
                "population.time_of_day must be a time of day such as \"12:30\"",
            ),
            (
                shares.all().into_iter().all(is_share) && shares.eligible() >= -1e-9,
                "the shares must each be 0 to 1, and not add up to more than 1",
            ),
            ((1..=4_096).contains(&sessions.batch), "sessions.batch must be 1 to 4096"),
            ((1..=65_536).contains(&sessions.in_flight), "sessions.in_flight must be 1 to 65536"),
            (sessions.report_every >= Span::milliseconds(10), "sessions.report_every must be 10ms or more"),
            (
                (1..=MAX_GATEWAY_NAME_BYTES).contains(&sessions.gateway.len())
                    && !sessions.gateway.chars().any(char::is_control),
                "sessions.gateway must be 1 to 50 bytes without control characters",
            ),
            (load.duration > load.warm_up, "load.duration must be longer than load.warm_up"),
            (
                load.peak.is_finite() && load.peak > 0.0 && load.peak <= MAX_LEVEL,
                "load.peak must be above 0 and at most 100",
            ),
            (
                load.stages.iter().all(|stage| (0.0..=MAX_LEVEL).contains(&stage.level)),
                "the level of load.stages must be 0 to 100",
            ),
            (is_share(offline.gateways), "offline.gateways is a share: 0 to 1"),
            (
                [sample.stored_per_second, sample.reads_per_second].iter().all(|rate| is_rate(*rate)),
                "sample.stored_per_second and sample.reads_per_second must be 0, or 0.001 to 1000000",
            ),
            (is_share(verdict.lag_share), "verdict.lag_share is a share: 0 to 1"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, rule)| rule.to_owned())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and `as` saturates")]
fn scaled(number: u32, scale: f64) -> u32 {
    (f64::from(number) * scale).round().max(1.0) as u32
}

impl PopulationPlan {
    /// Seconds since midnight at which the run begins; none if it is no time of day.
    pub(crate) fn time_of_day_s(&self) -> Option<u32> {
        let (hours, minutes) = self.time_of_day.split_once(':')?;
        let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
        (hours < 24 && minutes < 60).then_some(hours * 3_600 + minutes * 60)
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "unnamed".to_owned(),
            seed: 1,
            population: PopulationPlan::default(),
            shares: Shares::default(),
            sessions: Sessions::default(),
            load: Load::default(),
            offline: Offline::default(),
            sample: Sample::default(),
            verdict: VerdictPlan::default(),
        }
    }
}

impl Default for PopulationPlan {
    fn default() -> Self {
        Self {
            customers: 10_000_000,
            stores: 100_000,
            beacons_per_store: 10,
            gateways: 2_000,
            present: 0.1,
            stay: Span::minutes(45),
            sighted_every: Span::seconds(10),
            guests: 0.0,
            visits: Visits::Random,
            curve: Curve::LunchDinner,
            time_of_day: "12:30".to_owned(),
        }
    }
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            low_confidence: 0.15,
            unknown_beacon: 0.005,
            beacon_mismatch: 0.001,
            beacon_inactive: 0.005,
            forbidden: 0.0,
            too_old: 0.000_5,
            clock_skew: 0.001,
            invalid: 0.001,
        }
    }
}

impl Shares {
    /// The share of eligible sightings, which is what is left.
    pub(crate) fn eligible(&self) -> f64 {
        1.0 - self.all().iter().sum::<f64>()
    }

    fn all(&self) -> [f64; 8] {
        [
            self.low_confidence,
            self.unknown_beacon,
            self.beacon_mismatch,
            self.beacon_inactive,
            self.forbidden,
            self.too_old,
            self.clock_skew,
            self.invalid,
        ]
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            report_every: Span::seconds(1),
            batch: 64,
            in_flight: 64,
            ack_level: AckLevelAsked::Default,
            gateway: "gateway".to_owned(),
            spread_addresses: true,
            connect_within: Span::seconds(60),
        }
    }
}

impl Default for Load {
    fn default() -> Self {
        Self {
            duration: Span::seconds(60),
            warm_up: Span::seconds(10),
            profile: Profile::Soak,
            peak: 2.0,
            stages: Vec::new(),
            drain: Span::seconds(60),
        }
    }
}

impl Default for Offline {
    fn default() -> Self {
        Self { gateways: 0.0, lasts: Span::minutes(60), returns_after: Span::seconds(0) }
    }
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            stored_per_second: 100.0,
            look_every: Span::milliseconds(50),
            reads_per_second: 50.0,
            missing_after: Span::seconds(30),
        }
    }
}

impl Default for VerdictPlan {
    fn default() -> Self {
        Self {
            slo: [
                "ack.p99<1s",
                "stored.p99<1s",
                "sampled.missing==0",
                "lost==0",
                "undecided_left==0",
                "wrong==0",
            ]
            .map(str::to_owned)
            .into(),
            lag_limit: Span::milliseconds(100),
            lag_share: 0.01,
        }
    }
}
