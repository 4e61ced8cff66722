//! A DynamoDB for tests: dynoxide on the address given, in memory or in the SQLite file given.

use std::env;
use std::net::SocketAddr;
use std::process::ExitCode;

use dynoxide::Database;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dynamodb-engine: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal ends it.
fn run(arguments: &[String]) -> Result<(), String> {
    let (address, file) = match arguments {
        [address] => (address, None),
        [address, file] => (address, Some(file)),
        _ => return Err("arguments: ADDRESS:PORT [FILE]".into()),
    };
    let address: SocketAddr = address.parse().map_err(|_| format!("{address} is no address with a port"))?;
    let database = match file {
        Some(file) => Database::new(file),
        None => Database::memory(),
    };
    let database = database.map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(dynoxide::server::start(&address.ip().to_string(), address.port(), database))
}
