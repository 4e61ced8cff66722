//! The signal: RSSI drawn from what real radios were heard to send.
//!
//! The fit: 6,159 readings of 12 fixed radios at known distances of 1.2 to 19.4 m (a public CC0 data set) follow the
//! log-distance path loss model RSSI = -61.2 dBm - 10 * 1.49 * log10(d / 1 m) + noise, the noise normal with a standard deviation of
//! 6.05 dB. Ordinary least squares; the residuals' distribution function is within 0.036 of the normal one (skewness
//! -0.46: a body in between costs a signal more than luck gives it).

use std::sync::Arc;

use super::LocationType;

/// At one metre, in dBm.
pub(super) const AT_ONE_METRE_DBM: f64 = -61.2;
/// Ten times the path loss exponent, 1.49.
pub(super) const PER_DECADE_DB: f64 = 14.9;
/// The noise's standard deviation.
pub(super) const NOISE_DB: f64 = 6.05;

/// How far who sits at a beacon is from it, in metres; spread evenly in its logarithm.
const OWN_M: (f64, f64) = (0.3, 2.0);
/// How far such a one is from a neighbouring beacon.
const NEIGHBOUR_M: (f64, f64) = (3.0, 8.0);
/// The share of sightings that a neighbouring beacon makes.
const NEIGHBOURS: f64 = 0.2;
/// Distances that a range is cut into.
const STEPS: u32 = 64;

/// RSSI is told from here to 0.
const WEAKEST_DBM: i8 = -100;
const LEVELS: usize = 101;
/// An identity needs as much.
const LEAST_CONFIDENCE: f32 = 0.8;
/// dBm, of the logistic curve.
const CONFIDENCE_SCALE: f32 = 4.0;

/// The RSSI from which a sighting at such a place identifies.
pub(super) fn weakest_eligible_dbm(location: LocationType) -> i8 {
    (WEAKEST_DBM..=0).find(|&rssi| confidence(rssi, location) >= LEAST_CONFIDENCE).unwrap_or(0)
}

/// What the daemon makes of a signal, with its default settings: `1 / (1 + exp(-(rssi - midpoint) / scale))`.
pub(crate) fn confidence(rssi_dbm: i8, location: LocationType) -> f32 {
    let midpoint = match location {
        LocationType::Entrance => -76.0,
        LocationType::Counter => -72.0,
        LocationType::Table => -68.0,
    };
    1.0 / (1.0 + (-(f32::from(rssi_dbm) - midpoint) / CONFIDENCE_SCALE).exp())
}

/// Distributions of RSSI, by the kind of place, strong enough or not; made once for all chains.
#[derive(Debug)]
pub(super) struct Signals {
    strong: [Drawn; 3],
    weak: [Drawn; 3],
}

/// RSSI at one kind of place, given that it is strong enough, or that it is not.
#[derive(Debug)]
struct Drawn {
    own: Distribution,
    neighbour: Distribution,
    /// The share of these that a neighbouring beacon makes, out of 2^32.
    from_neighbour: u64,
}

impl Signals {
    pub(super) fn new() -> Arc<Self> {
        let drawn = |is_strong: bool| {
            [LocationType::Entrance, LocationType::Counter, LocationType::Table].map(|location| {
                let threshold = weakest_eligible_dbm(location);
                let (own, is_own) = Distribution::of(OWN_M, threshold, is_strong);
                let (neighbour, is_neighbour) = Distribution::of(NEIGHBOUR_M, threshold, is_strong);
                let (of_own, of_neighbour) = ((1.0 - NEIGHBOURS) * is_own, NEIGHBOURS * is_neighbour);
                let share = of_neighbour / (of_own + of_neighbour);
                Drawn { own, neighbour, from_neighbour: out_of_all(share) }
            })
        };
        Arc::new(Self { strong: drawn(true), weak: drawn(false) })
    }

    /// Whether a neighbouring beacon makes this sighting, and its RSSI as a function of where it is heard.
    pub(super) fn is_neighbour(&self, is_strong: bool, location: LocationType, random: u32) -> bool {
        u64::from(random) < self.drawn(is_strong, location).from_neighbour
    }

    /// An RSSI at such a place.
    pub(super) fn rssi(
        &self,
        is_strong: bool,
        location: LocationType,
        is_neighbour: bool,
        random: u32,
    ) -> i8 {
        let drawn = self.drawn(is_strong, location);
        if is_neighbour { drawn.neighbour.draw(random) } else { drawn.own.draw(random) }
    }

    const fn drawn(&self, is_strong: bool, location: LocationType) -> &Drawn {
        let drawn = if is_strong { &self.strong } else { &self.weak };
        match location {
            LocationType::Entrance => &drawn[0],
            LocationType::Counter => &drawn[1],
            LocationType::Table => &drawn[2],
        }
    }
}

/// A cumulative distribution over -100..=0 dBm, out of 2^32.
#[derive(Debug)]
struct Distribution([u64; LEVELS]);

impl Distribution {
    /// That of a range of distances, given that the signal is strong enough or not; and how likely that is.
    fn of((near, far): (f64, f64), threshold: i8, is_strong: bool) -> (Self, f64) {
        let mut weights = [0.0; LEVELS];
        for step in 0..STEPS {
            let part = (f64::from(step) + 0.5) / f64::from(STEPS);
            let metres = near * (far / near).powf(part);
            let mean = AT_ONE_METRE_DBM - PER_DECADE_DB * metres.log10();
            for (weight, rssi) in weights.iter_mut().zip(WEAKEST_DBM..=0) {
                let off = (f64::from(rssi) - mean) / NOISE_DB;
                *weight += (-0.5 * off * off).exp();
            }
        }
        let whole: f64 = weights.iter().sum();
        for (weight, rssi) in weights.iter_mut().zip(WEAKEST_DBM..=0) {
            if (rssi >= threshold) != is_strong {
                *weight = 0.0;
            }
        }
        let these: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let cumulative = weights.map(|weight| {
            sum += weight / these;
            out_of_all(sum)
        });
        (Self(cumulative), these / whole)
    }

    fn draw(&self, random: u32) -> i8 {
        let level = self.0.partition_point(|bound| *bound <= u64::from(random));
        // Rounding leaves the last bounds a little short of the whole.
        let last = self.0.partition_point(|bound| *bound < self.0[LEVELS - 1]);
        i8::try_from(level.min(last)).map_or(0, |level| WEAKEST_DBM + level)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^32")]
fn out_of_all(share: f64) -> u64 {
    (share * 4_294_967_296.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_as_strong_as_it_is_meant_to_be() {
        let signals = Signals::new();
        for location in [LocationType::Entrance, LocationType::Counter, LocationType::Table] {
            for random in (0..=u32::MAX).step_by(1_000_003).chain([u32::MAX]) {
                for neighbour in [true, false] {
                    let strong = signals.rssi(true, location, neighbour, random);
                    assert!(confidence(strong, location) >= LEAST_CONFIDENCE, "{strong} {location:?}");
                    let weak = signals.rssi(false, location, neighbour, random);
                    assert!(confidence(weak, location) < LEAST_CONFIDENCE, "{weak} {location:?}");
                }
            }
        }
        assert_eq!(weakest_eligible_dbm(LocationType::Table), -62);
    }

    /// The recorded tracks, where they are at hand, give the parameters.
    #[test]
    fn the_fit_is_that_of_the_recorded_tracks() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/ble_tracks.csv");
        let Ok(text) = std::fs::read_to_string(path) else {
            eprintln!("skipped: the recorded tracks are not at hand");
            return;
        };
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap().split(',').collect();
        let column = |name| header.iter().position(|found| *found == name).unwrap();
        let (rssi, metres) = (column("rssi_dbm"), column("true_distance_m"));
        let readings: Vec<(f64, f64)> = lines
            .map(|line| {
                let fields: Vec<&str> = line.split(',').collect();
                (fields[metres].parse::<f64>().unwrap().log10(), fields[rssi].parse().unwrap())
            })
            .collect();
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / readings.len() as f64;
        let (x, y) = (mean(&mut readings.iter().map(|r| r.0)), mean(&mut readings.iter().map(|r| r.1)));
        let slope = mean(&mut readings.iter().map(|r| (r.0 - x) * (r.1 - y)))
            / mean(&mut readings.iter().map(|r| (r.0 - x).powi(2)));
        let at_one = y - slope * x;
        let noise = mean(&mut readings.iter().map(|r| (r.1 - at_one - slope * r.0).powi(2))).sqrt();
        assert!((at_one - AT_ONE_METRE_DBM).abs() < 0.05, "{at_one}");
        assert!((slope + PER_DECADE_DB).abs() < 0.05, "{slope}");
        assert!((noise - NOISE_DB).abs() < 0.01, "{noise}");
    }
}
