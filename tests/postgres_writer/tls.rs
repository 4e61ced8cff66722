//! TLS to the server: asked for by the URL, and never without its certificate verified.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use beacon_stack::Postgres;
use beacond::ports::{BatchWriter, Delivery, WriteError};
use beacond::stores::postgres::{ForeignKeys, PostgresSettings, PostgresWriter, PostgresWriterSettings};
use tempfile::TempDir;

use crate::psql;
use crate::scene::{PATIENCE, crowd};

/// A certificate for 127.0.0.1, signed by itself, and its key.
fn make_certificate(directory: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=beacond test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(directory)
        .output()
        .expect("openssl, which PostgreSQL's package brings along, is needed for this test");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Has a server of the test's own speak TLS with the certificate.
fn speak_tls(server: &Postgres, directory: &Path) {
    for (file, parameter) in [("cert.pem", "ssl_cert_file"), ("key.pem", "ssl_key_file")] {
        let content = fs::read_to_string(directory.join(file)).unwrap();
        // By the server, so that the key is its user's and nobody else can read it.
        let copy = format!(
            "COPY (SELECT unnest(string_to_array('{content}', E'\\n'))) TO PROGRAM 'umask 077; cat > {file}'"
        );
        psql::run(&server.url(), &copy).unwrap();
        psql::run(&server.url(), &format!("ALTER SYSTEM SET {parameter} = '{file}'")).unwrap();
    }
    psql::run(&server.url(), "ALTER SYSTEM SET ssl = on").unwrap();
    psql::run(&server.url(), "SELECT pg_reload_conf()").unwrap();
    while psql::run(&format!("{}?sslmode=require", server.url()), "SELECT 1").is_err() {}
}

fn writer(url: String) -> PostgresWriter {
    PostgresWriter::new(&PostgresWriterSettings {
        server: PostgresSettings {
            url,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: PATIENCE,
        },
        connections: 1,
        write_timeout: PATIENCE,
        foreign_keys: ForeignKeys::CheckedByRow,
    })
    .unwrap()
}

#[test]
fn rows_go_over_tls_only_to_a_server_whose_certificate_is_right() {
    let directory = TempDir::new().unwrap();
    let server = Postgres::start(&directory.path().join("postgres")).unwrap();
    psql::run(&server.url(), include_str!("../../migrations/postgres/V1__schema.sql")).unwrap();
    psql::run(
        &server.url(),
        "INSERT INTO beacons (beacon_id, store_id, major, minor)
         SELECT repeat('0' || n, 4) || repeat('-0' || n || '0' || n, 4) || repeat('0' || n, 4), 's', 1, n
         FROM generate_series(0, 3) n",
    )
    .unwrap();
    make_certificate(directory.path());
    speak_tls(&server, directory.path());
    let root = directory.path().join("cert.pem");
    let url = |options: &str| format!("{}?{options}", server.url());
    for mode in ["verify-full", "verify-ca", "require", "prefer"] {
        let mut writer = writer(url(&format!("sslmode={mode}&sslrootcert={}", root.display())));
        writer.write(&crowd(mode, 3, 0), Delivery::First).unwrap();
        let encrypted = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
            WHERE application_name = 'beacond' AND state = 'idle'";
        assert!(psql::run(&server.url(), encrypted).unwrap().lines().any(|line| line == "t"), "{mode}");
    }
    for (options, host) in [
        ("sslmode=require".to_owned(), "127.0.0.1"),
        ("sslmode=prefer".to_owned(), "127.0.0.1"),
        (format!("sslmode=verify-full&sslrootcert={}", root.display()), "localhost"),
    ] {
        let refused =
            writer(url(&options).replace("127.0.0.1", host)).write(&crowd("no", 3, 0), Delivery::First);
        let Err(WriteError::Unavailable(reason)) = refused else { panic!("{options}: {refused:?}") };
        assert!(reason.contains("certificate"), "{options}: {reason}");
    }
    writer(url("sslmode=disable")).write(&crowd("plain", 3, 0), Delivery::First).unwrap();
    assert_eq!(psql::run(&server.url(), "SELECT count(*) FROM customers").unwrap(), "15");
}
