//! Some rounds on one set of stores and one volume: everything in them adds up at the end.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use beacon_protocol::AckLevel;
use rustix::process::Signal;
use tokio::sync::watch;
use tokio_postgres::NoTls;

use crate::daemon::{Daemon, Launch};
use crate::datagrams::UdpProxy;
use crate::disk::Disk;
use crate::engines::Engines;
use crate::gateway::{Gateway, Identity, REGISTERED, Transport};
use crate::journal::{flip_bits, named};
use crate::proxy::TcpProxy;
use crate::random::Random;
use crate::sighting::{OURS, registry};
use crate::stores::Readers;

/// The daemon's configuration: short limits, so that a round sees what takes minutes in the world.
const CONFIG: &str = "[sessions]
drain_deadline_ms = 1500
[rules]
horizon_s = 60
[pipeline]
batch_age_ms = 5
[journal]
segment_bytes = 4194304
max_bytes = 67108864
[stores]
record = \"postgres\"
cache = \"redis\"
events = \"dynamodb\"
[postgres]
connect_timeout_ms = 1000
write_timeout_ms = 2000
[directory]
snapshot_every_s = 10
[dynamodb]
call_timeout_ms = 1000
write_timeout_ms = 4000
";

/// Nobody listens there: where proxies lead before there is a daemon.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// Stores, a volume, the daemon on them and the gateways before it.
#[derive(Debug)]
pub(crate) struct Era {
    pub(crate) daemon: Option<Daemon>,
    pub(crate) disk: Disk,
    pub(crate) readers: Readers,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) tcp: TcpProxy,
    pub(crate) udp: UdpProxy,
    /// Where its operators' page is, while it runs.
    pub(crate) admin: watch::Sender<Option<SocketAddr>>,
    /// Rows of each store that its rounds account for.
    pub(crate) rows: [usize; 2],
    /// Identities that `journal verify` named as lost, once bits of the journal were flipped.
    pub(crate) damage: Option<u64>,
    launch: Launch,
    directory: PathBuf,
    database: String,
}

impl Era {
    /// Makes everything anew.
    ///
    /// # Errors
    /// When a store, the volume or a proxy cannot be made.
    pub(crate) async fn begin(
        engines: &Engines,
        program: &Path,
        directory: &Path,
        number: u32,
        seed: u64,
        mutant: Option<&str>,
    ) -> anyhow::Result<Self> {
        let directory = directory.join(format!("era-{number}"));
        let orders = directory.join("orders");
        fs::create_dir_all(&orders)?;
        let (database, table) = (format!("torture_{number}"), format!("TortureEvents{number}"));
        on_server(&engines.postgres_url("postgres"), &format!("CREATE DATABASE {database}")).await?;
        let config = directory.join("beacond.toml");
        fs::write(&config, format!("{CONFIG}table = \"{table}\"\n"))?;
        let mut environment = engines.environment(&database);
        environment.push(("BEACOND_TORTURE_DIR".into(), orders.display().to_string()));
        environment.extend(mutant.map(|mutant| ("BEACOND_MUTANT".into(), mutant.to_owned())));
        let program = program.to_owned();
        let launch = Launch { program, directory: directory.clone(), config, environment };
        let disk = Disk::make(&directory.join("disk"))?;
        launch.run(&["migrate", "--create-dynamodb"], &disk.data())?;
        import(&launch, &directory, &disk)?;
        let postgres_url = engines.postgres_url(&database);
        let mut random = Random::of(seed, u64::from(number));
        Ok(Self {
            daemon: None,
            disk,
            readers: Readers::open(&postgres_url, &engines.dynamodb_endpoint(), &table).await,
            gateways: gateways(&mut random),
            tcp: TcpProxy::start(NOWHERE).await?,
            udp: UdpProxy::start(NOWHERE, random.next()).await?,
            admin: watch::Sender::new(None),
            rows: [0, 0],
            damage: None,
            launch,
            directory,
            database,
        })
    }

    /// Starts the daemon, if it does not run; does not wait until it accepts.
    ///
    /// # Errors
    /// When there is no such program.
    pub(crate) fn launch(&mut self) -> anyhow::Result<()> {
        if self.daemon.is_none() {
            self.daemon = Some(self.launch.start(&self.disk.data())?);
        }
        Ok(())
    }

    /// Waits until the daemon accepts, and leads gateways to it.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let daemon = self.daemon.as_mut().context("there is no daemon")?;
        let addresses = daemon.ready().await?;
        self.tcp.lead_to(addresses.tcp);
        self.udp.lead_to(addresses.udp);
        self.admin.send_replace(Some(addresses.admin));
        Ok(())
    }

    /// Kills the daemon, if it runs.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.admin.send_replace(None);
        self.daemon.take().map_or(Ok(()), Daemon::kill)
    }

    /// An order to the daemon: a file that it looks for.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn order(&self, name: &str, text: &str) -> anyhow::Result<()> {
        // Renamed, so that no half of it is read.
        let (beside, order) = (self.directory.join(name), self.directory.join("orders").join(name));
        fs::write(&beside, text)?;
        Ok(fs::rename(beside, order)?)
    }

    /// Takes an order back.
    pub(crate) fn withdraw(&self, name: &str) {
        // Not there if it was not given.
        let _removed = fs::remove_file(self.directory.join("orders").join(name));
    }

    /// Flips bits of the journal, and has what that cost named. The daemon does not run.
    ///
    /// # Errors
    /// When the journal cannot be read, by us or by `journal verify`.
    pub(crate) fn damage_journal(&mut self, random: &mut Random) -> anyhow::Result<()> {
        if flip_bits(&self.disk.data(), random)? {
            let verified = self.launch.verify_journal(&self.disk.data())?;
            let named = named(&verified).context("journal verify")?;
            self.damage = Some(self.damage.unwrap_or(0) + named);
        }
        Ok(())
    }

    /// Ends it: the daemon stops in order with nothing left, and the stores hold what its rounds found, no more.
    ///
    /// # Errors
    /// When that is not so.
    pub(crate) async fn end(mut self, engines: &Engines) -> anyhow::Result<()> {
        self.admin.send_replace(None);
        if let Some(daemon) = self.daemon.take() {
            daemon.signal(Signal::TERM)?;
            let status = daemon.ended().await?;
            ensure!(status.code() == Some(0), "nothing waits, and the daemon stopped with {status}");
        }
        let found = self.readers.count().await?;
        ensure!(found == self.rows, "rounds account for {:?} rows and items, there are {found:?}", self.rows);
        // A server that recovers syncs every file it has: there are to be no more than an era's.
        on_server(&engines.postgres_url("postgres"), &format!("DROP DATABASE {}", self.database)).await
    }

    /// Copies what a look at a breach needs, and says where to.
    ///
    /// # Errors
    /// When there is no room.
    pub(crate) fn keep(&mut self, to: &Path) -> anyhow::Result<()> {
        self.kill()?;
        let mut copy = Command::new("cp");
        copy.args(["-a", "--sparse=always"]).arg(&self.directory).arg(to);
        let _status = copy.status()?;
        Ok(())
    }
}

/// Over TCP and UDP, of both levels; one that breaks rules, and one that may report one store only.
fn gateways(random: &mut Random) -> Vec<Gateway> {
    let identity =
        |name: &str, transport, level, reuses| Identity { name: name.into(), transport, level, reuses };
    let identities = [
        identity("torture-tcp-journal", Transport::Tcp, AckLevel::Journal, false),
        identity("torture-tcp-stored", Transport::Tcp, AckLevel::Stored, false),
        identity("torture-udp-journal", Transport::Udp, AckLevel::Journal, false),
        identity("torture-udp-stored", Transport::Udp, AckLevel::Stored, false),
        identity("torture-reuses", Transport::Tcp, AckLevel::Journal, true),
        identity(REGISTERED, Transport::Tcp, AckLevel::Journal, false),
    ];
    identities.map(|identity| Gateway::new(identity, random.next())).into()
}

fn import(launch: &Launch, directory: &Path, disk: &Disk) -> anyhow::Result<()> {
    let gateways = format!("gateway_id,stores,status\n{REGISTERED},{OURS},active\n");
    for (noun, csv) in [("beacon", registry()), ("gateway", gateways)] {
        let file = directory.join(format!("{noun}s.csv"));
        fs::write(&file, csv)?;
        launch.run(&[noun, "import", &file.display().to_string()], &disk.data())?;
    }
    Ok(())
}

async fn on_server(url: &str, sql: &str) -> anyhow::Result<()> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let run = async move { client.batch_execute(sql).await };
    let (ran, _ended) = tokio::join!(run, connection);
    Ok(ran?)
}
