//! Measurements for tests: of nothing, of a quiet run, and of five minutes with a stall.

use std::collections::BTreeMap;

use beacon_protocol::OutcomeCode;
use hdrhistogram::Histogram;

use super::{
    Counts, FORMAT, HeatMap, Host, Judged, Latency, Measurement, Point, Sampled, Series, Stamp, Verdict,
    VerdictKind, Window, metric,
};
use crate::figures::rounded;

const SECONDS: u32 = 300;
const WARM_UP_S: u32 = 70;
/// What the daemon is sent, each second.
const RATE: u64 = 100_000;
const STALL_AT_S: u32 = 180;
const STALL_US: u64 = 1_400_000;

pub(crate) fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap();
    values.into_iter().for_each(|value| histogram.record(value).unwrap());
    histogram
}

pub(crate) fn latency(values: impl IntoIterator<Item = u64>) -> Latency {
    Latency::of(&histogram(values)).unwrap()
}

/// Nothing was asked, and nothing answered.
pub(crate) fn empty() -> Measurement {
    Measurement {
        format: FORMAT,
        verdict: Verdict {
            kind: VerdictKind::Invalid,
            objectives: Vec::new(),
            invalid_because: vec!["nothing was measured".to_owned()],
            caveats: Vec::new(),
        },
        stamp: stamp(),
        window: Window { warm_up_s: 0.0, measured_s: 0.0, drained_s: 0.0 },
        counts: Counts::default(),
        latencies: BTreeMap::new(),
        series: Series::default(),
        heat: HeatMap::default(),
    }
}

/// Ten seconds in which nothing happened but a thousand sightings.
pub(crate) fn quiet() -> Measurement {
    let counts = Counts {
        sent: 1_000,
        sent_measured: 1_000,
        acked: 1_000,
        acked_measured: 1_000,
        ..Counts::default()
    };
    let point = |at_s: u32| Point { at_s: f64::from(at_s), sent: 100, acked: 100, ..Point::default() };
    Measurement {
        verdict: Verdict::of(Vec::new(), Vec::new(), Vec::new()),
        window: Window { warm_up_s: 0.0, measured_s: 10.0, drained_s: 0.0 },
        counts,
        latencies: [(metric::ACK.to_owned(), latency((1..=1_000).map(|value| value * 10)))].into(),
        series: Series { every_s: 1.0, points: (1..=10).map(point).collect() },
        ..empty()
    }
}

/// The lunch of 10 million customers, with a daemon that stood still for 1.4 s.
pub(crate) fn stalled() -> Measurement {
    let mut random = Random(fastrand::Rng::with_seed(7));
    let rows_us = (0..=56).map(|row| rounded(10.0 * 10_f64.powf(f64::from(row) / 8.0))).collect::<Vec<_>>();
    let mut histograms: BTreeMap<&str, Histogram<u64>> = BTreeMap::new();
    let (mut points, mut columns) = (Vec::new(), Vec::new());
    for second in 0..SECONDS {
        let (point, column) = random.second(second, &rows_us, &mut histograms);
        points.push(point);
        columns.push(column);
    }
    let sum = |of: fn(&Point) -> u64| points.iter().map(of).sum::<u64>();
    let outcomes: BTreeMap<String, u64> = OutcomeCode::ALL
        .into_iter()
        .enumerate()
        .map(|(index, code)| {
            (code.label().to_owned(), points.iter().map(|point| point.outcomes[index]).sum())
        })
        .collect();
    let counts = Counts {
        sent: sum(|point| point.sent),
        sent_measured: u64::from(SECONDS - WARM_UP_S) * RATE,
        acked: sum(|point| point.sent),
        acked_measured: u64::from(SECONDS - WARM_UP_S) * RATE,
        undecided: sum(|point| point.outcomes[0]),
        repeated: 12,
        frames: sum(|point| point.sent) / 50,
        retransmissions: 214,
        sessions: 2_000,
        meant: outcomes.clone(),
        outcomes,
        sampled: [
            ("events".to_owned(), Sampled { found: 22_871, missing: 0 }),
            ("record".to_owned(), Sampled { found: 22_871, missing: 0 }),
        ]
        .into(),
        ..Counts::default()
    };
    let latencies =
        histograms.iter().map(|(name, histogram)| ((*name).to_owned(), Latency::of(histogram).unwrap()));
    let mut measurement = Measurement {
        window: Window {
            warm_up_s: WARM_UP_S.into(),
            measured_s: (SECONDS - WARM_UP_S).into(),
            drained_s: 0.4,
        },
        counts,
        latencies: latencies.collect(),
        series: Series { every_s: 1.0, points },
        heat: HeatMap { every_s: 1.0, rows_us, columns },
        ..empty()
    };
    let objectives = [
        "ack.p99<1s",
        "ack.p99.9<1s",
        "stored.p99<1s",
        "read.p99<1s",
        "lost==0",
        "wrong==0",
        "rate>=90000/s",
    ];
    let judged: Vec<Judged> =
        objectives.map(|text| text.parse::<crate::slo::Objective>().unwrap().judge(&measurement)).into();
    let caveats = [
        "the store of events was dynamodb-stub, not DynamoDB",
        "generator, daemon and stores shared the same 2 cores",
    ];
    measurement.verdict = Verdict::of(judged, Vec::new(), caveats.map(str::to_owned).into());
    measurement
}

fn stamp() -> Stamp {
    let scenario = crate::scenario::read("ten-million-lunch", &[]).unwrap();
    Stamp {
        version: "0.1.0".to_owned(),
        revision: "8b52d7541c7e+".to_owned(),
        daemon_version: "0.1.0".to_owned(),
        began_at: "2026-11-23T11:30:00Z".to_owned(),
        host: Host {
            processor: "Intel Xeon".to_owned(),
            cores: 2,
            memory_bytes: 25_000_000_000,
            kernel: "Linux 6.18.5".to_owned(),
            open_files_limit: 20_000,
        },
        targets: vec!["tcp://127.0.0.1:7700".to_owned()],
        stores: [("record", "PostgreSQL 15.18"), ("cache", "Redis 7.0.15"), ("events", "dynamodb-stub")]
            .map(|(part, store)| (part.to_owned(), store.to_owned()))
            .into(),
        ack_level: "journal".to_owned(),
        scenario: toml::to_string(&scenario).unwrap(),
        scenario_name: scenario.name,
        scale: 1.0,
        seed: 1,
        fingerprint: "5f0c9d3ab2e81764".to_owned(),
        shards: vec!["1/1".to_owned()],
        timer_step_us: 58,
        look_every_us: 50_000,
    }
}

struct Random(fastrand::Rng);

impl Random {
    /// About `middle`, with a tail as latencies have it.
    fn about(&mut self, middle: f64, spread: f64) -> u64 {
        let bell: f64 = (0..12).map(|_| self.0.f64()).sum::<f64>() - 6.0;
        let tail = if self.0.f64() < 0.004 { self.0.f64() * 3.0 } else { 0.0 };
        rounded((middle * (bell * spread + tail).exp()).max(1.0))
    }

    fn second(
        &mut self,
        second: u32,
        rows_us: &[u64],
        histograms: &mut BTreeMap<&'static str, Histogram<u64>>,
    ) -> (Point, Vec<u64>) {
        let warm = second >= WARM_UP_S;
        let mut of_second = histogram([]);
        let mut column = vec![0; rows_us.len()];
        let busy = 1.0 + 0.25 * (f64::from(second) / 23.0).sin();
        let mut add = |name, value: u64| {
            let histogram = histograms.entry(name).or_insert_with(|| histogram([]));
            if warm {
                histogram.record(value).unwrap();
            }
        };
        for frame in 0..2_000_u64 {
            let into_us = frame * 500;
            let waits = if second == STALL_AT_S {
                STALL_US.saturating_sub(into_us)
            } else if second == STALL_AT_S + 1 {
                STALL_US.saturating_sub(1_000_000 + into_us)
            } else {
                0
            };
            let ack = self.about(2_600.0 * busy, 0.38);
            add(metric::ACK, waits + ack);
            add(metric::ACK_UNCORRECTED, if frame % 250 == 0 { waits + ack } else { ack });
            add(metric::LAG, self.about(38.0, 0.5));
            of_second.record(waits + ack).unwrap();
            let row = rows_us.partition_point(|&bound| bound < waits + ack).min(rows_us.len() - 1);
            column[row] += 1;
            if frame % 20 == 0 {
                let (record, events) = (self.about(84_000.0 * busy, 0.3), self.about(130_000.0 * busy, 0.3));
                add(metric::STORED_RECORD, waits + record);
                add(metric::STORED_EVENTS, waits + events);
                add(metric::STORED, waits + record.max(events));
                for stage in ["decode", "journal_write", "record_write", "events_write", "acked"] {
                    add_stage(&mut add, stage, self.about(1_400.0, 0.4));
                }
            }
            if frame % 40 == 0 {
                let (cache, record) = (self.about(310.0, 0.35), self.about(900.0, 0.45));
                add(metric::READ_CACHE, cache);
                add(metric::READ_RECORD, record);
                add(metric::READ, cache);
                add(metric::READ, record);
            }
        }
        (self.point(second, busy, &of_second), column)
    }

    fn point(&mut self, second: u32, busy: f64, of_second: &Histogram<u64>) -> Point {
        let at = |quantile| Some(of_second.value_at_quantile(quantile));
        let (stalls, catches_up) = (second == STALL_AT_S, second == STALL_AT_S + 1);
        let acked = if stalls {
            RATE / 20
        } else if catches_up {
            RATE * 39 / 20
        } else {
            RATE
        };
        let waiting = if stalls || catches_up { 24_000 } else { 1_500 };
        Point {
            at_s: f64::from(second + 1),
            sent: RATE,
            acked,
            outcomes: outcomes_of(acked, second >= WARM_UP_S),
            in_flight: if stalls { 1_400 } else { 6 },
            ack_p50_us: at(0.5),
            ack_p99_us: at(0.99),
            ack_max_us: Some(of_second.max()),
            lag_p99_us: Some(self.about(110.0, 0.3)),
            lag_max_us: Some(self.about(420.0, 0.6)),
            stored_p99_us: Some(self.about(290_000.0, 0.2)),
            generator_cores: Some(0.31 + self.0.f64() * 0.04),
            daemon_cores: Some(if stalls { 0.05 } else { 0.62 * busy + self.0.f64() * 0.05 }),
            daemon_memory_bytes: Some(188_000_000 + u64::from(second.min(140)) * 1_100_000),
            waiting_record: Some(self.about(f64::from(waiting), 0.2)),
            waiting_events: Some(self.about(f64::from(waiting) * 2.2, 0.25)),
        }
    }
}

fn add_stage(add: &mut impl FnMut(&'static str, u64), stage: &str, value: u64) {
    let (name, value) = match stage {
        "decode" => ("daemon.decode", value / 900 + 1),
        "journal_write" => ("daemon.journal_write", value / 4 + 1),
        "record_write" => ("daemon.record_write", value * 40),
        "events_write" => ("daemon.events_write", value * 60),
        _ => ("daemon.acked", value),
    };
    add(name, value);
}

fn outcomes_of(acked: u64, warm: bool) -> [u64; 11] {
    let identified = if warm { acked * 167 / 1_000 } else { acked * 420 / 1_000 };
    let mut outcomes = [
        acked / 20_000,
        acked / 1_000,
        acked / 1_000,
        acked / 2_000,
        acked / 200,
        acked / 1_000,
        acked / 200,
        0,
        acked * 15 / 100,
        0,
        identified,
    ];
    outcomes[9] = acked - outcomes[1..].iter().sum::<u64>();
    outcomes
}
