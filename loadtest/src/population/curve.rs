//! How many are there at a time of day, as a part of the most.

use crate::scenario::{Curve, PopulationPlan};

const DAY_S: f64 = 86_400.0;
/// Heights: when, and how wide (the standard deviation of a bell), in seconds.
const LUNCH: (f64, f64) = (12.5 * 3_600.0, 3_600.0);
const DINNER: (f64, f64) = (19.5 * 3_600.0, 4_500.0);
/// Outside of meals a restaurant is not empty.
const LEAST: f64 = 0.05;

/// The part of the most customers that is there so many seconds after the run's begin.
pub(super) fn part(plan: &PopulationPlan, seconds: f64) -> f64 {
    match plan.curve {
        Curve::Flat => 1.0,
        Curve::LunchDinner => {
            let begin = f64::from(plan.time_of_day_s().unwrap_or(0));
            let time = (begin + seconds).rem_euclid(DAY_S);
            let bell = |(height, width): (f64, f64)| (-0.5 * ((time - height) / width).powi(2)).exp();
            LEAST + (1.0 - LEAST) * bell(LUNCH).max(bell(DINNER))
        }
    }
}

/// A day's traffic in hours of the height: what one day brings is that of so many hours at the most.
pub(crate) fn full_hours_a_day(plan: &PopulationPlan) -> f64 {
    const STEP_S: f64 = 60.0;
    let steps = 0..1_440_u32;
    steps.map(|step| part(plan, (f64::from(step) + 0.5) * STEP_S)).sum::<f64>() * STEP_S / 3_600.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lunch_and_dinner_are_the_heights() {
        let plan = PopulationPlan { time_of_day: "00:00".to_owned(), ..PopulationPlan::default() };
        let at = |hours: f64| part(&plan, hours * 3_600.0);
        assert!(at(12.5) > 0.999 && at(19.5) > 0.999);
        assert!(at(16.0) < 0.2 && at(3.0) < 0.06);
        assert_eq!(at(12.5), at(36.5));
    }

    #[test]
    fn a_day_is_a_few_full_hours() {
        let plan = PopulationPlan::default();
        // Bells of 1 h and 1.25 h are as wide as 2.51 and 3.13 hours at their height; the rest of the day is a twentieth.
        let by_hand = 0.95 * 2.25 * (2.0 * std::f64::consts::PI).sqrt() + 0.05 * 24.0;
        assert!((full_hours_a_day(&plan) - by_hand).abs() < 0.05, "{}", full_hours_a_day(&plan));
        assert_eq!(full_hours_a_day(&PopulationPlan { curve: Curve::Flat, ..plan }).round(), 24.0);
    }
}
