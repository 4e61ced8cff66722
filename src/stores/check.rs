//! What a check of a store finds.

/// What was found of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckLine {
    /// Which part.
    pub part: &'static str,
    /// What is right, in a few words, or what is wrong and what to do.
    pub found: Result<String, String>,
}

/// What a start finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartCheck {
    /// All is as needed.
    Right,
    /// It cannot be said: the store is not there, which is waited for.
    Unreachable(String),
    /// Somebody must mend these first.
    Wrong(Vec<String>),
}
