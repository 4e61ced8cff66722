//! Values that are allowed each by itself and cannot be meant together.

use super::{Config, ConfigError};

impl Config {
    /// Refuses timeouts and sizes of which one makes the other worthless.
    pub(super) fn clear_of_contradictions(&self, file: &str) -> Result<(), ConfigError> {
        let (sessions, rules) = (&self.sessions, &self.rules);
        let (postgres, dynamodb) = (&self.postgres, &self.dynamodb);
        let max_age_ms = rules.max_age_s.to_u64().saturating_mul(1_000);
        let horizon_ms = rules.horizon_s.to_u64().saturating_mul(1_000);
        let rules = [
            (
                sessions.idle_timeout_ms.to_u64() < self.pipeline.question_timeout_ms.to_u64(),
                ("sessions.idle_timeout_ms", "pipeline.question_timeout_ms"),
                "a session would be over before its question is answered",
            ),
            (
                max_age_ms < horizon_ms,
                ("rules.max_age_s", "rules.horizon_s"),
                "sightings would be too old while they are fresh",
            ),
            (
                self.journal.max_bytes.to_u64() < 4 * self.journal.segment_bytes.to_u64(),
                ("journal.max_bytes", "journal.segment_bytes"),
                "the journal needs room for four segments",
            ),
            (
                postgres.write_timeout_ms.to_u64() < self.pipeline.batch_age_ms.to_u64(),
                ("postgres.write_timeout_ms", "pipeline.batch_age_ms"),
                "a batch would be given up sooner than it is gathered",
            ),
            (
                dynamodb.write_timeout_ms.to_u64() < dynamodb.call_timeout_ms.to_u64(),
                ("dynamodb.write_timeout_ms", "dynamodb.call_timeout_ms"),
                "a write would be given up before one call of it",
            ),
        ];
        match rules.into_iter().find(|(broken, ..)| *broken) {
            None => Ok(()),
            Some((_, (first, second), why)) => {
                let with_value = |key: &str| {
                    let value = self.values.get(key).map_or("?", String::as_str);
                    format!("{key} = {value}")
                };
                let (first, second) = (with_value(first), with_value(second));
                Err(ConfigError::Contradiction { file: file.to_owned(), first, second, why })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_together_is_refused_with_both_keys_and_why() {
        for (toml, named) in [
            ("[sessions]\nidle_timeout_ms = 1000\n", "pipeline.question_timeout_ms = 2000"),
            ("[dynamodb]\nwrite_timeout_ms = 200\n", "dynamodb.write_timeout_ms = 200"),
            ("[rules]\nmax_age_s = 60\n", "rules.horizon_s = 900"),
            ("[journal]\nmax_bytes = 67108864\n", "journal.segment_bytes = 67108864"),
        ] {
            let refused = Config::from_toml(toml, "b.toml").unwrap_err();
            assert!(matches!(refused, ConfigError::Contradiction { .. }), "{refused}");
            let said = refused.to_string();
            assert!(said.starts_with("b.toml: ") && said.contains(named), "{said}");
        }
    }
}
