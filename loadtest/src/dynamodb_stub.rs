//! `loadtest dynamodb-stub`: an endpoint that answers like DynamoDB, for rates beyond an emulator's.

mod batch_write;
mod counts;
mod expression;
mod http;
mod item;
mod number;
mod packed;
mod reading;
mod refusal;
mod schedule;
mod server;
mod shelf;
mod short_text;
mod signature;
mod stub;
mod table;
mod table_requests;
#[cfg(test)]
mod tests;
mod value;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::http::Endpoint;
use self::refusal::RefusalKind;
use self::schedule::{Delay, Rule, Schedules, Share};
use self::stub::Stub;
use self::table::{Definition, Table};
use crate::clock::now_us;
use crate::ending::{Ending, Failure};
use crate::figures::count;

/// How the ARN of every table here begins, with a region that AWS has not: a report can tell that it was no DynamoDB.
pub(crate) const ARN_PREFIX: &str = "arn:aws:dynamodb:stub:000000000000:table/";

/// The header `Server` of every answer.
const SERVER_NAME: &str = concat!("loadtest-dynamodb-stub/", env!("CARGO_PKG_VERSION"));

const HELP: &str = "\
A SCHEDULE is one rule or several, separated by commas; of those that hold the largest counts:
  10%                       always
  every 5s for 1s           for a second after 5 s, 10 s, 15 s and so on
  50% from 30s to 40s       once; without \"to\" from then on
Without a share all is meant. Times count from the first BatchWriteItem call.

Exit codes: 0 ended by Ctrl-C or SIGTERM, 1 writes were refused for --max-items,
64 wrong arguments, 69 the address cannot be listened on";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct DynamoDbStubArguments {
    /// Where to listen; port 0 takes a free one. Nobody is asked who they are: keep it on loopback.
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8_000))]
    listen: SocketAddr,
    /// The table that is there from the start: made as `beacond migrate --create-dynamodb` makes it.
    #[arg(long, value_name = "NAME", default_value = "CustomerEvents")]
    table: String,
    /// Start without a table.
    #[arg(long, conflicts_with = "table")]
    empty: bool,
    /// Answer so late: a time such as 5ms, or with a window, as in "200ms every 30s for 5s".
    #[arg(long, value_name = "SCHEDULE", value_delimiter = ',')]
    delay: Vec<Rule<Delay>>,
    /// Make the delays differ: half are below --delay, one in a hundred above this.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, requires = "delay")]
    delay_p99: Option<Duration>,
    /// Throttle this share of BatchWriteItem calls as a whole.
    #[arg(long, value_name = "SCHEDULE", value_delimiter = ',')]
    throttle: Vec<Rule<Share>>,
    /// Leave this share of a BatchWriteItem call's items unprocessed.
    #[arg(long, value_name = "SCHEDULE", value_delimiter = ',')]
    unprocessed: Vec<Rule<Share>>,
    /// What the schedules' chances are drawn from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Items kept at most, about 130 bytes each; writes beyond are refused.
    #[arg(long, value_name = "N", default_value = "50_000_000", value_parser = number)]
    max_items: u64,
    /// Threads that answer.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Write the endpoint's address to this file when it can be asked.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Print nothing but errors.
    #[arg(long)]
    quiet: bool,
}

fn number(text: &str) -> Result<u64, String> {
    let digits: String = text.chars().filter(|one| *one != '_').collect();
    digits
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "a whole number above 0 is wanted".to_owned())
}

/// Serves until Ctrl-C or SIGTERM, then tells what was asked.
pub(crate) fn run(arguments: &DynamoDbStubArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let stub = stub(arguments)?;
    let mut builder = match arguments.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder
        .worker_threads(arguments.threads.into())
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let endpoint = Arc::new(Endpoint::new(stub));
    runtime.block_on(listen(arguments, Arc::clone(&endpoint), out))?;
    let summary = endpoint.stub.counts.summary(&endpoint.stub.tables);
    if !arguments.quiet {
        write!(out, "{summary}").context("cannot print")?;
    }
    let is_full = summary.refused.contains_key(RefusalKind::Full.name());
    Ok(if is_full { Ending::Bad } else { Ending::Good })
}

fn stub(arguments: &DynamoDbStubArguments) -> Result<Stub, Failure> {
    let schedules = Schedules {
        seed: arguments.seed,
        throttle: arguments.throttle.clone(),
        unprocessed: arguments.unprocessed.clone(),
        delay: arguments.delay.clone(),
        delay_p99: arguments.delay_p99,
    };
    let stub = Stub::new(schedules, arguments.max_items);
    if !arguments.empty {
        let table = Table::new(arguments.table.clone(), Definition::of_the_model(), now_us() / 1_000_000);
        *table.time_to_live() = Some("ExpiresAt".to_owned());
        stub.tables.add(table).map_err(|refusal| Failure::Usage(refusal.message.into_owned()))?;
    }
    Ok(stub)
}

async fn listen(
    arguments: &DynamoDbStubArguments,
    endpoint: Arc<Endpoint>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let unavailable = |error: std::io::Error| Failure::Listen { address: arguments.listen, source: error };
    let listener = TcpListener::bind(arguments.listen).await.map_err(unavailable)?;
    let address = listener.local_addr().map_err(unavailable)?;
    let mut ended = Signals::new().context("cannot hear signals")?;
    if !arguments.quiet {
        let table = if arguments.empty { "no table" } else { &arguments.table };
        let held = count(arguments.max_items);
        writeln!(
            out,
            "http://{address} answers like DynamoDB: {table}, {held} items at most; Ctrl-C ends it"
        )
        .context("cannot print")?;
        out.flush().context("cannot print")?;
    }
    if let Some(file) = &arguments.ready_file {
        write_whole(file, &format!("http://{address}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let stop = CancellationToken::new();
    let serving = server::serve(listener, endpoint, stop.clone());
    let stopping = async {
        ended.wait().await;
        stop.cancel();
    };
    tokio::join!(serving, stopping);
    Ok(())
}

/// Nobody sees a part of it.
fn write_whole(file: &Path, text: &str) -> std::io::Result<()> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    std::fs::write(&part, text)?;
    std::fs::rename(part, file)
}

/// What ends it.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
