//! A database of a test's own, written and read by psql.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use beacon_stack::{Postgres, postgres_binaries};

use crate::harness::home::finished;
use crate::harness::lines::Lines;
use crate::harness::{PATIENCE, unique_name};
use crate::model::tables::{Bits, IdentityRow, Tables};

/// How the model writes a time.
const TIME: &str = r#"'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"#;

/// A database, dropped at the end.
#[derive(Debug)]
pub(crate) struct Database {
    psql: PathBuf,
    /// The superuser's URL, without the database.
    server: String,
    name: String,
    /// The server, where the test has one of its own.
    pub(crate) engine: Option<Postgres>,
}

impl Database {
    /// In the server that all tests share.
    pub(crate) fn on_shared_server() -> Self {
        Self::make(&super::stack::variable("BEACOND_POSTGRES_URL"), None)
    }

    /// In a server that this test may stop.
    pub(crate) fn on_own_server(directory: &Path) -> Self {
        let engine = Postgres::start(directory).unwrap();
        Self::make(&engine.url(), Some(engine))
    }

    fn make(url: &str, engine: Option<Postgres>) -> Self {
        let (server, _) = url.rsplit_once('/').unwrap();
        let psql = postgres_binaries().unwrap().join("psql");
        let database = Self { psql, server: server.to_owned(), name: unique_name("full_stack"), engine };
        database.run_in("postgres", &format!("CREATE DATABASE {}", database.name));
        database
    }

    /// Of the superuser.
    pub(crate) fn url(&self) -> String {
        self.url_of(&self.name)
    }

    /// Of another role of this server, which needs no password either.
    pub(crate) fn url_as(&self, role: &str) -> String {
        let (_, host) = self.server.rsplit_once('@').unwrap();
        format!("postgres://{role}@{host}/{}", self.name)
    }

    fn url_of(&self, database: &str) -> String {
        format!("{}/{database}", self.server)
    }

    /// Runs statements, each committed by itself.
    #[track_caller]
    pub(crate) fn run(&self, sql: &str) {
        self.run_in(&self.name, sql);
    }

    #[track_caller]
    fn run_in(&self, database: &str, sql: &str) {
        finished(self.psql(database).args(["-c", sql])).succeeded();
    }

    /// The only value of the only row.
    #[track_caller]
    pub(crate) fn value(&self, sql: &str) -> String {
        finished(self.psql(&self.name).args(["-c", sql])).succeeded().stdout.trim_end().to_owned()
    }

    #[track_caller]
    pub(crate) fn count(&self, table: &str) -> u64 {
        self.value(&format!("SELECT count(*) FROM {table}")).parse().unwrap()
    }

    /// A session that stays open, and in its transaction.
    pub(crate) fn session(&self) -> Session {
        let mut command = self.psql(&self.name);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let (stdin, said) = (child.stdin.take(), Lines::of(child.stdout.take().unwrap()));
        Session { child, stdin, said, statements: 0 }
    }

    /// Ends every other session with this database.
    pub(crate) fn cut_sessions(&self) {
        self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }

    /// Identities and customers, of one moment.
    pub(crate) fn tables(&self) -> Tables {
        let identities = format!(
            "SELECT json_build_array('identity', customer_id, to_char(detected_at AT TIME ZONE 'UTC', {TIME}), beacon_id,
                                     location, confidence::text)
             FROM customer_identities"
        );
        let customers = format!(
            "SELECT json_build_array('customer', customer_id, to_char(last_seen AT TIME ZONE 'UTC', {TIME}))
             FROM customers"
        );
        let mut tables = Tables::default();
        for line in self.value(&format!("{identities} UNION ALL {customers}")).lines() {
            let row: Vec<Option<String>> = serde_json::from_str(line).unwrap();
            let mut row = row.into_iter();
            let mut next = || row.next().unwrap();
            let (table, customer_id, at) = (next().unwrap(), next().unwrap(), next().unwrap());
            if table == "customer" {
                tables.last_seen.insert(customer_id, at);
                continue;
            }
            tables.identities.push(IdentityRow {
                customer_id,
                detected_at: at,
                beacon_id: next().unwrap(),
                location: next(),
                confidence: Bits::of(next().unwrap().parse().unwrap()),
            });
        }
        tables.sorted()
    }

    /// What a customer prefers; `None` for a customer that is not there.
    pub(crate) fn preferences_of(&self, customer: &str) -> Option<serde_json::Value> {
        let json = self.value(&format!("SELECT preferences FROM customers WHERE customer_id = '{customer}'"));
        (!json.is_empty()).then(|| serde_json::from_str(&json).unwrap())
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(&self.psql);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]).args(["-d", &self.url_of(database)]);
        command.env_remove("PGOPTIONS").env("PGCLIENTENCODING", "UTF8").stdin(Stdio::null());
        command
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server of its own goes with all that is in it, and may be stopped.
        if self.engine.is_none() {
            let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
            let _ = self.psql("postgres").args(["-c", &drop]).stderr(Stdio::null()).status();
        }
    }
}

/// A psql that waits for the next statement.
#[derive(Debug)]
pub(crate) struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Lines,
    statements: u32,
}

impl Session {
    /// Runs statements, and returns when they are done.
    #[track_caller]
    pub(crate) fn run(&mut self, sql: &str) {
        use std::io::Write as _;
        self.statements += 1;
        let done = format!("done {}", self.statements);
        writeln!(self.stdin.as_mut().unwrap(), "{sql};\n\\echo {done}").unwrap();
        assert!(self.said.wait_for_line(&done, PATIENCE), "psql says: {}", self.said.text());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
