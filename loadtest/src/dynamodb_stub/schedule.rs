//! When to throttle, to leave items unprocessed, to be late: rules as people write them, and what they say of a call.

use std::str::FromStr;
use std::time::Duration;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// An amount that holds at some time: `10%`, `every 5s for 1s`, `from 30s to 40s 50%`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rule<T> {
    amount: T,
    window: Window,
}

/// When a rule holds, counted from the first write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    Always,
    /// At the end of each period, but for the first one.
    Every {
        period: Duration,
        length: Duration,
    },
    From {
        begin: Duration,
        end: Duration,
    },
}

/// A share of calls, or of items: from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Share(f64);

/// How late an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) struct Delay(Duration);

/// What a rule is about.
pub(super) trait Amount: Sized + Copy + PartialOrd {
    /// For messages.
    const EXAMPLE: &'static str;
    /// Where a rule names none.
    const DEFAULT: Option<Self>;

    fn read(text: &str) -> Option<Self>;
}

impl Amount for Share {
    const EXAMPLE: &'static str = "10%";
    const DEFAULT: Option<Self> = Some(Self(1.0));

    fn read(text: &str) -> Option<Self> {
        let percent: f64 = text.strip_suffix('%')?.parse().ok()?;
        (0.0..=100.0).contains(&percent).then_some(Self(percent / 100.0))
    }
}

impl Amount for Delay {
    const EXAMPLE: &'static str = "5ms";
    const DEFAULT: Option<Self> = None;

    fn read(text: &str) -> Option<Self> {
        humantime::parse_duration(text).ok().map(Self)
    }
}

impl<T: Amount> FromStr for Rule<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let span = |what: &str, word: Option<&str>| {
            let word = word.ok_or_else(|| format!("a length of time such as 5s must follow {what:?}"))?;
            humantime::parse_duration(word)
                .map_err(|error| format!("{word:?} after {what:?} is no length of time: {error}"))
        };
        let (mut amount, mut window) = (None, Window::Always);
        while let Some(word) = words.next() {
            match word {
                "every" if window == Window::Always => {
                    let period = span("every", words.next())?;
                    if words.next() != Some("for") {
                        return Err("\"every 5s\" must be followed by \"for 1s\"".to_owned());
                    }
                    let length = span("for", words.next())?;
                    if length.is_zero() || length >= period {
                        return Err(
                            "what follows \"for\" must be shorter than what follows \"every\"".to_owned()
                        );
                    }
                    window = Window::Every { period, length };
                }
                "from" if window == Window::Always => {
                    window = Window::From { begin: span("from", words.next())?, end: Duration::MAX };
                }
                "to" => match window {
                    Window::From { begin, end: Duration::MAX } => {
                        let end = span("to", words.next())?;
                        if end <= begin {
                            return Err(
                                "what follows \"to\" must be later than what follows \"from\"".to_owned()
                            );
                        }
                        window = Window::From { begin, end };
                    }
                    _ => return Err("\"to 40s\" must follow \"from 30s\"".to_owned()),
                },
                other => match T::read(other) {
                    Some(read) if amount.is_none() => amount = Some(read),
                    _ => {
                        let example = T::EXAMPLE;
                        return Err(format!(
                            "{other:?} is not understood; a rule is {example:?}, \"{example} every 5s for 1s\" or \
                             \"{example} from 30s to 40s\""
                        ));
                    }
                },
            }
        }
        let amount =
            amount.or(T::DEFAULT).ok_or_else(|| format!("an amount such as {:?} is wanted", T::EXAMPLE))?;
        Ok(Self { amount, window })
    }
}

impl Window {
    fn is_open(self, elapsed: Duration) -> bool {
        match self {
            Self::Always => true,
            Self::Every { period, length } => {
                let (periods, into) =
                    (elapsed.as_nanos() / period.as_nanos(), elapsed.as_nanos() % period.as_nanos());
                periods > 0 && into < length.as_nanos()
            }
            Self::From { begin, end } => begin <= elapsed && elapsed < end,
        }
    }
}

/// The largest amount of the rules that hold.
fn in_force<T: Amount>(rules: &[Rule<T>], elapsed: Duration) -> Option<T> {
    let open = rules.iter().filter(|rule| rule.window.is_open(elapsed)).map(|rule| rule.amount);
    open.reduce(|one, other| if other > one { other } else { one })
}

/// All rules of a run.
#[derive(Debug, Clone)]
pub(super) struct Schedules {
    pub(super) seed: u64,
    pub(super) throttle: Vec<Rule<Share>>,
    pub(super) unprocessed: Vec<Rule<Share>>,
    pub(super) delay: Vec<Rule<Delay>>,
    /// What a hundredth of the delays exceeds.
    pub(super) delay_p99: Option<Duration>,
}

/// What is to be done with the items of a BatchWriteItem call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    Throttle,
    /// All but these places, in order.
    Leave(Vec<usize>),
}

/// What the numbers of a call are drawn for, so that one rule does not move another's.
const WRITES: u64 = 0x5752_4954_4553_0000;
const DELAYS: u64 = 0x4445_4c41_5953_0000;

impl Schedules {
    /// The same for the same seed, number of the call and time.
    pub(super) fn turn(&self, call: u64, items: usize, elapsed: Duration) -> Turn {
        let mut draws = self.draws(WRITES, call);
        if in_force(&self.throttle, elapsed).is_some_and(|share| draws.unit() < share.0) {
            return Turn::Throttle;
        }
        let Some(share) = in_force(&self.unprocessed, elapsed) else {
            return Turn::Leave(Vec::new());
        };
        let left: Vec<usize> = (0..items).filter(|_| draws.unit() < share.0).collect();
        // Where nothing could be done, the service answers as to a call that is throttled as a whole.
        if left.len() == items { Turn::Throttle } else { Turn::Leave(left) }
    }

    /// How late the answer of a call is.
    pub(super) fn delay(&self, call: u64, elapsed: Duration) -> Duration {
        let Some(Delay(delay)) = in_force(&self.delay, elapsed) else {
            return Duration::ZERO;
        };
        let Some(p99) = self.delay_p99.filter(|p99| *p99 > delay) else {
            return delay;
        };
        // Log-normal: half are below the delay, one in a hundred above its p99.
        let mut draws = self.draws(DELAYS, call);
        let radius = (-2.0 * draws.unit().max(f64::MIN_POSITIVE).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * draws.unit()).cos();
        let sigma = (p99.as_secs_f64() / delay.as_secs_f64()).ln() / NORMAL_P99;
        delay.mul_f64((sigma * normal).exp()).min(p99 * LONGEST_DELAY)
    }

    fn draws(&self, purpose: u64, call: u64) -> Draws {
        // Mixed twice: seeds and calls that are neighbours have nothing in common.
        let mixed = SplitMix64::seed_from_u64(self.seed ^ purpose).next_u64();
        Draws(SplitMix64::seed_from_u64(mixed ^ call))
    }
}

/// The standard normal distribution's 99th percentile.
const NORMAL_P99: f64 = 2.326_347_874_040_841;

/// In p99s: a tail, but no answer that never comes.
const LONGEST_DELAY: u32 = 10;

struct Draws(SplitMix64);

impl Draws {
    /// From 0 to under 1.
    fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
        let bits = (self.0.next_u64() >> 11) as f64;
        bits / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn open_at(rule: &str) -> Vec<u32> {
        let rule: Rule<Share> = rule.parse().unwrap();
        (0..20).filter(|second| rule.window.is_open(SECOND * *second)).collect()
    }

    fn schedules(throttle: &str, unprocessed: &str) -> Schedules {
        let rules =
            |text: &str| text.split(',').filter(|it| !it.is_empty()).map(|it| it.parse().unwrap()).collect();
        Schedules {
            seed: 7,
            throttle: rules(throttle),
            unprocessed: rules(unprocessed),
            delay: vec![],
            delay_p99: None,
        }
    }

    #[test]
    fn a_rule_holds_when_it_says() {
        assert_eq!(open_at("10%").len(), 20);
        assert_eq!(open_at("every 5s for 2s"), [5, 6, 10, 11, 15, 16]);
        assert_eq!(open_at("from 3s to 5s 50%"), [3, 4]);
        assert_eq!(open_at("50% from 18s"), [18, 19]);
        assert_eq!("from 1m30s".parse::<Rule<Share>>().unwrap().amount, Share(1.0));
        assert_eq!(
            "20ms every 10s for 1s".parse::<Rule<Delay>>().unwrap().amount,
            Delay(Duration::from_millis(20))
        );
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (rule, reason) in [
            ("10", "\"10\" is not understood"),
            ("101%", "\"101%\" is not understood"),
            ("10% 20%", "\"20%\" is not understood"),
            ("every 5s", "must be followed by \"for 1s\""),
            ("every 5s for 5s", "must be shorter"),
            ("every 5x for 1s", "\"5x\" after \"every\""),
            ("to 3s", "must follow"),
            ("from 5s to 3s", "must be later"),
            ("from", "must follow \"from\""),
        ] {
            let error = rule.parse::<Rule<Share>>().unwrap_err();
            assert!(error.contains(reason), "{rule}: {error}");
        }
        assert!("every 5s for 1s".parse::<Rule<Delay>>().unwrap_err().contains("an amount such as \"5ms\""));
    }

    #[test]
    fn the_same_seed_does_the_same_and_shares_are_kept() {
        let one = schedules("10%", "");
        let throttled = |schedules: &Schedules| -> Vec<u64> {
            (0..10_000).filter(|call| schedules.turn(*call, 25, SECOND) == Turn::Throttle).collect()
        };
        let calls = throttled(&one);
        assert!((900..1_100).contains(&calls.len()), "{}", calls.len());
        assert_eq!(calls, throttled(&one.clone()));
        assert_ne!(calls, throttled(&Schedules { seed: 8, ..one }));

        let some = schedules("", "20%");
        let left: usize = (0..1_000)
            .map(|call| match some.turn(call, 25, SECOND) {
                Turn::Throttle => 25,
                Turn::Leave(places) => places.len(),
            })
            .sum();
        assert!((4_600..5_400).contains(&left), "{left}");
        assert_eq!(schedules("", "100%").turn(1, 3, SECOND), Turn::Throttle, "nothing could be done");
        assert_eq!(schedules("from 5s", "from 5s").turn(1, 3, SECOND), Turn::Leave(vec![]));
    }

    #[test]
    fn the_largest_of_several_rules_counts() {
        let both = schedules("0%,every 2s for 1s", "");
        assert_eq!(both.turn(1, 3, SECOND), Turn::Leave(vec![]));
        assert_eq!(both.turn(1, 3, SECOND * 2), Turn::Throttle);
    }

    #[test]
    fn delays_have_the_median_and_the_p99_that_were_asked_for() {
        let mut schedules = schedules("", "");
        assert_eq!(schedules.delay(1, SECOND), Duration::ZERO);
        schedules.delay = vec!["5ms".parse().unwrap()];
        assert_eq!(schedules.delay(1, SECOND), Duration::from_millis(5));
        schedules.delay_p99 = Some(Duration::from_millis(50));
        let mut delays: Vec<_> = (0..20_000).map(|call| schedules.delay(call, SECOND)).collect();
        delays.sort();
        let near = |delay: Duration, wanted: f64| (delay.as_secs_f64() * 1e3 / wanted - 1.0).abs() < 0.15;
        assert!(near(delays[10_000], 5.0), "{:?}", delays[10_000]);
        assert!(near(delays[19_800], 50.0), "{:?}", delays[19_800]);
        assert!(delays[19_999] <= Duration::from_millis(500));
    }
}
