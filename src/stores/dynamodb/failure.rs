//! What the driver's errors mean: one place decides from error to action.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::ports::WriteError;

/// Why DynamoDB did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// DynamoDB's own name of it, where it answered.
    pub(super) code: Option<String>,
    /// For people.
    pub(super) reason: String,
}

/// What is to be done about a [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// Too much at once: later, and less of it.
    Throttled,
    /// Not reached, not in time, or broken on the other side: later.
    Unavailable,
    /// Something in the call is refused.
    Rejected,
    /// Table, rights, credentials, region: somebody must mend it.
    Misconfigured,
}

const THROTTLED: [&str; 5] = [
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "Throttling",
    "LimitExceededException",
];

const UNAVAILABLE: [&str; 6] = [
    "InternalServerError",
    "InternalFailure",
    "ServiceUnavailable",
    "ReplicatedWriteConflictException",
    "TransactionConflictException",
    "RequestTimeout",
];

const REJECTED: [&str; 3] =
    ["ValidationException", "ItemCollectionSizeLimitExceededException", "RequestEntityTooLarge"];

/// In a ValidationException these say that the table is not the model's: every item would be refused, so none is.
const WRONG_TABLE: [&str; 3] = ["match the schema", "Type mismatch for", "Missing the key"];

impl Failure {
    pub(super) fn misconfigured(reason: impl Into<String>) -> Self {
        Self { kind: FailureKind::Misconfigured, code: None, reason: reason.into() }
    }

    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unavailable, code: None, reason: reason.into() }
    }

    /// Whether DynamoDB answered with this code.
    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// What the driver's error means.
    pub(super) fn of<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let code = error.code().map(str::to_owned);
        let kind = match error {
            SdkError::ServiceError(answer) => {
                let message = error.message().unwrap_or_default();
                kind_of_answer(code.as_deref().unwrap_or_default(), message, answer.raw().status().as_u16())
            }
            SdkError::ConstructionFailure(_) => FailureKind::Misconfigured,
            _ if lacks_credentials(error) => FailureKind::Misconfigured,
            // On the wire or on the way to it; the connection may have been closed while it was idle.
            _ => FailureKind::Unavailable,
        };
        let reason = match (&code, error.message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.clone(),
            (None, _) => causes(error),
        };
        Self { kind, code, reason }
    }

    /// The port's error for it.
    pub(super) fn into_write_error(self) -> WriteError {
        match self.kind {
            FailureKind::Throttled | FailureKind::Unavailable => WriteError::Unavailable(self.reason),
            FailureKind::Rejected => WriteError::Rejected(self.reason),
            FailureKind::Misconfigured => WriteError::Misconfigured(self.reason),
        }
    }
}

fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.is::<CredentialsError>() {
            return true;
        }
        next = cause.source();
    }
    false
}

/// An error and what caused it. Not their `Debug` forms: an answer that cannot be read may hold items.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// A code that is not known here is for somebody to look at: neither are items given up for it, nor is it taken for an
/// outage.
fn kind_of_answer(code: &str, message: &str, status: u16) -> FailureKind {
    if THROTTLED.contains(&code) || status == 429 {
        FailureKind::Throttled
    } else if UNAVAILABLE.contains(&code) || status >= 500 {
        FailureKind::Unavailable
    } else if code == "ValidationException" && WRONG_TABLE.iter().any(|text| message.contains(text)) {
        FailureKind::Misconfigured
    } else if REJECTED.contains(&code) || status == 413 {
        FailureKind::Rejected
    } else {
        FailureKind::Misconfigured
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::{ProvideCredentials, future};
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::config::retry::RetryConfig;
    use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Config, Credentials, Region};

    use super::*;

    #[test]
    fn an_answers_code_decides_and_where_it_is_unknown_its_status() {
        let kind = |code, status| kind_of_answer(code, "", status);
        for code in THROTTLED {
            assert_eq!(kind(code, 400), FailureKind::Throttled);
        }
        assert_eq!(kind("InternalServerError", 500), FailureKind::Unavailable);
        assert_eq!(kind("", 503), FailureKind::Unavailable);
        assert_eq!(kind("", 429), FailureKind::Throttled);
        assert_eq!(kind("ValidationException", 400), FailureKind::Rejected);
        for code in [
            "ResourceNotFoundException",
            "AccessDeniedException",
            "UnrecognizedClientException",
            "ExpiredTokenException",
            "InvalidSignatureException",
            "SomethingNew",
        ] {
            assert_eq!(kind(code, 400), FailureKind::Misconfigured);
        }
    }

    #[test]
    fn a_table_of_other_keys_costs_no_item() {
        let told = "The provided key element does not match the schema";
        assert_eq!(kind_of_answer("ValidationException", told, 400), FailureKind::Misconfigured);
    }

    fn failure(config: Builder) -> Failure {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config: Config =
            config.behavior_version(BehaviorVersion::latest()).retry_config(RetryConfig::disabled()).build();
        let call = Client::from_conf(config).describe_table().table_name("none").send();
        Failure::of(&runtime.block_on(call).unwrap_err())
    }

    fn some_credentials() -> Credentials {
        Credentials::new("id", "secret", None, None, "test")
    }

    #[derive(Debug)]
    struct NoCredentials;

    impl ProvideCredentials for NoCredentials {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded_no_source()))
        }
    }

    #[test]
    fn missing_credentials_are_for_somebody_to_mend() {
        let config = Config::builder().region(Region::new("eu-west-1")).endpoint_url("http://127.0.0.1:9");
        let no_credentials = failure(config.credentials_provider(NoCredentials));
        assert_eq!(no_credentials.kind, FailureKind::Misconfigured, "{no_credentials:?}");
    }

    #[test]
    fn a_port_where_nobody_listens_is_an_outage() {
        // Bound and not listening once the listener is gone.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = failure(
            Config::builder()
                .region(Region::new("eu-west-1"))
                .credentials_provider(some_credentials())
                .endpoint_url(format!("http://{address}")),
        );
        assert_eq!(refused.kind, FailureKind::Unavailable, "{refused:?}");
    }
}
