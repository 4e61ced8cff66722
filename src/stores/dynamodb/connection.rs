//! A client of the SDK, made the way every AWS tool makes one, with our own timeouts and no retries of its own.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{Builder, ProvideCredentials, StalledStreamProtectionConfig};
use tokio::runtime::Runtime;

use super::DynamoDbSettings;
use super::failure::{Failure, causes};

/// A connection that is not made in this time is not waited for.
const CONNECT_AT_MOST: Duration = Duration::from_secs(2);

/// How long fetching credentials and the region may take (from a role's endpoint, for example); on top of a call's own
/// time when they must be renewed.
const CREDENTIALS_AT_MOST: Duration = Duration::from_secs(6);

/// A runtime on the calling thread.
pub(super) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Makes a client. Nothing is sent to DynamoDB yet, but credentials and region are there.
pub(super) async fn connect(settings: &DynamoDbSettings) -> Result<Client, Failure> {
    let load = aws_config::defaults(BehaviorVersion::latest()).load();
    let shared = tokio::time::timeout(CREDENTIALS_AT_MOST, load)
        .await
        .map_err(|_| Failure::unavailable("the region could not be found out in time"))?;
    let mut config = Builder::from(&shared)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_AT_MOST.min(settings.call_timeout))
                .operation_attempt_timeout(settings.call_timeout)
                .operation_timeout(settings.call_timeout + CREDENTIALS_AT_MOST)
                .build(),
        );
    if let Some(endpoint) = &settings.endpoint {
        config = config.endpoint_url(endpoint);
    }
    if shared.region().is_none() {
        return Err(Failure::misconfigured("no AWS region: set AWS_REGION, or a region in the profile"));
    }
    let provider = shared.credentials_provider().ok_or_else(|| {
        Failure::misconfigured("no AWS credentials in the environment, a profile or a role")
    })?;
    let credentials = tokio::time::timeout(CREDENTIALS_AT_MOST, provider.provide_credentials());
    match credentials.await {
        Ok(Ok(_)) => Ok(Client::from_conf(config.build())),
        // A service that gives out credentials may be gone for a while, at the start of a machine above all.
        Ok(Err(error)) => Err(match error {
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
                Failure::misconfigured(format!("no AWS credentials: {}", causes(&error)))
            }
            _ => Failure::unavailable(format!("no AWS credentials: {}", causes(&error))),
        }),
        Err(_) => Err(Failure::unavailable("AWS credentials could not be fetched in time")),
    }
}
