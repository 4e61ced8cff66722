//! `beacond check`: is every part right, before the daemon is started or while it runs.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::ExitCode;

use tokio::runtime::Builder;

use super::registry::Registry;
use super::{Common, Failure, exit};
use crate::config::{Config, RecordSettings};
use crate::data_dir::{self, DataDir, Disk};
use crate::journal;
use crate::stores::CheckLine;
use crate::stores::dynamodb::DynamoDbAdmin;
use crate::stores::postgres::PostgresAdmin;
use crate::stores::redis;

pub(super) fn run(common: &Common) -> Result<ExitCode, Failure> {
    let config = common.config()?;
    let source =
        common.config.as_ref().map_or_else(|| "the defaults".to_owned(), |path| path.display().to_string());
    let mut report = Report { right: true };
    report.line("configuration", Ok(source));
    let running = data_dir::holder(config.data_dir()).ok().flatten();
    match running {
        Some(holder) => {
            let directory = config.data_dir().display();
            report.line(
                "data directory",
                Ok(format!("{directory}, in use by the daemon with pid {}", holder.pid)),
            );
            report.line(
                "addresses",
                Ok(format!("tcp://{} udp://{} http://{}", holder.tcp, holder.udp, holder.admin)),
            );
        }
        None => {
            report.line("data directory", held(&config));
            report.line("addresses", bindable(&config));
        }
    }
    report.line("journal", journal_found(&config));
    match room(&config) {
        Ok(Room::Enough(room)) => report.line("room for the journal", Ok(room)),
        Ok(Room::Scarce(room)) => println!("warn  {:<26}{room}", "room for the journal"),
        Err(wrong) => report.line("room for the journal", Err(wrong)),
    }
    stores(&mut report, &config, common)?;
    Ok(if report.right { ExitCode::SUCCESS } else { ExitCode::from(exit::CONFIG) })
}

struct Report {
    right: bool,
}

impl Report {
    fn line(&mut self, part: &str, found: Result<String, String>) {
        match found {
            Ok(found) => println!("ok    {part:<26}{found}"),
            Err(wrong) => {
                self.right = false;
                println!("WRONG {part:<26}{wrong}");
            }
        }
    }
}

fn held(config: &Config) -> Result<String, String> {
    let held = DataDir::hold(config.data_dir()).map_err(|error| error.to_string())?;
    Ok(format!("{}, writable", held.path().display()))
}

/// Reads all of it; beside a running daemon it is a snapshot.
fn journal_found(config: &Config) -> Result<String, String> {
    let settings = config.journal();
    let (mut entries, mut identities) = (0u64, 0);
    let found = journal::snapshot(&settings.directory, &mut |entry| {
        entries += 1;
        identities += entry.block.identities.len();
    });
    let found = found.map_err(|error| error.to_string())?;
    match found.recovery.damage.first() {
        None => Ok(format!("sound: {entries} entries with {identities} identities")),
        Some(damage) => Err(format!(
            "{} ranges are damaged, the first: {damage}; `beacond journal verify` names all",
            found.recovery.damage.len()
        )),
    }
}

/// How much the disk has for what the journal may become.
enum Room {
    Enough(String),
    /// It works until the disk is full, which is waited for.
    Scarce(String),
}

/// Whether the disk has the room that the journal may come to need.
fn room(config: &Config) -> Result<Room, String> {
    const MIB: u64 = 1 << 20;
    let settings = config.journal();
    let disk = Disk::of(&settings.directory).map_err(|error| error.to_string())?;
    let there: u64 = fs::read_dir(&settings.directory)
        .into_iter()
        .flatten()
        .filter_map(|file| file.ok()?.metadata().ok())
        .map(|file| file.len())
        .sum();
    let needed = settings.max_bytes.saturating_sub(there);
    let (needed_mib, free_mib) = (needed.div_ceil(MIB), disk.free_bytes / MIB);
    if disk.read_only {
        return Err(format!("the disk of {} is read-only", settings.directory.display()));
    }
    if needed > disk.free_bytes {
        return Ok(Room::Scarce(format!(
            "it may grow by {needed_mib} MiB (journal.max_bytes), and the disk has {free_mib} MiB free: it would be \
             full before the journal is"
        )));
    }
    Ok(Room::Enough(format!("it may grow by {needed_mib} MiB, the disk has {free_mib} MiB free")))
}

fn bindable(config: &Config) -> Result<String, String> {
    let listen = config.listen();
    let failed = |what: String| move |error: std::io::Error| format!("cannot listen on {what}: {error}");
    TcpListener::bind(listen.tcp).map_err(failed(format!("tcp://{}", listen.tcp)))?;
    UdpSocket::bind(listen.udp).map_err(failed(format!("udp://{}", listen.udp)))?;
    TcpListener::bind(config.admin()).map_err(failed(format!("http://{}", config.admin())))?;
    Ok(format!("tcp://{} udp://{} http://{}", listen.tcp, listen.udp, config.admin()))
}

/// One line for each part of each store, and for what is registered.
fn stores(report: &mut Report, config: &Config, common: &Common) -> Result<(), Failure> {
    let settings = config.stores()?;
    let mut lines = Vec::new();
    if let RecordSettings::Postgres(record) = &settings.record {
        lines.extend(match PostgresAdmin::open(&record.server).and_then(|admin| admin.check()) {
            Ok(lines) => of_store("postgres", lines),
            Err(error) => vec![("postgres reachable".to_owned(), Err(error.to_string()))],
        });
    }
    if let Some(cache) = &settings.cache {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(exit::SYSTEM, error.to_string()))?;
        lines.extend(of_store("redis", runtime.block_on(redis::check(cache))));
    }
    if let Some(events) = settings.events {
        let admin =
            DynamoDbAdmin::new(events).map_err(|error| Failure::new(exit::SYSTEM, error.to_string()))?;
        lines.extend(of_store("dynamodb", admin.check()));
    }
    for (part, found) in lines {
        report.line(&part, found);
    }
    report.line("registered", registered(common));
    Ok(())
}

fn of_store(store: &str, lines: Vec<CheckLine>) -> Vec<(String, Result<String, String>)> {
    lines.into_iter().map(|line| (format!("{store} {}", line.part), line.found)).collect()
}

fn registered(common: &Common) -> Result<String, String> {
    let registry = Registry::open(common).map_err(|failure| failure.message)?;
    let beacons = registry.beacons().map_err(|error| error.to_string())?.len();
    let gateways = registry.gateways().map_err(|error| error.to_string())?.len();
    let store = match registry {
        Registry::Sqlite(_) => "the embedded store (SQLite)",
        Registry::Postgres(_) => "PostgreSQL",
    };
    Ok(format!("{beacons} beacons, {gateways} gateways in {store}"))
}
