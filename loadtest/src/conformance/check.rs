//! A check: a small conversation that proves some rules kept, or sees one broken.

/// How a conversation stopped short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// The peer broke a rule.
    Broken { rule: u8, seen: String },
    /// It could not be held to its end, through no fault that a rule names.
    NotTried(String),
}

/// What a conversation came to.
pub(super) type Outcome = Result<(), Stop>;

/// A check's result, for the rules that it is about.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) check: &'static str,
    pub(super) rules: &'static [u8],
    pub(super) outcome: Outcome,
    /// Rules that could not be told from this conversation, and why, though the rest was held.
    pub(super) unsaid: Vec<(u8, String)>,
}

/// A breach of a rule, as it was seen.
pub(super) fn broken(rule: u8, seen: impl Into<String>) -> Stop {
    Stop::Broken { rule, seen: seen.into() }
}

/// A conversation that cannot be held.
pub(super) fn not_tried(why: impl Into<String>) -> Stop {
    Stop::NotTried(why.into())
}

/// Holds, or the rule is broken as `seen` says.
pub(super) fn hold(rule: u8, holds: bool, seen: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(broken(rule, seen())) }
}
