//! What a request is refused with: the service's own error types, their status, their messages.

use std::borrow::Cow;

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: RefusalKind,
    pub(super) message: Cow<'static, str>,
}

/// The error types that this endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusalKind {
    Validation,
    Serialization,
    UnknownOperation,
    MissingAuthenticationToken,
    IncompleteSignature,
    InvalidSignature,
    ResourceNotFound,
    ResourceInUse,
    ConditionalCheckFailed,
    LimitExceeded,
    /// By the schedule, as if capacity were used up.
    Throttled,
    /// More bytes than a request may have.
    TooLarge,
    /// Nothing of the kind happens to a table: this endpoint's own bound on what it keeps.
    Full,
    /// A body that did not come, or not in time.
    Unreadable,
}

impl RefusalKind {
    /// All, in the order of their numbers.
    pub(super) const ALL: [Self; 14] = [
        Self::Validation,
        Self::Serialization,
        Self::UnknownOperation,
        Self::MissingAuthenticationToken,
        Self::IncompleteSignature,
        Self::InvalidSignature,
        Self::ResourceNotFound,
        Self::ResourceInUse,
        Self::ConditionalCheckFailed,
        Self::LimitExceeded,
        Self::Throttled,
        Self::TooLarge,
        Self::Full,
        Self::Unreadable,
    ];

    /// The name that follows the `#` of `__type`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Validation => "ValidationException",
            Self::Serialization => "SerializationException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::ResourceInUse => "ResourceInUseException",
            Self::ConditionalCheckFailed => "ConditionalCheckFailedException",
            Self::LimitExceeded => "LimitExceededException",
            Self::Throttled => "ProvisionedThroughputExceededException",
            Self::TooLarge => "RequestEntityTooLarge",
            Self::Full => "StubFullException",
            Self::Unreadable => "RequestTimeout",
        }
    }

    /// What stands before the name.
    pub(super) const fn namespace(self) -> &'static str {
        match self {
            Self::Validation => "com.amazon.coral.validate",
            Self::Serialization
            | Self::UnknownOperation
            | Self::MissingAuthenticationToken
            | Self::IncompleteSignature
            | Self::InvalidSignature
            | Self::TooLarge
            | Self::Unreadable => "com.amazon.coral.service",
            Self::Full => "loadtest.dynamodb-stub",
            Self::ResourceNotFound
            | Self::ResourceInUse
            | Self::ConditionalCheckFailed
            | Self::LimitExceeded
            | Self::Throttled => "com.amazonaws.dynamodb.v20120810",
        }
    }

    pub(super) const fn status(self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::Unreadable => 408,
            _ => 400,
        }
    }
}

impl Refusal {
    pub(super) fn new(kind: RefusalKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(super) fn validation(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RefusalKind::Validation, message)
    }

    /// A value is not what the parameter must be.
    pub(super) fn invalid(reason: impl AsRef<str>) -> Self {
        Self::validation(format!("One or more parameter values were invalid: {}", reason.as_ref()))
    }

    /// A member of the request breaks a constraint.
    pub(super) fn constraint(value: &str, at: &str, constraint: &str) -> Self {
        Self::validation(format!(
            "1 validation error detected: Value {value} at '{at}' failed to satisfy constraint: {constraint}"
        ))
    }

    /// The service would do it; this endpoint does not.
    pub(super) fn not_here(what: &str) -> Self {
        Self::validation(format!("loadtest dynamodb-stub does not do {what}"))
    }

    pub(super) fn key_mismatch() -> Self {
        Self::validation("The provided key element does not match the schema")
    }

    pub(super) fn throttled() -> Self {
        Self::new(
            RefusalKind::Throttled,
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your \
             provisioning level with the UpdateTable API.",
        )
    }

    /// What the client is sent.
    pub(super) fn body(&self) -> Vec<u8> {
        let kind = format!("{}#{}", self.kind.namespace(), self.kind.name());
        let body = if self.message.is_empty() {
            serde_json::json!({ "__type": kind })
        } else {
            serde_json::json!({ "__type": kind, "message": self.message })
        };
        body.to_string().into_bytes()
    }
}
