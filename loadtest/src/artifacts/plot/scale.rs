//! From values to the parts of an axis, and where its ticks are.

/// An axis' values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) enum Scale {
    /// From nothing to so much.
    Linear { high: f64 },
    /// Whole decades.
    Decades { low: f64, high: f64 },
}

impl Scale {
    /// From 0 to a round number above all of them.
    pub(in super::super) fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let highest = values.into_iter().fold(0.0, f64::max);
        let step = step(highest * 1.05, 5);
        Self::Linear { high: if highest > 0.0 { (highest * 1.05 / step).ceil() * step } else { 1.0 } }
    }

    /// Decades that hold all of them; one at least.
    pub(in super::super) fn decades(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = values
            .into_iter()
            .filter(|value| *value > 0.0)
            .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        if high <= 0.0 {
            return Self::Decades { low: 1.0, high: 10.0 };
        }
        let low = 10_f64.powf(low.log10().floor());
        Self::Decades { low, high: 10_f64.powf(high.log10().ceil()).max(low * 10.0) }
    }

    /// Where a value is: 0 to 1, or beyond.
    pub(in super::super) fn part(&self, value: f64) -> f64 {
        match *self {
            Self::Linear { high } => value / high,
            Self::Decades { low, high } => (value.max(low * 1e-3) / low).log10() / (high / low).log10(),
        }
    }

    /// Round values to label, at most about so many.
    pub(in super::super) fn ticks(&self, most: u32) -> Vec<f64> {
        match *self {
            Self::Linear { high } => {
                let step = step(high, most);
                let number = (high / step + 1e-6).floor();
                let mut ticks = vec![0.0];
                while let Some(last) = ticks.last().copied().filter(|last| *last < (number - 0.5) * step) {
                    ticks.push(last + step);
                }
                ticks
            }
            Self::Decades { low, high } => {
                let mut ticks = vec![low];
                while let Some(last) = ticks.last().copied().filter(|last| *last < high * 0.99) {
                    ticks.push(last * 10.0);
                }
                ticks
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten, so that about so many fit.
fn step(high: f64, most: u32) -> f64 {
    let least = high.max(f64::MIN_POSITIVE) / f64::from(most);
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|times| times * power)
        .find(|step| *step >= least * 0.999)
        .unwrap_or(power)
}

/// Seconds between the labels of an axis of time, so that at most eight fit.
pub(super) fn seconds_step(whole_s: f64) -> f64 {
    const STEPS: [f64; 16] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0,
        14_400.0, 43_200.0,
    ];
    STEPS.into_iter().find(|step| whole_s / step <= 8.0).unwrap_or((whole_s / 8.0).max(1.0))
}

/// A time in a run, as short as it can be.
pub(super) fn seconds_text(at_s: f64, whole_s: f64) -> String {
    let seconds = crate::figures::rounded(at_s);
    match whole_s {
        0.0..=120.0 => format!("{seconds} s"),
        ..=7_200.0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_every_value() {
        assert_eq!(Scale::linear([103_000.0]).ticks(5).len(), 4);
        assert_eq!(Scale::linear([1.9]).ticks(5), [0.0, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(Scale::linear([]).ticks(5).last(), Some(&1.0));
        assert_eq!(Scale::decades([37.0, 4_100.0]), Scale::Decades { low: 10.0, high: 10_000.0 });
        assert_eq!(Scale::decades([37.0, 4_100.0]).ticks(5), [10.0, 100.0, 1_000.0, 10_000.0]);
        assert_eq!(Scale::decades([0.0]), Scale::Decades { low: 1.0, high: 10.0 });
        assert_eq!(Scale::decades([100.0]), Scale::Decades { low: 100.0, high: 1_000.0 });
    }

    #[test]
    fn times_are_told_as_long_as_the_run_is() {
        assert_eq!(seconds_step(300.0), 60.0);
        assert_eq!(seconds_text(90.0, 100.0), "90 s");
        assert_eq!(seconds_text(90.0, 300.0), "1:30");
        assert_eq!(seconds_text(5_400.0, 86_400.0), "1:30 h");
    }
}
