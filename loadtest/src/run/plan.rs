//! A run as it was asked for, checked: the scenario with everything that goes over it.

use crate::ending::Failure;
use crate::scenario::{self, Scenario, Span};

use super::arguments::RunArguments;

/// The scenario as it is to run.
///
/// # Errors
/// What is wrong with it, or with what goes over it.
pub(crate) fn scenario(arguments: &RunArguments) -> Result<Scenario, Failure> {
    let mut scenario = scenario::read(&arguments.scenario, &arguments.set)?;
    if let Some(scale) = arguments.scale {
        scenario = scenario.scaled(scale);
    }
    if let Some(gateways) = arguments.gateways {
        scenario.population.gateways = gateways;
    }
    if let Some(seed) = arguments.seed {
        scenario.seed = seed;
    }
    if let Some(duration) = arguments.duration {
        scenario.load.duration = Span(duration);
    }
    if !arguments.slo.is_empty() {
        scenario.verdict.slo.clone_from(&arguments.slo);
    }
    if let Some(rate) = arguments.rate {
        scenario.population.present = present(&scenario, rate)?;
    }
    scenario.refusal().map_or(Ok(scenario), |refusal| Err(Failure::Usage(refusal)))
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
