//! Whether a database is as the daemon needs it: one line a part.

mod expected;

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, Error};

use self::expected::{COLUMNS, GUARDS, INDEXES, OPTIONAL_RIGHTS, RIGHTS, TRIGGERS};
use super::connect::{Connector, PostgresSettings};
use super::failure::words;
use super::session::Session;
use super::{migrate, partitions};
use crate::ports::StoreError;
use crate::stores::{CheckLine, StartCheck};
use crate::tasks::TaskGroup;

/// The oldest server: the first on which SET of a single setting may be granted.
const OLDEST_SERVER: i32 = 150_000;

/// How long a statement of the check at start may take, and all of them.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// What is said of a standby, and of a server made read-only.
const READ_ONLY: &str = "is read-only: connect to the primary";

/// Wrong things named in a line at most.
const NAMED_AT_MOST: usize = 5;

/// Checks the database, in a bounded time, after making the partitions of this year and the next where they are
/// missing.
pub async fn check_at_start(postgres: &PostgresSettings, tasks: &TaskGroup) -> StartCheck {
    let connector = match Connector::new(postgres) {
        Ok(connector) => connector,
        Err(error) => return StartCheck::Wrong(vec![error.to_string()]),
    };
    let checking = async {
        let opened = Session::open(&connector, tasks, STATEMENT_TIMEOUT).await;
        let mut session = opened.map_err(|error| match error {
            StoreError::Unavailable { reason, .. } | StoreError::BadRow { reason, .. } => {
                StartCheck::Unreachable(reason)
            }
        })?;
        // If it fails, the check finds what is missing.
        let _ = partitions::make_ahead(&mut session.client).await;
        lines(&session.client).await.map_err(|error| match error.code() {
            // A name, a type or a right: looking itself is not possible as it must be.
            Some(code) if code.code().starts_with("42") => StartCheck::Wrong(vec![words(&error)]),
            _ => StartCheck::Unreachable(words(&error)),
        })
    };
    match timeout(START_TIMEOUT, checking).await {
        // A server that was the primary until a moment ago, and may be again.
        Ok(Ok(lines))
            if lines.iter().any(|line| line.found.as_ref().is_err_and(|wrong| wrong.contains(READ_ONLY))) =>
        {
            StartCheck::Unreachable(READ_ONLY.to_owned())
        }
        Ok(Ok(lines)) => {
            let wrong: Vec<String> = lines
                .into_iter()
                .filter_map(|line| line.found.err().map(|wrong| format!("{}: {wrong}", line.part)))
                .collect();
            if wrong.is_empty() { StartCheck::Right } else { StartCheck::Wrong(wrong) }
        }
        Ok(Err(found)) => found,
        Err(_) => StartCheck::Unreachable("no answer in time".to_owned()),
    }
}

/// One line a part. Where there is no schema, or a server that will not do, the parts in it are not looked at.
pub(super) async fn lines(client: &Client) -> Result<Vec<CheckLine>, Error> {
    let server = server(client).await?;
    let schema = schema(client).await?;
    let usable = server.is_ok() && schema.is_ok();
    let mut lines =
        vec![CheckLine { part: "server", found: server }, CheckLine { part: "schema", found: schema }];
    let tables = if usable { tables(client).await? } else { Err(String::new()) };
    if usable {
        lines.push(CheckLine { part: "tables", found: tables.clone() });
    }
    if tables.is_ok() {
        lines.push(CheckLine { part: "columns", found: columns(client).await? });
        lines.push(CheckLine { part: "indexes", found: indexes(client).await? });
        lines.push(CheckLine { part: "triggers", found: triggers(client).await? });
        lines.push(CheckLine { part: "rights", found: rights(client).await? });
        lines.push(CheckLine { part: "foreign keys", found: foreign_keys(client).await? });
        lines.push(CheckLine { part: "partitions", found: partitions(client).await? });
    }
    Ok(lines)
}

type Found = Result<String, String>;

async fn server(client: &Client) -> Result<Found, Error> {
    const SERVER: &str =
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
        current_setting('server_encoding'), pg_is_in_recovery(),
        current_setting('default_transaction_read_only')::bool, current_database()::text, current_user::text";
    let row = client.query_one(SERVER, &[]).await?;
    let (number, version): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
    let (encoding, standby): (String, bool) = (row.try_get(2)?, row.try_get(3)?);
    let (read_only, database, role): (bool, String, String) =
        (row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
    Ok(if number < OLDEST_SERVER {
        Err(format!("PostgreSQL {version}: version 15 or later is needed"))
    } else if encoding != "UTF8" {
        Err(format!("database {database} has the encoding {encoding}: UTF8 is needed"))
    } else if standby || read_only {
        Err(format!("database {database} {READ_ONLY}"))
    } else {
        Ok(format!("PostgreSQL {version}, database {database}, role {role}"))
    })
}

async fn schema(client: &Client) -> Result<Found, Error> {
    let known = migrate::known_version();
    let versions = migrate::status(client).await?;
    let found = versions.iter().filter(|version| version.applied).map(|version| version.version).max();
    Ok(match found {
        Some(found) if found == known && versions.iter().all(|version| version.applied) => {
            Ok(format!("version {found}"))
        }
        Some(found) if found > known => {
            Err(format!("version {found}, this beacond knows up to {known}: use a newer beacond"))
        }
        Some(found) => Err(format!("version {found}, {known} is needed: run `beacond migrate`")),
        None => Err("there is none: run `beacond migrate`".to_owned()),
    })
}

async fn tables(client: &Client) -> Result<Found, Error> {
    const MISSING: &str =
        "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL ORDER BY 1";
    let mut names: Vec<&str> = COLUMNS.iter().map(|column| column.table).collect();
    names.dedup();
    let count = names.len();
    names.push("customer_identities_id_seq");
    let mut missing: Vec<String> = Vec::new();
    for row in client.query(MISSING, &[&names]).await? {
        missing.push(row.try_get(0)?);
    }
    Ok(summed_up(missing.iter().map(|name| format!("{name} is missing")), || format!("{count}")))
}

async fn columns(client: &Client) -> Result<Found, Error> {
    const FOUND: &str = "SELECT relname::text, attname::text, format_type(atttypid, atttypmod), attnotnull
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE attrelid = ANY (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
        AND attnum > 0 AND NOT attisdropped";
    let tables: Vec<&str> = COLUMNS.iter().map(|column| column.table).collect();
    let mut found = Vec::new();
    for row in client.query(FOUND, &[&tables]).await? {
        let (table, column): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (kind, not_null): (String, bool) = (row.try_get(2)?, row.try_get(3)?);
        found.push((table, column, kind, not_null));
    }
    let wrong = COLUMNS.iter().filter_map(|wanted| {
        let name = format!("{}.{}", wanted.table, wanted.column);
        let there = found.iter().find(|found| found.0 == wanted.table && found.1 == wanted.column);
        match there {
            None => Some(format!("{name} is missing")),
            Some((_, _, kind, _)) if kind != wanted.kind => {
                Some(format!("{name} is {kind}, {} is needed", wanted.kind))
            }
            Some((_, _, _, not_null)) if *not_null != wanted.not_null => {
                Some(format!("{name} {} NOT NULL", if wanted.not_null { "is not" } else { "is" }))
            }
            Some(_) => None,
        }
    });
    Ok(summed_up(wrong, || format!("{} of the right type", COLUMNS.len())))
}

async fn indexes(client: &Client) -> Result<Found, Error> {
    const FOUND: &str = "SELECT relname::text, indrelid::regclass::text, indisunique, indisvalid AND indpred IS NULL,
            ARRAY(SELECT pg_get_indexdef(indexrelid, place, true) FROM generate_series(1, indnkeyatts) AS place
                ORDER BY place)
        FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indexrelid = ANY (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)";
    let names: Vec<&str> = INDEXES.iter().map(|index| index.name).collect();
    let mut found = Vec::new();
    for row in client.query(FOUND, &[&names]).await? {
        let (name, table): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (unique, valid): (bool, bool) = (row.try_get(2)?, row.try_get(3)?);
        let columns: Vec<String> = row.try_get(4)?;
        found.push((name, table, unique, valid, columns));
    }
    let wrong = INDEXES.iter().filter_map(|wanted| {
        let Some((name, table, unique, valid, columns)) = found.iter().find(|index| index.0 == wanted.name)
        else {
            return Some(format!("{} is missing", wanted.name));
        };
        if !valid {
            return Some(format!("{name} is not valid"));
        }
        let right = table == wanted.table && *unique == wanted.unique && columns == wanted.columns;
        (!right).then(|| format!("{name} is not on {} ({})", wanted.table, wanted.columns.join(", ")))
    });
    Ok(summed_up(wrong, || format!("{} valid", INDEXES.len())))
}

async fn triggers(client: &Client) -> Result<Found, Error> {
    const FOUND: &str = "SELECT tgname::text, tgenabled::text FROM pg_trigger
        WHERE tgrelid IN ('beacons'::regclass, 'gateways'::regclass) AND NOT tgisinternal";
    let mut found = Vec::new();
    for row in client.query(FOUND, &[]).await? {
        let (name, enabled): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        found.push((name, enabled));
    }
    let wrong = TRIGGERS.iter().filter_map(|wanted| {
        let enabled = found.iter().find(|(name, _)| name == wanted).map(|(_, enabled)| enabled.as_str());
        match enabled {
            None => Some(format!("{wanted} is missing")),
            Some("A") => None,
            Some("O") if !GUARDS.contains(wanted) => None,
            Some(_) => Some(format!("{wanted} is not enabled")),
        }
    });
    Ok(summed_up(wrong, || format!("{} enabled", TRIGGERS.len())))
}

async fn rights(client: &Client) -> Result<Found, Error> {
    let tables = missing_rights(client, RIGHTS).await?;
    let sequence: bool = client
        .query_one("SELECT has_sequence_privilege('customer_identities_id_seq', 'USAGE')", &[])
        .await?
        .try_get(0)?;
    let missing =
        tables.into_iter().chain((!sequence).then(|| "USAGE on customer_identities_id_seq".to_owned()));
    let optional = missing_rights(client, OPTIONAL_RIGHTS).await?;
    Ok(summed_up(missing.map(|right| format!("no {right}")), || match &optional[..] {
        [] => "on every table".to_owned(),
        missing => format!("as the daemon needs; not to import: no {}", missing.join(", no ")),
    }))
}

async fn missing_rights(client: &Client, wanted: &[(&str, &str)]) -> Result<Vec<String>, Error> {
    const MISSING: &str =
        "SELECT privilege || ' on ' || name FROM unnest($1::text[], $2::text[]) AS wanted (name, privilege)
        WHERE NOT has_table_privilege(name, privilege)";
    let (names, privileges): (Vec<&str>, Vec<&str>) = wanted.iter().copied().unzip();
    client.query(MISSING, &[&names, &privileges]).await?.iter().map(|row| row.try_get(0)).collect()
}

async fn foreign_keys(client: &Client) -> Result<Found, Error> {
    const MAY: &str = "SELECT has_parameter_privilege('session_replication_role', 'SET')";
    let may: bool = client.query_one(MAY, &[]).await?.try_get(0)?;
    Ok(Ok(if may {
        "may be checked a batch at once".to_owned()
    } else {
        "are checked row by row, which is slower: GRANT SET ON PARAMETER session_replication_role is missing"
            .to_owned()
    }))
}

async fn partitions(client: &Client) -> Result<Found, Error> {
    const MAY: &str = "SELECT pg_has_role(relowner, 'USAGE') AND has_schema_privilege(relnamespace, 'CREATE')
        FROM pg_class WHERE oid = 'customer_identities'::regclass";
    let year = partitions::this_year(client).await?;
    let names = partitions::names(client).await?;
    let may: bool = client.query_one(MAY, &[]).await?.try_get(0)?;
    let missing = |year: i32| !names.contains(&partitions::name(year));
    if missing(year) {
        let wrong = partitions::name(year);
        return Ok(Err(format!("{wrong} is missing: run `beacond migrate` as the tables' owner")));
    }
    let found = names.join(", ");
    Ok(Ok(match (missing(year + 1), may) {
        (_, false) => {
            format!("{found}; WARNING: this role may not make the next ones, `beacond migrate` does")
        }
        (true, true) => format!("{found}; the daemon makes {} when it starts", partitions::name(year + 1)),
        (false, true) => found,
    }))
}

/// What is wrong, a few of many; what is right if nothing is.
fn summed_up(wrong: impl Iterator<Item = String>, right: impl FnOnce() -> String) -> Found {
    let mut wrong: Vec<String> = wrong.collect();
    if wrong.is_empty() {
        return Ok(right());
    }
    let more = wrong.len().saturating_sub(NAMED_AT_MOST);
    wrong.truncate(NAMED_AT_MOST);
    if more > 0 {
        wrong.push(format!("and {more} more"));
    }
    Err(wrong.join("; "))
}
