//! A run as it was asked for, checked: the scenario with everything that goes over it.

use crate::ending::Failure;
use crate::scenario::{self, Scenario, Span};

use super::arguments::{RunArguments, ScenarioArguments};
use crate::slo::Objective;

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

/// What the run must show.
///
/// # Errors
/// The first that is none.
pub(crate) fn objectives(scenario: &Scenario) -> Result<Vec<Objective>, Failure> {
    let objectives = scenario.verdict.slo.iter().map(|text| text.parse::<Objective>());
    objectives.collect::<Result<_, _>>().map_err(|error| Failure::Usage(error.to_string()))
}

/// The share of customers that makes so many sightings a second.
fn present(scenario: &Scenario, rate: f64) -> Result<f64, Failure> {
    let population = &scenario.population;
    let present = rate * population.sighted_every.as_secs_f64();
    let share = present / f64::from(population.customers);
    if share > 1.0 {
        let customers = population.customers;
        return Err(Failure::Usage(format!(
            "--rate {rate}: {present:.0} customers would have to be there at once, of {customers}; set \
             population.customers, or --scale"
        )));
    }
    Ok(share)
}
