//! Whether the daemon should be given gateways, and if not, why.

use std::fmt;

use serde::Serialize;

/// Why the daemon is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What scripts go by: it stays as it is from version to version.
    pub code: &'static str,
    /// What people read.
    pub words: String,
}

/// What `/ready` answers. As text it is `ready`, or a line a reason.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    pub(super) ready: bool,
    reasons: Vec<Reason>,
}

impl Readiness {
    pub(super) fn new(reasons: Vec<Reason>) -> Self {
        Self { ready: reasons.is_empty(), reasons }
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ready {
            return f.write_str("ready\n");
        }
        for Reason { code, words } in &self.reasons {
            // A store's words may have several lines.
            let line: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            writeln!(f, "{code}: {line}")?;
        }
        Ok(())
    }
}
