//! What several generators saw over time, laid over each other by the clock on the wall.

use super::{MergeError, stamps};
use crate::figures::rounded;
use crate::measurement::{HeatMap, Measurement, Point, Series};

/// As many points as a run itself may have.
const MOST_POINTS: usize = 1_200;

/// The series, the heat map, and how far apart the parts began, in seconds.
///
/// # Errors
/// When a part does not say when it began, or heat maps have other rows.
pub(super) fn merge(parts: &[Measurement], same_daemon: bool) -> Result<(Series, HeatMap, f64), MergeError> {
    let begins_us = parts.iter().map(stamps::began_at_us).collect::<Result<Vec<i64>, _>>()?;
    let first_us = begins_us.iter().copied().min().unwrap_or_default();
    let offsets_s: Vec<f64> = begins_us.iter().map(|begin_us| (begin_us - first_us) as f64 / 1e6).collect();
    let spread_s = offsets_s.iter().copied().fold(0.0, f64::max);
    Ok((series(parts, &offsets_s, same_daemon), heat(parts, &offsets_s)?, spread_s))
}

fn series(parts: &[Measurement], offsets_s: &[f64], same_daemon: bool) -> Series {
    let longest_s = parts
        .iter()
        .zip(offsets_s)
        .filter_map(|(part, offset_s)| part.series.points.last().map(|last| last.at_s + offset_s));
    let every_s = grid(parts.iter().map(|part| part.series.every_s), longest_s.fold(0.0, f64::max));
    let mut points: Vec<Point> = Vec::new();
    if every_s <= 0.0 {
        return Series::default();
    }
    for (part, offset_s) in parts.iter().zip(offsets_s) {
        let mut own: Vec<Point> = Vec::new();
        for point in &part.series.points {
            let at = bin(point.at_s - part.series.every_s / 2.0 + offset_s, every_s);
            if at >= MOST_POINTS {
                continue;
            }
            own.resize_with(own.len().max(at + 1), Point::default);
            if let Some(sum) = own.get_mut(at) {
                after(sum, point);
            }
        }
        points.resize_with(points.len().max(own.len()), Point::default);
        for (sum, point) in points.iter_mut().zip(&own) {
            beside(sum, point, same_daemon);
        }
    }
    for (at, point) in points.iter_mut().enumerate() {
        point.at_s = (at + 1) as f64 * every_s;
    }
    Series { every_s, points }
}

/// A point of the same generator in the same interval, later: counts add up, what stands is as it stands then.
fn after(sum: &mut Point, later: &Point) {
    counted(sum, later);
    *sum = Point {
        in_flight: later.in_flight,
        generator_cores: later.generator_cores.or(sum.generator_cores),
        daemon_cores: later.daemon_cores.or(sum.daemon_cores),
        daemon_memory_bytes: later.daemon_memory_bytes.or(sum.daemon_memory_bytes),
        waiting_record: later.waiting_record.or(sum.waiting_record),
        waiting_events: later.waiting_events.or(sum.waiting_events),
        ..std::mem::take(sum)
    };
}

/// A point of another generator at the same time. What one daemon says of itself is told once.
fn beside(sum: &mut Point, other: &Point, same_daemon: bool) {
    counted(sum, other);
    let of_daemon = |one: Option<u64>, other| if same_daemon { one.max(other) } else { added(one, other) };
    *sum = Point {
        in_flight: sum.in_flight + other.in_flight,
        generator_cores: cores(sum.generator_cores, other.generator_cores, false),
        daemon_cores: cores(sum.daemon_cores, other.daemon_cores, same_daemon),
        daemon_memory_bytes: of_daemon(sum.daemon_memory_bytes, other.daemon_memory_bytes),
        waiting_record: of_daemon(sum.waiting_record, other.waiting_record),
        waiting_events: of_daemon(sum.waiting_events, other.waiting_events),
        ..std::mem::take(sum)
    };
}

/// Counts add up; of percentiles the highest stays, since they cannot be added.
fn counted(sum: &mut Point, other: &Point) {
    sum.sent += other.sent;
    sum.acked += other.acked;
    for (sum, more) in sum.outcomes.iter_mut().zip(other.outcomes) {
        *sum += more;
    }
    sum.ack_p50_us = sum.ack_p50_us.max(other.ack_p50_us);
    sum.ack_p99_us = sum.ack_p99_us.max(other.ack_p99_us);
    sum.ack_max_us = sum.ack_max_us.max(other.ack_max_us);
    sum.lag_p99_us = sum.lag_p99_us.max(other.lag_p99_us);
    sum.lag_max_us = sum.lag_max_us.max(other.lag_max_us);
    sum.stored_p99_us = sum.stored_p99_us.max(other.stored_p99_us);
}

fn added(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.map_or(other, |one| Some(one + other.unwrap_or_default()))
}

fn cores(one: Option<f64>, other: Option<f64>, highest: bool) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if highest { one.max(other) } else { one + other }),
        (one, other) => one.or(other),
    }
}

fn heat(parts: &[Measurement], offsets_s: &[f64]) -> Result<HeatMap, MergeError> {
    let maps =
        || parts.iter().map(|part| &part.heat).zip(offsets_s).filter(|(map, _)| !map.columns.is_empty());
    let Some((first, _)) = maps().next() else { return Ok(HeatMap::default()) };
    if maps().any(|(map, _)| map.rows_us != first.rows_us) {
        return Err(MergeError::Unreadable("the rows of the heat maps differ".to_owned()));
    }
    let longest_s = maps().map(|(map, offset_s)| map.columns.len() as f64 * map.every_s + offset_s);
    let every_s = grid(maps().map(|(map, _)| map.every_s), longest_s.fold(0.0, f64::max));
    let mut columns: Vec<Vec<u64>> = Vec::new();
    for (map, offset_s) in maps().filter(|_| every_s > 0.0) {
        for (number, column) in map.columns.iter().enumerate() {
            let at = bin((number as f64 + 0.5) * map.every_s + offset_s, every_s);
            if at >= MOST_POINTS {
                continue;
            }
            columns.resize_with(columns.len().max(at + 1), || vec![0; first.rows_us.len()]);
            let sums = columns.get_mut(at).into_iter().flatten();
            sums.zip(column).for_each(|(sum, answers)| *sum += answers);
        }
    }
    Ok(HeatMap { every_s, rows_us: first.rows_us.clone(), columns })
}

/// The interval of the whole: the longest of the parts', or as long as it takes for no more points than a run may have.
fn grid(parts_s: impl Iterator<Item = f64>, longest_s: f64) -> f64 {
    let every_s = parts_s.fold(0.0, f64::max);
    let least_s = longest_s / MOST_POINTS as f64;
    if every_s <= 0.0 { 0.0 } else { every_s * (least_s / every_s).ceil().max(1.0) }
}

fn bin(middle_s: f64, every_s: f64) -> usize {
    usize::try_from(rounded((middle_s / every_s).max(0.0).floor())).unwrap_or(usize::MAX)
}
