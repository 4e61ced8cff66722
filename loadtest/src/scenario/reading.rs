//! Reads a scenario: the file or a shipped one, then what the command line overrides; names what it does not know.

use toml::{Table, Value};

use super::Scenario;

/// Scenarios that ship with the tool, by name.
const SHIPPED: [(&str, &str); 6] = [
    ("smoke", include_str!("../../scenarios/smoke.toml")),
    ("pilot", include_str!("../../scenarios/pilot.toml")),
    ("ten-million-lunch", include_str!("../../scenarios/ten-million-lunch.toml")),
    ("ten-million-census", include_str!("../../scenarios/ten-million-census.toml")),
    ("reconnect-storm", include_str!("../../scenarios/reconnect-storm.toml")),
    ("backlog", include_str!("../../scenarios/backlog.toml")),
];

/// Why there is no scenario; each is one clear line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScenarioError {
    /// Neither a file nor shipped.
    #[error("scenario {name:?} cannot be read ({reason}); shipped are {}", shipped_names().join(", "))]
    NotFound { name: String, reason: String },
    /// A key that no scenario has.
    #[error("{origin}: unknown key {key}{}", meant.as_ref().map(|key| format!("; is {key} meant?")).unwrap_or_default())]
    UnknownKey { origin: String, key: String, meant: Option<String> },
    /// Not TOML, or a value that the key does not allow.
    #[error("{origin}: {reason}")]
    Value { origin: String, reason: String },
}

/// The names `--scenario` knows without a file.
pub(crate) fn shipped_names() -> Vec<&'static str> {
    SHIPPED.iter().map(|(name, _)| *name).collect()
}

/// Reads a shipped scenario by name, else a file; `overrides` are `key.in.it=value` in TOML, text also without quotes.
///
/// # Errors
/// What is wrong, with the file and the key.
pub(crate) fn read(name: &str, overrides: &[String]) -> Result<Scenario, ScenarioError> {
    let text = match SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
        Some((_, text)) => (*text).to_owned(),
        None => std::fs::read_to_string(name)
            .map_err(|error| ScenarioError::NotFound { name: name.to_owned(), reason: error.to_string() })?,
    };
    of_text(name, &text, overrides)
}

/// Reads a scenario from TOML that is at hand; `origin` says in errors where it is from.
///
/// # Errors
/// What is wrong, with the key.
pub(crate) fn parse(origin: &str, text: &str) -> Result<Scenario, ScenarioError> {
    of_text(origin, text, &[])
}

fn of_text(origin: &str, text: &str, overrides: &[String]) -> Result<Scenario, ScenarioError> {
    let wrong = |origin: &str, reason: String| ScenarioError::Value { origin: origin.to_owned(), reason };
    let known = known_keys();
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| wrong(origin, one_line(&error)))?;
    check_keys(origin, "", &table, &known)?;
    // Of the file alone first, so that the line of a wrong value is named.
    toml::from_str::<Scenario>(text).map_err(|error| wrong(origin, one_line(&error)))?;
    for setting in overrides {
        let origin = format!("--set {setting}");
        let (key, value) =
            setting.split_once('=').ok_or_else(|| wrong(&origin, "KEY=VALUE is wanted".to_owned()))?;
        let value = value_of(value.trim());
        let path: Vec<&str> = key.trim().split('.').collect();
        let one = path
            .iter()
            .rev()
            .fold(value, |inner, key| Value::Table(Table::from_iter([((*key).to_owned(), inner)])));
        let Value::Table(one) = one else { continue };
        check_keys(&origin, "", &one, &known)?;
        merge(&mut table, one);
        Scenario::try_from(table.clone()).map_err(|reason| wrong(&origin, reason))?;
    }
    Scenario::try_from(table).map_err(|reason| wrong(origin, reason))
}

impl TryFrom<Table> for Scenario {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let scenario: Self = table.try_into().map_err(|error: toml::de::Error| one_line(&error))?;
        scenario.refusal().map_or(Ok(scenario), Err)
    }
}

/// TOML where it is, else text.
fn value_of(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Every key of a scenario, as a table of tables.
fn known_keys() -> Table {
    Table::try_from(Scenario::default()).unwrap_or_default()
}

fn check_keys(origin: &str, above: &str, found: &Table, known: &Table) -> Result<(), ScenarioError> {
    for (key, value) in found {
        let Some(inner) = known.get(key) else {
            let near = known.keys().map(|known| (strsim::damerau_levenshtein(known, key), known));
            let meant = near.min().filter(|(distance, _)| *distance <= 3);
            return Err(ScenarioError::UnknownKey {
                origin: origin.to_owned(),
                key: format!("{above}{key}"),
                meant: meant.map(|(_, meant)| format!("{above}{meant}")),
            });
        };
        if let (Value::Table(found), Value::Table(known)) = (value, inner) {
            check_keys(origin, &format!("{above}{key}."), found, known)?;
        }
    }
    Ok(())
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// What TOML says on several lines, on one: where, and what.
fn one_line(error: &toml::de::Error) -> String {
    let lines: Vec<String> = error.to_string().lines().map(|line| line.trim().to_owned()).collect();
    match (lines.first(), lines.last()) {
        (Some(first), Some(last)) if lines.len() > 1 => {
            let place = first.strip_prefix("TOML parse error at ").unwrap_or(first);
            format!("{place}: {last}")
        }
        _ => lines.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Profile, Span};

    fn error_of(text: &str, overrides: &[&str]) -> String {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        of_text("a.toml", text, &overrides).unwrap_err().to_string()
    }

    #[test]
    fn every_shipped_scenario_reads_and_bears_its_name() {
        for name in shipped_names() {
            assert_eq!(read(name, &[]).unwrap().name, name);
        }
    }

    #[test]
    fn an_override_goes_over_the_file_and_the_file_over_the_default() {
        let text = "seed = 7\n[population]\ncustomers = 5\n[load]\nduration = \"2m\"\n";
        let overrides = ["population.customers=1_000", "load.profile=spike", "sessions.report_every = 250ms"];
        let scenario = of_text("a.toml", text, &overrides.map(str::to_owned)).unwrap();
        assert_eq!((scenario.seed, scenario.population.customers), (7, 1_000));
        assert_eq!((scenario.load.profile, scenario.load.duration), (Profile::Spike, Span::minutes(2)));
        assert_eq!(scenario.sessions.report_every, Span::milliseconds(250));
        assert_eq!(scenario.population.stores, Scenario::default().population.stores);
    }

    #[test]
    fn an_unknown_key_is_named_and_so_is_what_was_meant() {
        assert_eq!(
            error_of("[population]\ncustmers = 1\n", &[]),
            "a.toml: unknown key population.custmers; is population.customers meant?"
        );
        assert_eq!(error_of("zebra = 1\n", &[]), "a.toml: unknown key zebra");
        assert_eq!(
            error_of("", &["loda.warm_up=1s"]),
            "--set loda.warm_up=1s: unknown key loda; is load meant?"
        );
    }

    #[test]
    fn a_wrong_value_is_named_on_one_line() {
        let error = error_of("[population]\ncustomers = \"many\"\n", &[]);
        assert!(error.starts_with("a.toml: line 2, column 13: invalid type"), "{error}");
        let error = error_of("", &["load.duration=soon"]);
        assert!(error.starts_with("--set load.duration=soon: \"soon\" is no length of time"), "{error}");
        let error = error_of("", &["load.duration"]);
        assert_eq!(error, "--set load.duration: KEY=VALUE is wanted");
        for error in [error_of("x = [", &[]), error_of("[load]\nprofile = \"tea\"\n", &[])] {
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
