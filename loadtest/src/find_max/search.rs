//! Where to look next for the highest load that holds: doubled until it does not, then between. Pure.

/// What a step at some load showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Held,
    Failed,
}

/// Looks for the highest load at which the objectives hold.
#[derive(Debug, Clone)]
pub(super) struct Search {
    first: f64,
    most: f64,
    /// How far apart the highest that held and the lowest that failed may be at the end, as a share of the former.
    resolution: f64,
    held: Option<f64>,
    failed: Option<f64>,
    /// Whether the highest that held has done so twice.
    is_confirmed: bool,
}

/// A load that fails down to this part of the first one holds nowhere worth telling.
const LEAST_PART: f64 = 1.0 / 64.0;

impl Search {
    pub(super) const fn new(first: f64, most: f64, resolution: f64) -> Self {
        Self { first, most, resolution, held: None, failed: None, is_confirmed: false }
    }

    /// The load of the next step; none when the search is over.
    pub(super) fn next(&self) -> Option<f64> {
        match (self.held, self.failed) {
            (None, None) => Some(self.first.min(self.most)),
            (Some(held), None) if held < self.most => Some((held * 2.0).min(self.most)),
            (None, Some(failed)) => Some(failed / 2.0).filter(|next| *next >= self.first * LEAST_PART),
            // Loads are compared by their ratio: the middle is the geometric one.
            (Some(held), Some(failed)) if failed > held * (1.0 + self.resolution) => {
                Some((held * failed).sqrt())
            }
            // Once could be luck.
            (Some(held), _) => Some(held).filter(|_| !self.is_confirmed),
        }
    }

    /// Takes note of a step at the load that [`Self::next`] said.
    pub(super) fn stepped(&mut self, load: f64, step: Step) {
        match step {
            Step::Held => {
                self.is_confirmed = self.held == Some(load);
                self.held = Some(load);
            }
            Step::Failed => {
                self.failed = Some(load);
                self.held = self.held.filter(|held| *held < load);
            }
        }
    }

    /// The highest load that held, twice; none if none did.
    pub(super) fn found(&self) -> Option<f64> {
        self.held.filter(|_| self.is_confirmed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every load it asked for, of something that holds up to `limit`.
    fn searched(mut search: Search, limit: f64) -> (Vec<f64>, Option<f64>) {
        let mut asked = Vec::new();
        while let Some(load) = search.next() {
            asked.push(load);
            assert!(asked.len() < 40, "{asked:?}");
            search.stepped(load, if load <= limit { Step::Held } else { Step::Failed });
        }
        (asked, search.found())
    }

    #[test]
    fn it_doubles_until_it_fails_then_halves_the_ratio_and_confirms() {
        let (asked, found) = searched(Search::new(1_000.0, 1e9, 0.5), 5_000.0);
        assert_eq!(
            asked.iter().map(|load| load.round()).collect::<Vec<_>>(),
            [1_000.0, 2_000.0, 4_000.0, 8_000.0, 5_657.0, 4_000.0]
        );
        assert_eq!(found, Some(4_000.0));
    }

    #[test]
    fn a_load_that_held_by_luck_is_not_the_answer() {
        let mut search = Search::new(1.0, 2.0, 0.1);
        for (load, step) in [(1.0, Step::Held), (2.0, Step::Held), (2.0, Step::Failed)] {
            assert_eq!(search.next(), Some(load));
            search.stepped(load, step);
        }
        assert_eq!(search.found(), None);
        assert_eq!(search.next(), Some(1.0));
    }

    #[test]
    fn what_holds_nowhere_ends_without_an_answer_and_what_always_holds_at_the_most() {
        assert_eq!(searched(Search::new(64.0, 1e9, 0.1), 0.5).1, None);
        assert_eq!(searched(Search::new(1.0, 100.0, 0.1), 1e9).1, Some(100.0));
    }

    proptest! {
        /// What it finds held, and what is a resolution above did not.
        #[test]
        fn what_it_finds_is_the_limit_to_the_resolution(limit in 20.0..1e6_f64, resolution in 0.02..0.5_f64) {
            let (_, found) = searched(Search::new(1_000.0, 1e9, resolution), limit);
            let found = found.unwrap();
            prop_assert!(found <= limit && limit < found * (1.0 + resolution) * 1.000_001, "{found} of {limit}");
        }
    }
}
