//! The import table: which part of the daemon may use which, and which crates each may know.

use crate::rules::{File, SOURCES};
use crate::source::{Named, named_paths};

/// Imports go one way. `files` is the whole tree: it says which names are modules.
pub(crate) fn imports(file: &File, files: &[File]) -> Vec<(usize, String)> {
    let Some(folder) = SOURCES.iter().find(|folder| file.path.starts_with(**folder)) else {
        return Vec::new();
    };
    let Some(inner) = file.path[folder.len()..].strip_suffix(".rs") else {
        return Vec::new();
    };
    let module: Vec<&str> = inner.split('/').filter(|word| !["lib", "main"].contains(word)).collect();
    let named = named_paths(&file.text, &module);
    let judge = |named: &Named| match *folder {
        "src/" => daemon_import(inner, named, files),
        "protocol/src/" => protocol_import(inner, named),
        "loadtest/src/" => loadtest_import(inner, named),
        _ => None,
    };
    let mut found: Vec<_> =
        named.iter().filter_map(|named| judge(named).map(|rule| (named.line, rule))).collect();
    let first = inner.split('/').next().unwrap_or(inner);
    let known = COMPOSITION.contains(&first) || PARTS.iter().any(|part| part.name == first);
    if *folder == "src/" && !known {
        found.insert(0, (1, format!("`{first}` is no part that the import table knows")));
    }
    found
}

/// A part of the daemon: a file of `src/` and the folder of the same name.
struct Part {
    name: &'static str,
    /// The other parts that it may use in full.
    uses: &'static [&'static str],
    /// Parts of which it may use what their front page offers, not their inner modules.
    uses_front_of: &'static [&'static str],
}

const fn part(
    name: &'static str,
    uses: &'static [&'static str],
    uses_front_of: &'static [&'static str],
) -> Part {
    Part { name, uses, uses_front_of }
}

const PARTS: [Part; 12] = [
    part("domain", &[], &[]),
    part("ports", &["domain"], &[]),
    part("faults", &[], &[]),
    part("journal", &["domain", "faults"], &[]),
    part("backoff", &[], &[]),
    part("latency", &[], &[]),
    part("pipeline", &["domain", "ports", "journal", "tasks", "backoff", "latency", "faults"], &[]),
    part("stores", &["domain", "ports", "tasks", "backoff", "faults"], &[]),
    part("listen", &["domain", "ports", "tasks", "latency"], &["pipeline"]),
    part("ops", &["domain", "ports", "tasks", "latency"], &["pipeline"]),
    part("clock", &["domain", "ports", "faults"], &[]),
    part("data_dir", &[], &[]),
];

/// What puts the parts together; it may use them all.
const COMPOSITION: [&str; 6] = ["app", "cli", "config", "lib", "main", "tasks"];

/// The settings file's shape is known to these; a part is handed its own settings.
const KNOW_CONFIGURATION: [&str; 5] = ["app", "cli", "config", "lib", "main"];

/// Stores that must be able to be left out, each without the others.
const ADAPTERS: [&str; 4] = ["dynamodb", "postgres", "redis", "sqlite"];

/// Crates that only some parts know; the composition may use any.
const CRATES: [(&str, &[&str]); 25] = [
    ("anyhow", &[]),
    ("aws_config", &["stores"]),
    ("aws_credential_types", &["stores"]),
    ("aws_sdk_dynamodb", &["stores"]),
    ("axum", &["ops"]),
    ("bb8", &["stores"]),
    ("beacon_protocol", &["listen"]),
    ("clap", &[]),
    ("crossbeam_channel", &["pipeline", "stores"]),
    ("crc32c", &["journal", "stores"]),
    ("figment", &[]),
    ("hyper", &["ops"]),
    ("hyper_util", &["ops"]),
    ("moka", &["pipeline", "stores"]),
    ("prometheus", &["ops"]),
    ("redis", &["stores"]),
    ("refinery", &["stores"]),
    ("rusqlite", &["stores"]),
    ("rustls", &["stores"]),
    ("socket2", &["listen"]),
    ("tokio", &["ports", "pipeline", "journal", "stores", "listen", "ops"]),
    ("tokio_postgres", &["stores"]),
    ("tokio_postgres_rustls", &["stores"]),
    ("tokio_util", &["ports", "pipeline", "journal", "stores", "listen", "ops"]),
    ("ureq", &[]),
];

/// What code without I/O and without a clock does not name: the domain, and the codec.
const IMPURE: [&str; 9] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tracing",
];

fn daemon_import(inner: &str, named: &Named, files: &[File]) -> Option<String> {
    let own = inner.split('/').next()?;
    let words: Vec<&str> = named.path.iter().map(String::as_str).collect();
    let shown = named.path.join("::");
    let ["crate" | "beacond", other, below @ ..] = words.as_slice() else {
        return foreign_import(own, named);
    };
    if *other == "config" && !KNOW_CONFIGURATION.contains(&own) {
        return Some(format!("`{own}` is handed its settings and does not know `{shown}`"));
    }
    let part = PARTS.iter().find(|part| part.name == own)?;
    if own == *other {
        return adapter_import(inner, below.first(), &shown);
    }
    if part.uses_front_of.contains(other) {
        let inside = below.first().is_some_and(|name| is_module(files, &format!("src/{other}/"), name));
        return inside
            .then(|| format!("`{own}` may use the front page of `{other}`, not inside it: `{shown}`"));
    }
    (!part.uses.contains(other)).then(|| format!("`{own}` may not use `{other}`: `{shown}`"))
}

/// One store's adapter does not know another's; their front page, `stores.rs`, may list them all.
fn adapter_import(inner: &str, below: Option<&&str>, shown: &str) -> Option<String> {
    let ("stores", rest) = inner.split_once('/')? else {
        return None;
    };
    let own = rest.split('/').next()?;
    let other = below.filter(|name| ADAPTERS.contains(*name) && **name != own)?;
    Some(format!("store `{own}` may not use store `{other}`: `{shown}`"))
}

fn foreign_import(own: &str, named: &Named) -> Option<String> {
    if named.in_tests || COMPOSITION.contains(&own) {
        return None;
    }
    if own == "domain"
        && let Some(impure) = impure(named)
    {
        return Some(format!("`domain` is pure and does not know `{impure}`"));
    }
    let (name, parts) =
        CRATES.iter().find(|(name, _)| named.path.first().is_some_and(|head| head == name))?;
    (!parts.contains(&own)).then(|| format!("`{own}` does not know the crate `{name}`"))
}

fn protocol_import(inner: &str, named: &Named) -> Option<String> {
    if named.path.first().is_some_and(|head| head == "beacond") {
        return Some("the protocol does not know the daemon".into());
    }
    let client = inner.split('/').next() == Some("client");
    let impure = impure(named).filter(|_| !client && !named.in_tests)?;
    Some(format!("the codec is pure and does not know `{impure}`; only the client may"))
}

fn loadtest_import(inner: &str, named: &Named) -> Option<String> {
    let daemon = named.path.first().is_some_and(|head| head == "beacond");
    let demo = inner.split('/').next() == Some("demo");
    (daemon && !demo).then(|| "only the demo may use the daemon's own code".into())
}

fn impure(named: &Named) -> Option<&'static str> {
    let path = named.path.join("::");
    IMPURE.into_iter().find(|impure| {
        path.strip_prefix(impure).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}

/// Whether the folder has a module of that name, as a file or as a folder.
fn is_module(files: &[File], folder: &str, name: &str) -> bool {
    let mut inside = files.iter().filter_map(|file| file.path.strip_prefix(folder));
    inside.any(|rest| rest.split('/').next().is_some_and(|first| first.trim_end_matches(".rs") == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules broken by the first of these files, given that the others exist.
    fn broken(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<File> = files
            .iter()
            .map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() })
            .collect();
        imports(&files[0], &files).into_iter().map(|(line, rule)| format!("{line}: {rule}")).collect()
    }

    #[track_caller]
    fn assert_breach(files: &[(&str, &str)], wanted: &str) {
        let broken = broken(files);
        assert!(broken.len() == 1 && broken[0].contains(wanted), "{broken:?}");
    }

    #[track_caller]
    fn assert_fine(path: &str, text: &str) {
        let broken = broken(&[(path, text), ("src/pipeline/admit.rs", "")]);
        assert!(broken.is_empty(), "{path}: {broken:?}");
    }

    #[test]
    fn part_may_use_what_the_table_says_and_itself() {
        for (path, text) in [
            ("src/domain/window.rs", "use super::customer; use crate::domain::Beacon; use uuid::Uuid;"),
            ("src/ports.rs", "use crate::domain::Sighting; use std::time::Instant;"),
            ("src/pipeline/admit.rs", "use crate::{domain, ports::Clock, journal::Block, tasks};"),
            ("src/journal.rs", "mod block; use self::block::Block; use crate::domain::Identity;"),
            (
                "src/listen/tcp.rs",
                "use super::session; use beacon_protocol::Ack; use crate::pipeline::Admission;",
            ),
            ("src/ops/http.rs", "use axum::Router; use crate::pipeline::Ledger;"),
            (
                "src/app.rs",
                "use crate::{config, listen::tcp, pipeline::admit, stores::sqlite}; use anyhow::Result;",
            ),
        ] {
            assert_fine(path, text);
        }
    }

    #[test]
    fn part_may_not_use_what_the_table_leaves_out() {
        for (path, text, wanted) in [
            ("src/domain/beacon.rs", "use crate::ports::Clock;", "1: `domain` may not use `ports`"),
            ("src/domain.rs", "fn f(x: crate::tasks::Tasks) {}", "`domain` may not use `tasks`"),
            ("src/ports.rs", "\nuse super::stores::Row;", "2: `ports` may not use `stores`"),
            (
                "src/journal/block.rs",
                "use super::super::pipeline::Batch;",
                "`journal` may not use `pipeline`",
            ),
            ("src/pipeline.rs", "fn f() { crate::listen::stop() }", "`pipeline` may not use `listen`"),
            ("src/stores/sqlite.rs", "use crate::pipeline::Batch;", "`stores` may not use `pipeline`"),
            ("src/ops.rs", "mod tests { use crate::stores::Sqlite; }", "`ops` may not use `stores`"),
            ("src/listen.rs", "use beacond::app;", "`listen` may not use `app`"),
            ("src/ops.rs", "use crate::*;", "`ops` may not use `*`"),
            ("src/stores.rs", "use crate::config::Store;", "does not know `crate::config::Store`"),
            ("src/tasks.rs", "use crate::config::Tasks;", "does not know `crate::config::Tasks`"),
        ] {
            assert_breach(&[(path, text)], wanted);
        }
    }

    #[test]
    fn listeners_use_the_front_page_of_the_pipeline_only() {
        let listen = ("src/listen/udp.rs", "use crate::pipeline::{Admission, admit::Decision};");
        assert_breach(
            &[listen, ("src/pipeline/admit.rs", "")],
            "not inside it: `crate::pipeline::admit::Decision`",
        );
        assert_breach(&[listen, ("src/pipeline/admit/late.rs", "")], "not inside it");
    }

    #[test]
    fn stores_do_not_know_each_other() {
        assert_breach(&[("src/stores/sqlite/rows.rs", "use super::super::postgres::Row;")], "store `sqlite`");
        assert_breach(&[("src/stores/cache.rs", "use crate::stores::sqlite;")], "may not use store `sqlite`");
        assert_fine("src/stores/sqlite/rows.rs", "use crate::stores::sqlite::x;");
        assert_fine("src/stores.rs", "use crate::stores::sqlite::x;");
    }

    #[test]
    fn crates_stay_where_they_belong() {
        assert_breach(&[("src/pipeline.rs", "use rusqlite::Row;")], "does not know the crate `rusqlite`");
        assert_breach(&[("src/stores.rs", "use anyhow;")], "does not know the crate `anyhow`");
        assert_breach(&[("src/domain.rs", "use std::time::{Duration, Instant};")], "`std::time::Instant`");
        assert_breach(&[("protocol/src/ack.rs", "fn f() { std::fs::read(); }")], "`std::fs`");
        assert_breach(&[("protocol/src/client/tcp.rs", "use beacond::domain;")], "does not know the daemon");
        assert_breach(&[("loadtest/src/replay.rs", "use beacond::app;")], "only the demo");
        assert_fine("protocol/src/client/tcp.rs", "use tokio::net;");
        assert_fine("protocol/src/ack.rs", "mod tests { use std::fs; }");
        assert_fine("loadtest/src/demo.rs", "use beacond::app;");
    }

    #[test]
    fn part_without_a_row_in_the_table_is_named() {
        assert_breach(&[("src/helpers/text.rs", "")], "`helpers` is no part");
    }
}
