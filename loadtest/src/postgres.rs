//! A connection to the PostgreSQL that a URL names, over TLS where the URL asks for it. A URL has a password in it: it comes
//! from the environment or a file, and no error shows a word of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::JoinSet;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The variable that names the server, as for the daemon.
pub(crate) const URL_VARIABLE: &str = "BEACOND_POSTGRES_URL";

/// TLS and authentication included.
const CONNECT_AT_MOST: Duration = Duration::from_secs(10);

/// The URL of a file, else of the environment, if either has one.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn url(file: Option<&Path>) -> std::io::Result<Option<String>> {
    let url = match file {
        Some(file) => Some(std::fs::read_to_string(file)?.trim().to_owned()),
        None => std::env::var(URL_VARIABLE).ok(),
    };
    Ok(url.filter(|url| !url.is_empty()))
}

/// A client, and the driver's half of the connection, which ends with the set it is in.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
    _driver: JoinSet<()>,
}

/// Connects. Certificates are those of the system's authorities, or of the file that `sslrootcert` names.
///
/// # Errors
/// In words, without the URL.
pub(crate) async fn connect(url: &str) -> Result<Link, String> {
    let (config, root_file) = configured(url)?;
    let roots = match (config.get_ssl_mode(), root_file.as_deref()) {
        (SslMode::Disable, _) => RootCertStore::empty(),
        (_, None | Some("system")) => system_roots(),
        (_, Some(file)) => roots_of(file)?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connected = tokio::time::timeout(CONNECT_AT_MOST, config.connect(MakeRustlsConnect::new(tls))).await;
    let (client, connection) = connected
        .map_err(|_| format!("connecting took over {} s", CONNECT_AT_MOST.as_secs()))?
        .map_err(|error| words(&error))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Whoever asks is told what became of the connection.
        let _ = connection.await;
    });
    Ok(Link { client, _driver: driver })
}

/// An error with its cause, on one line.
pub(crate) fn words(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;

    let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
    format!("{error}{cause}").replace('\n', " ")
}

/// The driver knows neither `sslrootcert` nor libpq's modes that verify; it verifies always.
fn configured(url: &str) -> Result<(Config, Option<String>), String> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut rest, mut mode, mut root_file) = (Vec::new(), None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value),
            Some(("sslrootcert", value)) => root_file = Some(value.replace("%2F", "/")),
            _ => rest.push(pair),
        }
    }
    // The parser's own words may quote a piece of a password.
    let mut config: Config = format!("{base}?{}", rest.join("&"))
        .parse()
        .map_err(|_| "the URL is not of the form postgresql://user@host:port/database?option=value")?;
    config.ssl_mode(match mode {
        None | Some("prefer") => SslMode::Prefer,
        Some("disable") => SslMode::Disable,
        Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
        Some(_) => {
            return Err("sslmode is one of disable, prefer, require, verify-ca, verify-full".to_owned());
        }
    });
    if config.get_application_name().is_none() {
        config.application_name("loadtest");
    }
    Ok((config, root_file))
}

/// None found is no error here: the server may not speak TLS.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots_of(file: &str) -> Result<RootCertStore, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("certificates to trust: {file}: {error}");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
        roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_of_libpq_are_taken_and_no_error_shows_the_url() {
        for (mode, expected) in
            [("disable", SslMode::Disable), ("prefer", SslMode::Prefer), ("verify-full", SslMode::Require)]
        {
            let (config, file) =
                configured(&format!("postgresql://u@h/d?sslmode={mode}&sslrootcert=%2Fca.pem")).unwrap();
            assert_eq!((config.get_ssl_mode(), file.as_deref()), (expected, Some("/ca.pem")));
        }
        for wrong in ["postgresql://u:hidden@h:hidden/d", "hidden", "postgresql://u:hidden@h/d?sslmode=allow"]
        {
            assert!(!configured(wrong).unwrap_err().contains("hidden"), "{wrong}");
        }
    }
}
