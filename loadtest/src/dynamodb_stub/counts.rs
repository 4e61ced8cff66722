//! What was asked, what was done, what was refused: counted while it runs, told at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::refusal::{Refusal, RefusalKind};
use super::shelf::Put;
use super::table::Tables;
use crate::figures::count;

/// Counters of the whole process.
#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: AtomicU64,
    items_put: AtomicU64,
    items_deleted: AtomicU64,
    put_again: AtomicU64,
    replaced: AtomicU64,
    unprocessed: AtomicU64,
    refused: [AtomicU64; RefusalKind::ALL.len()],
    last_messages: Mutex<BTreeMap<&'static str, String>>,
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Summary {
    pub(super) requests: u64,
    /// Items written, again and anew.
    pub(super) items_put: u64,
    pub(super) items_deleted: u64,
    /// Of the items written, those that were there already, the very same.
    pub(super) put_again: u64,
    /// Of the items written, those that took the place of another of their key.
    pub(super) replaced: u64,
    /// BatchWriteItem calls that the schedule throttled.
    pub(super) throttled: u64,
    /// Items that the schedule left unprocessed.
    pub(super) unprocessed: u64,
    /// Refused requests by error type, without the throttled.
    pub(super) refused: BTreeMap<&'static str, u64>,
    /// What the last one of each type was told.
    pub(super) last_messages: BTreeMap<&'static str, String>,
    /// Items by table.
    pub(super) held: BTreeMap<String, u64>,
    /// Bytes of all items as they are kept, without the trees that hold them.
    pub(super) held_bytes: u64,
}

impl Counts {
    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn put(&self, put: Put) {
        self.items_put.fetch_add(1, Relaxed);
        match put {
            Put::New => {}
            Put::Same => _ = self.put_again.fetch_add(1, Relaxed),
            Put::Replaced => _ = self.replaced.fetch_add(1, Relaxed),
        }
    }

    pub(super) fn deleted(&self) {
        self.items_deleted.fetch_add(1, Relaxed);
    }

    pub(super) fn left(&self, items: usize) {
        self.unprocessed.fetch_add(items as u64, Relaxed);
    }

    /// Counts a refusal; tells whether it is the first of its kind.
    pub(super) fn refused(&self, refusal: &Refusal) -> bool {
        let place = RefusalKind::ALL.iter().position(|kind| *kind == refusal.kind).unwrap_or(0);
        let before = self.refused.get(place).map_or(0, |counter| counter.fetch_add(1, Relaxed));
        if refusal.kind != RefusalKind::Throttled {
            let mut messages = self.last_messages.lock().unwrap_or_else(PoisonError::into_inner);
            messages.insert(refusal.kind.name(), refusal.message.chars().take(300).collect());
        }
        before == 0
    }

    pub(super) fn summary(&self, tables: &Tables) -> Summary {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let refused: BTreeMap<_, _> = RefusalKind::ALL
            .iter()
            .zip(&self.refused)
            .map(|(kind, counter)| (kind.name(), read(counter)))
            .filter(|(_, number)| *number > 0)
            .collect();
        let throttled = refused.get(RefusalKind::Throttled.name()).copied().unwrap_or(0);
        let tables = tables.all();
        Summary {
            requests: read(&self.requests),
            items_put: read(&self.items_put),
            items_deleted: read(&self.items_deleted),
            put_again: read(&self.put_again),
            replaced: read(&self.replaced),
            throttled,
            unprocessed: read(&self.unprocessed),
            refused: refused.into_iter().filter(|(name, _)| *name != RefusalKind::Throttled.name()).collect(),
            last_messages: self.last_messages.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            held: tables.iter().map(|table| (table.name.clone(), table.shelf.items())).collect(),
            held_bytes: tables.iter().map(|table| table.shelf.bytes()).sum(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "requests     {:>15}", count(self.requests))?;
        writeln!(
            f,
            "items put    {:>15}   {} again as they were, {} in place of another",
            count(self.items_put),
            count(self.put_again),
            count(self.replaced)
        )?;
        if self.items_deleted > 0 {
            writeln!(f, "deleted      {:>15}", count(self.items_deleted))?;
        }
        writeln!(f, "throttled    {:>15}   calls, by the schedule", count(self.throttled))?;
        writeln!(f, "unprocessed  {:>15}   items, by the schedule", count(self.unprocessed))?;
        writeln!(f, "refused      {:>15}   requests", count(self.refused.values().sum()))?;
        for (name, number) in &self.refused {
            let message = self.last_messages.get(name).map_or("", String::as_str);
            writeln!(f, "  {name}: {}, last: {message}", count(*number))?;
        }
        for (table, items) in &self.held {
            writeln!(f, "{table} holds {} items", count(*items))?;
        }
        let items: u64 = self.held.values().sum();
        if let Some(average) = self.held_bytes.checked_div(items) {
            writeln!(f, "an item is kept in {average} bytes on average, and what the tree takes")?;
        }
        Ok(())
    }
}
