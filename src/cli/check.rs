//! `beacond check`: is every part right, before the daemon is started or while it runs.

use std::net::{TcpListener, UdpSocket};
use std::process::ExitCode;

use super::{Common, Failure, exit};
use crate::config::Config;
use crate::data_dir::{self, DataDir};

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
    report.line("store", store(common));
    Ok(if report.right { ExitCode::SUCCESS } else { ExitCode::from(exit::CONFIG) })
}

struct Report {
    right: bool,
}

impl Report {
    fn line(&mut self, part: &str, found: Result<String, String>) {
        match found {
            Ok(found) => println!("ok    {part:<16}{found}"),
            Err(wrong) => {
                self.right = false;
                println!("WRONG {part:<16}{wrong}");
            }
        }
    }
}

fn held(config: &Config) -> Result<String, String> {
    let held = DataDir::hold(config.data_dir()).map_err(|error| error.to_string())?;
    Ok(format!("{}, writable", held.path().display()))
}

fn bindable(config: &Config) -> Result<String, String> {
    let listen = config.listen();
    let failed = |what: String| move |error: std::io::Error| format!("cannot listen on {what}: {error}");
    TcpListener::bind(listen.tcp).map_err(failed(format!("tcp://{}", listen.tcp)))?;
    UdpSocket::bind(listen.udp).map_err(failed(format!("udp://{}", listen.udp)))?;
    TcpListener::bind(config.admin()).map_err(failed(format!("http://{}", config.admin())))?;
    Ok(format!("tcp://{} udp://{} http://{}", listen.tcp, listen.udp, config.admin()))
}

fn store(common: &Common) -> Result<String, String> {
    let admin = common.store().map_err(|failure| failure.message)?;
    let beacons = admin.beacons().map_err(|error| error.to_string())?.len();
    let gateways = admin.gateways().map_err(|error| error.to_string())?.len();
    Ok(format!("embedded (SQLite), {beacons} beacons, {gateways} gateways registered"))
}
