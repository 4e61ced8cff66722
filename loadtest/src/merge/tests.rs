//! Parts of a run made one, and what does not make one.

use std::time::Duration;

use super::*;
use crate::artifacts::{DOCUMENT, INTERVAL_LOG, IntervalLog};
use crate::measurement::{HeatMap, VerdictKind, sample};

/// Part `number` of two: it began so many seconds after noon, and answers took so long.
fn part(number: u32, began_s: u32, acks: impl IntoIterator<Item = u64>) -> Measurement {
    let mut part = sample::quiet();
    part.stamp.shards = vec![format!("{number}/2")];
    part.stamp.began_at = format!("2026-11-23T12:00:{began_s:02}Z");
    part.stamp.fingerprint = format!("print-{number}");
    part.latencies = [("ack".to_owned(), sample::latency(acks))].into();
    part.heat = HeatMap { every_s: 1.0, rows_us: vec![10, 100, 1_000], columns: vec![vec![1, 0, 2]; 10] };
    part.verdict = Verdict::of(judged(&part, &["ack.p99<1ms", "lost==0"]), Vec::new(), Vec::new());
    part
}

fn judged(measurement: &Measurement, objectives: &[&str]) -> Vec<Judged> {
    objectives.iter().map(|text| text.parse::<Objective>().unwrap().judge(measurement)).collect()
}

#[test]
fn the_merged_percentile_is_that_of_all_answers_and_no_mean() {
    // 99% of the one are fast and 1% slow; every second of the other is slow.
    let fast = part(1, 0, (0..9_900).map(|_| 100).chain((0..100).map(|_| 50_000)));
    let slow = part(2, 0, (0..50).map(|_| 100).chain((0..50).map(|_| 50_000)));
    assert_eq!((fast.latencies["ack"].p99, fast.verdict.kind), (100, VerdictKind::Pass));
    let merged = merge(vec![slow, fast]).unwrap();
    let ack = &merged.latencies["ack"];
    // Of 10,100 answers 9,950 were fast: 98.5%.
    assert_eq!((ack.count, ack.p50, ack.p99), (10_100, 100, sample::latency([50_000]).max));
    assert_eq!(merged.verdict.kind, VerdictKind::Fail);
    assert_eq!(
        merged.verdict.objectives.iter().map(|judged| judged.holds).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!((merged.counts.sent, merged.counts.acked_measured), (2_000, 2_000));
    assert_eq!(merged.stamp.shards, ["1/2", "2/2"]);
    assert_eq!(merged.stamp.fingerprint, "print-1, print-2");
}

#[test]
fn what_was_seen_at_the_same_time_is_added() {
    let (first, mut late) = (part(1, 10, [1]), part(2, 13, [1]));
    late.series.points[0].outcomes[10] = 7;
    late.series.points[0].ack_p99_us = Some(900);
    let merged = merge(vec![first, late]).unwrap();
    let sent: Vec<u64> = merged.series.points.iter().map(|point| point.sent).collect();
    assert_eq!(sent, [100, 100, 100, 200, 200, 200, 200, 200, 200, 200, 100, 100, 100]);
    let fourth = &merged.series.points[3];
    assert_eq!((fourth.at_s, fourth.outcomes[10], fourth.ack_p99_us), (4.0, 7, Some(900)));
    assert_eq!(merged.heat.columns.len(), 13);
    assert_eq!((&merged.heat.columns[2], &merged.heat.columns[3]), (&vec![1, 0, 2], &vec![2, 0, 4]));
    assert!(merged.verdict.caveats.contains(&"the parts began up to 3.0 s apart".to_owned()));
}

#[test]
fn one_daemon_is_told_once_and_several_are_added() {
    let with_daemon = |number, count: u64, cores| {
        let mut part = part(number, 0, [1]);
        part.latencies.insert("daemon.acked".to_owned(), sample::latency(1..=count));
        for point in &mut part.series.points {
            (point.daemon_cores, point.generator_cores) = (Some(cores), Some(0.25));
            (point.daemon_memory_bytes, point.in_flight) = (Some(1_000), 3);
        }
        part
    };
    let merged = merge(vec![with_daemon(1, 50, 0.5), with_daemon(2, 60, 0.75)]).unwrap();
    let point = merged.series.points[4].clone();
    assert_eq!((merged.latencies["daemon.acked"].count, point.daemon_cores), (60, Some(0.75)));
    assert_eq!(
        (point.generator_cores, point.daemon_memory_bytes, point.in_flight),
        (Some(0.5), Some(1_000), 6)
    );
    let mut elsewhere = with_daemon(2, 60, 0.75);
    elsewhere.stamp.targets = vec!["tcp://10.0.0.2:7700".to_owned()];
    let merged = merge(vec![with_daemon(1, 50, 0.5), elsewhere]).unwrap();
    let point = merged.series.points[4].clone();
    assert_eq!((merged.latencies["daemon.acked"].count, point.daemon_cores), (110, Some(1.25)));
    assert_eq!(point.daemon_memory_bytes, Some(2_000));
}

#[test]
fn a_finer_part_is_laid_over_a_coarser_one() {
    let (mut coarse, fine) = (part(1, 0, [1]), part(2, 0, [1]));
    coarse.series.every_s = 5.0;
    coarse.series.points.truncate(2);
    for (point, at_s) in coarse.series.points.iter_mut().zip([5.0, 10.0]) {
        (point.at_s, point.sent) = (at_s, 500);
    }
    let merged = merge(vec![coarse, fine]).unwrap();
    let sent: Vec<(f64, u64)> = merged.series.points.iter().map(|point| (point.at_s, point.sent)).collect();
    assert_eq!((merged.series.every_s, sent), (5.0, vec![(5.0, 1_000), (10.0, 1_000)]));
}

#[test]
fn parts_that_are_no_whole_are_refused_or_invalid() {
    let one = || part(1, 0, [1]);
    let error = |parts| merge(parts).unwrap_err().to_string();
    assert_eq!(error(vec![one(), one()]), "part 1/2 is there twice");
    let mut other = part(2, 0, [1]);
    other.stamp.seed = 9;
    assert_eq!(error(vec![one(), other]), "the parts are not of the same run: the seed differs, 1 and 9");
    let mut other = part(2, 0, [1]);
    other.stamp.scenario = other.stamp.scenario.replace("gateways = 2000", "gateways = 1000");
    let told = error(vec![one(), other]);
    assert!(told.ends_with("differs, gateways = 2000 and gateways = 1000"), "{told}");
    let mut other = part(2, 0, [1]);
    other.stamp.shards = vec!["2/3".to_owned()];
    assert!(error(vec![one(), other]).contains("\"2/3\""));

    let parts = ["1/3", "3/3"].map(|shard| {
        let mut part = one();
        part.stamp.shards = vec![shard.to_owned()];
        part
    });
    let merged = merge(parts.into()).unwrap();
    assert_eq!(merged.verdict.kind, VerdictKind::Invalid);
    assert_eq!(merged.verdict.invalid_because, ["parts are missing: 2/3"]);

    let mut starved = part(2, 0, [1]);
    starved.verdict.invalid_because = vec!["the generator was late".to_owned()];
    starved.verdict.caveats = vec!["it was interrupted".to_owned()];
    let merged = merge(vec![one(), starved]).unwrap();
    assert_eq!(merged.verdict.kind, VerdictKind::Invalid);
    assert_eq!(merged.verdict.invalid_because, ["part 2/2: the generator was late"]);
    assert!(merged.verdict.caveats.contains(&"part 2/2: it was interrupted".to_owned()));
}

#[test]
fn the_command_writes_every_file_and_the_logs_as_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut reports = Vec::new();
    for number in 1..=2_u32 {
        let of_part = directory.path().join(number.to_string());
        let part = part(number, number * 5, [100, 200]);
        artifacts::write_all(&of_part, &part).unwrap();
        let began_at_us = stamps::began_at_us(&part).unwrap();
        let mut log = IntervalLog::create(&of_part.join(INTERVAL_LOG), began_at_us).unwrap();
        for second in 0..2 {
            let (start, second_long) = (Duration::from_secs(second), Duration::from_secs(1));
            log.write("ack", start, second_long, &sample::histogram([100, 200])).unwrap();
        }
        log.flush().unwrap();
        reports.push(of_part.join(DOCUMENT));
    }
    let out = directory.path().join("whole");
    let mut printed = Vec::new();
    let ending = run(&MergeArguments { reports, out: out.clone() }, &mut printed).unwrap();
    assert_eq!(ending, Ending::Good);
    let printed = String::from_utf8(printed).unwrap();
    assert!(printed.starts_with("2 parts: 2,000 sightings sent, 2,000 acknowledged, 0 lost"), "{printed}");
    assert!(printed.contains("PASS: "), "{printed}");
    let whole = artifacts::read(&out.join(DOCUMENT)).unwrap();
    assert_eq!(whole.counts.sent, 2_000);
    let log = std::fs::read_to_string(out.join(INTERVAL_LOG)).unwrap();
    let intervals: Vec<&str> = log.lines().filter(|line| line.starts_with("Tag=")).collect();
    let starts: Vec<&str> = intervals.iter().map(|line| line.split(',').nth(1).unwrap()).collect();
    assert_eq!(starts, ["0.000", "1.000", "5.000", "6.000"]);
    let read = hdrhistogram::serialization::interval_log::IntervalLogIterator::new(log.as_bytes());
    assert_eq!(read.filter(Result::is_ok).count(), 6);
}
