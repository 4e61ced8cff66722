//! A run as it was asked for, checked: the scenario with everything that goes over it.

use crate::ending::Failure;
use crate::level::Levels;
use crate::population::MOST_PRESENT;
use crate::scenario::{self, Scenario, Span, Visits};

use super::arguments::{RunArguments, ScenarioArguments};
use super::stores::Stores;
use crate::slo::{Objective, ObjectiveError};

/// The scenario as it is to run.
///
/// # Errors
/// What is wrong with it, or with what goes over it.
pub(crate) fn scenario(arguments: &RunArguments) -> Result<Scenario, Failure> {
    let mut scenario = arguments.scenario.read()?;
    if !arguments.slo.is_empty() {
        scenario.verdict.slo.clone_from(&arguments.slo);
    }
    Ok(scenario)
}

impl ScenarioArguments {
    /// The scenario with everything that goes over it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(&self) -> Result<Scenario, Failure> {
        let mut scenario = scenario::read(&self.scenario, &self.set)?;
        if let Some(scale) = self.scale {
            scenario = scenario.scaled(scale);
        }
        if let Some(gateways) = self.gateways {
            scenario.population.gateways = gateways;
        }
        if let Some(seed) = self.seed {
            scenario.seed = seed;
        }
        if let Some(duration) = self.duration {
            scenario.load.duration = Span(duration);
        }
        if let Some(rate) = self.rate {
            scenario.population.present = present(&scenario, rate)?;
        }
        scenario.refusal().map_or(Ok(scenario), |refusal| Err(Failure::Usage(refusal)))
    }
}

/// What the run must show, and what of it is left out. An objective that the scenario brings is left out where nobody said
/// how to measure it; one that was asked for never is.
///
/// # Errors
/// The first that is none.
pub(crate) fn objectives(
    scenario: &Scenario,
    arguments: &RunArguments,
    stores: &Stores,
) -> Result<(Vec<Objective>, Vec<String>), Failure> {
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for text in &scenario.verdict.slo {
        let objective: Objective =
            text.parse().map_err(|error: ObjectiveError| Failure::Usage(error.to_string()))?;
        match missing(&text_of_figure(text), arguments, stores) {
            Some(missing) if arguments.slo.is_empty() => {
                left_out.push(format!("{text} was not judged: {missing}"));
            }
            _ => kept.push(objective),
        }
    }
    Ok((kept, left_out))
}

/// The name at the beginning of an objective.
fn text_of_figure(objective: &str) -> String {
    objective.chars().take_while(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_')).collect()
}

/// What would have to be given for a figure to be measured; none if it is.
fn missing(figure: &str, arguments: &RunArguments, stores: &Stores) -> Option<&'static str> {
    const RECORD: &str = "no system of record was given to look into (--sqlite, or BEACOND_POSTGRES_URL)";
    const EVENTS: &str = "no table of events was given to look into (--dynamodb-table)";
    const CACHE: &str = "no cache was given to read from (BEACOND_REDIS_URL)";
    const PAGE: &str = "the daemon's page was not given (--admin)";
    let (record, events, cache) = (stores.has_record(), stores.has_events(), stores.has_cache());
    let begins = |with: &str| figure.starts_with(with);
    let (is_there, missing) = match () {
        () if begins("stored.record") || begins("read.record") => (record, RECORD),
        () if begins("stored.events") => (events, EVENTS),
        () if begins("read.cache") => (cache, CACHE),
        () if begins("stored") || begins("sampled") => (record || events, RECORD),
        () if begins("read") => (record || cache, RECORD),
        () if begins("daemon") => (arguments.admin.is_some(), PAGE),
        () => (true, ""),
    };
    (!is_there).then_some(missing)
}

/// The share of customers that makes so many sightings a second.
fn present(scenario: &Scenario, rate: f64) -> Result<f64, Failure> {
    let population = &scenario.population;
    if population.visits == Visits::EachOnce {
        return Err(Failure::Usage(
            "--rate does not go with population.visits = \"each-once\": how often customers come follows from \
             load.duration"
                .to_owned(),
        ));
    }
    let most = most_rate(scenario);
    if rate > most {
        let customers = population.customers;
        return Err(Failure::Usage(format!(
            "--rate {rate}: {customers} customers make {most:.0} sightings/s at most at the highest level; set \
             population.customers, or --scale"
        )));
    }
    Ok(rate * population.sighted_every.as_secs_f64() / f64::from(population.customers))
}

/// The highest `--rate` that the population can make, also where the level is highest.
pub(crate) fn most_rate(scenario: &Scenario) -> f64 {
    let population = &scenario.population;
    let highest_level = Levels::of(&scenario.load).highest().max(1.0);
    MOST_PRESENT * f64::from(population.customers) / highest_level / population.sighted_every.as_secs_f64()
}
