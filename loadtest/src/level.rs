//! The level of a run over its time: of a profile, or of stages that are written out. Pure.

use crate::scenario::{Load, Profile};

/// Straight lines from one level to the next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Levels {
    /// Seconds after the run's begin, ascending, and the level from then on towards the next.
    corners: Vec<(f64, f64)>,
}

impl Levels {
    pub(crate) fn of(load: &Load) -> Self {
        let whole = load.duration.as_secs_f64();
        if !load.stages.is_empty() {
            let mut corners = vec![(0.0, 0.0)];
            let mut at = 0.0;
            for stage in &load.stages {
                at += stage.lasts.as_secs_f64();
                corners.push((at, stage.level));
            }
            return Self { corners };
        }
        let peak = load.peak;
        let corners: &[(f64, f64)] = match load.profile {
            Profile::Smoke => &[(0.0, 0.1)],
            Profile::Average => &[(0.0, 0.0), (0.1, 1.0)],
            Profile::Stress => &[(0.0, 0.0), (1.0 / 3.0, peak), (2.0 / 3.0, peak), (1.0, 0.0)],
            Profile::Spike => &[(0.0, 1.0), (0.45, 1.0), (0.45, peak), (0.55, peak), (0.55, 1.0)],
            Profile::Soak => &[(0.0, 1.0)],
            Profile::Breakpoint => &[(0.0, 0.0), (1.0, peak)],
        };
        Self { corners: corners.iter().map(|(part, level)| (part * whole, *level)).collect() }
    }

    /// The level at so many seconds after the begin; before it, that at the begin.
    pub(crate) fn at(&self, seconds: f64) -> f64 {
        let next = self.corners.partition_point(|(at, _)| *at <= seconds);
        match (next.checked_sub(1).and_then(|before| self.corners.get(before)), self.corners.get(next)) {
            (Some(&(from, low)), Some(&(to, high))) => low + (high - low) * (seconds - from) / (to - from),
            (Some(&(_, level)), None) | (None, Some(&(_, level))) => level,
            (None, None) => 0.0,
        }
    }

    /// The highest of all.
    pub(crate) fn highest(&self) -> f64 {
        self.corners.iter().map(|(_, level)| *level).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Span, Stage};

    fn levels(profile: Profile) -> Levels {
        Levels::of(&Load { duration: Span::seconds(100), profile, peak: 4.0, ..Load::default() })
    }

    #[test]
    fn profiles_go_as_they_say() {
        for (profile, expected) in [
            (Profile::Smoke, [0.1, 0.1, 0.1, 0.1]),
            (Profile::Average, [0.5, 1.0, 1.0, 1.0]),
            (Profile::Spike, [1.0, 1.0, 4.0, 1.0]),
            (Profile::Soak, [1.0, 1.0, 1.0, 1.0]),
            (Profile::Breakpoint, [0.2, 1.6, 2.0, 3.2]),
        ] {
            let levels = levels(profile);
            assert_eq!([5.0, 40.0, 50.0, 80.0].map(|at| (levels.at(at) * 10.0).round() / 10.0), expected);
        }
        let stress = levels(Profile::Stress);
        assert_eq!((stress.at(50.0), stress.highest()), (4.0, 4.0));
        assert!(stress.at(90.0) < 2.0 && stress.at(10.0) < 2.0);
    }

    #[test]
    fn stages_are_straight_lines_and_the_last_level_stays() {
        let stage = |seconds, level| Stage { lasts: Span::seconds(seconds), level };
        let levels = Levels::of(&Load {
            stages: vec![stage(10, 2.0), stage(10, 2.0), stage(10, 0.0)],
            ..Load::default()
        });
        assert_eq!(
            [-5.0, 0.0, 5.0, 15.0, 25.0, 31.0].map(|at| levels.at(at)),
            [0.0, 0.0, 1.0, 2.0, 1.0, 0.0]
        );
    }
}
