//! Connects to the server that a URL names, over TLS where the URL asks for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::STORE;
use super::failure::words;
use crate::ports::StoreError;

/// What to connect to, and how long things there may take.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// `postgresql://user:password@host:port/database?option=value`, with libpq's options as far as the driver knows
    /// them. `sslmode` is `disable`, `prefer` (the default: TLS if the server has it), `require`, `verify-ca` or
    /// `verify-full`; whichever it is, a server that speaks TLS must show a certificate for its name that the
    /// system's authorities signed, or those of the file `sslrootcert` names.
    pub url: String,
    /// How long connecting may take, TLS and authentication included.
    pub connect_timeout: Duration,
    /// After how long the server ends a statement, and a transaction in which nothing happens.
    pub statement_timeout: Duration,
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSettings")
            .field("url", &"redacted")
            .field("connect_timeout", &self.connect_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .finish()
    }
}

/// Why there is no connection. No word of it holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be used.
    #[error("the URL of PostgreSQL: {0}")]
    Url(&'static str),
    /// The certificates to trust cannot be read.
    #[error("certificates to trust: {0}")]
    Certificates(String),
    /// The server, or the way to it, said no.
    #[error("connecting: {}", words(.0))]
    Refused(#[source] Error),
    /// Nothing came in time.
    #[error("connecting took over {} ms", .0.as_millis())]
    TimedOut(Duration),
}

impl From<ConnectError> for StoreError {
    fn from(error: ConnectError) -> Self {
        Self::Unavailable { store: STORE, reason: error.to_string() }
    }
}

/// The driver's half of a connection: a future to be polled for as long as the client is used.
pub(super) type Link = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Makes connections of one kind.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    connect_timeout: Duration,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("hosts", &self.config.get_hosts()).finish_non_exhaustive()
    }
}

impl Connector {
    /// Reads the URL, and the certificates to trust if it may come to TLS. Connects to nothing yet.
    pub(super) fn new(settings: &PostgresSettings) -> Result<Self, ConnectError> {
        let mut url = Url::split(&settings.url)?;
        let ssl_mode = url.take("sslmode")?;
        let root_file = url.take("sslrootcert")?;
        // The parser's own words may quote a piece of a password with a `?` or `@` in it.
        let mut config: Config = url.join().parse().map_err(|_| {
            ConnectError::Url("not of the form postgresql://user@host:port/database?option=value, or an option is not known")
        })?;
        config.ssl_mode(match ssl_mode.as_deref() {
            None | Some("prefer") => SslMode::Prefer,
            Some("disable") => SslMode::Disable,
            Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
            Some(_) => {
                return Err(ConnectError::Url(
                    "sslmode is one of disable, prefer, require, verify-ca, verify-full",
                ));
            }
        });
        limit(&mut config, settings);
        let roots = match (config.get_ssl_mode(), root_file.as_deref()) {
            (SslMode::Disable, _) => RootCertStore::empty(),
            (_, None | Some("system")) => system_roots(),
            (_, Some(file)) => roots_of(file)?,
        };
        Ok(Self { config, tls: tls(roots)?, connect_timeout: settings.connect_timeout })
    }

    /// A connection, of which the second half is still to be polled.
    pub(super) async fn connect(&self) -> Result<(Client, Link), ConnectError> {
        match tokio::time::timeout(self.connect_timeout, self.config.connect(self.tls.clone())).await {
            Ok(connected) => connected.map_err(ConnectError::Refused),
            Err(_) => Err(ConnectError::TimedOut(self.connect_timeout)),
        }
    }
}

/// After how long without a word the system asks whether the server is there, and how often it asks again.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Limits of the connection and of what is done on it.
fn limit(config: &mut Config, settings: &PostgresSettings) {
    if config.get_application_name().is_none() {
        config.application_name("beacond");
    }
    config
        .connect_timeout(settings.connect_timeout)
        .keepalives(true)
        .keepalives_idle(KEEPALIVE_INTERVAL)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(3)
        .tcp_user_timeout(settings.statement_timeout);
    let timeout_ms = settings.statement_timeout.as_millis();
    let of_url = config.get_options().map(|options| format!(" {options}")).unwrap_or_default();
    config.options(format!(
        "-c statement_timeout={timeout_ms} -c idle_in_transaction_session_timeout={timeout_ms}{of_url}"
    ));
}

fn tls(roots: RootCertStore) -> Result<MakeRustlsConnect, ConnectError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Certificates(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// The system's authorities. None found is no error here: the server may not speak TLS.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

fn roots_of(file: &str) -> Result<RootCertStore, ConnectError> {
    let wrong = |error: &dyn fmt::Display| ConnectError::Certificates(format!("{file}: {error}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
        roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"no certificate in it"));
    }
    Ok(roots)
}

/// A URL apart: the driver knows neither all values of `sslmode` nor `sslrootcert`.
struct Url<'u> {
    base: &'u str,
    options: Vec<(&'u str, &'u str)>,
}

impl<'u> Url<'u> {
    fn split(url: &'u str) -> Result<Self, ConnectError> {
        if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
            return Err(ConnectError::Url("it begins with postgresql://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let options = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        Ok(Self { base, options })
    }

    /// The value of an option, which is then none of the URL's; the last one counts, as in the driver.
    fn take(&mut self, name: &str) -> Result<Option<String>, ConnectError> {
        let mut taken = None;
        self.options.retain(|(key, value)| {
            if *key == name {
                taken = Some(*value);
            }
            *key != name
        });
        taken.map(unescaped).transpose()
    }

    fn join(&self) -> String {
        let options: Vec<_> = self.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{}?{}", self.base, options.join("&"))
    }
}

/// Percent-escapes undone.
fn unescaped(text: &str) -> Result<String, ConnectError> {
    let broken = ConnectError::Url("a percent-escape in it is broken");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let Some((digits, after)) = after.split_first_chunk::<2>() else { return Err(broken) };
        let hex = std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(byte) = hex else { return Err(broken) };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> PostgresSettings {
        PostgresSettings {
            url: url.to_owned(),
            connect_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(5),
        }
    }

    fn connector(url: &str) -> Result<Connector, ConnectError> {
        Connector::new(&settings(url))
    }

    #[test]
    fn every_ssl_mode_of_libpq_that_keeps_its_word_is_taken() {
        for (mode, expected) in [
            ("disable", SslMode::Disable),
            ("prefer", SslMode::Prefer),
            ("require", SslMode::Require),
            ("verify-ca", SslMode::Require),
            ("verify%2Dfull", SslMode::Require),
        ] {
            let connector =
                connector(&format!("postgresql://h/d?sslmode={mode}&application_name=mine")).unwrap();
            assert_eq!(connector.config.get_ssl_mode(), expected, "{mode}");
            assert_eq!(connector.config.get_application_name(), Some("mine"), "{mode}");
        }
        assert!(connector("postgres://h/d?sslmode=allow").is_err());
    }

    #[test]
    fn limits_and_name_are_set_and_the_url_may_add_options() {
        let connector = connector("postgresql://h/d?options=-c%20geqo%3Doff").unwrap();
        let options = connector.config.get_options().unwrap();
        assert_eq!(
            options,
            "-c statement_timeout=5000 -c idle_in_transaction_session_timeout=5000 -c geqo=off"
        );
        assert_eq!(connector.config.get_application_name(), Some("beacond"));
        assert_eq!(connector.config.get_connect_timeout(), Some(&Duration::from_secs(3)));
    }

    #[test]
    fn no_form_of_it_and_no_error_shows_a_credential() {
        let settings = settings("postgresql://user:hidden@h/d");
        let connector = Connector::new(&settings).unwrap();
        assert!(!format!("{settings:?} {connector:?}").contains("hidden"));
        for url in [
            "postgresql://u:x?hidden=1@h/d",
            "postgresql://u:%hidden@h/d",
            "hidden",
            "postgresql://u@h:hidden/d",
        ] {
            let shown = match Connector::new(&self::settings(url)) {
                Ok(connector) => format!("{connector:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!shown.contains("hidden"), "{url}: {shown}");
        }
    }

    #[test]
    fn a_root_file_must_be_there_and_hold_a_certificate() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        assert!(matches!(
            connector(&format!("postgresql://h/d?sslmode=verify-full&sslrootcert={path}")),
            Err(ConnectError::Certificates(_))
        ));
        assert!(connector("postgresql://h/d?sslrootcert=/nowhere/root.pem").is_err());
        assert!(connector("postgresql://h/d?sslmode=disable&sslrootcert=/nowhere/root.pem").is_ok());
    }
}
