//! What all requests share: tables, counters, schedules; and which operation does which request.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Deserialize;
use serde_json::error::Category;
use tokio::time::Instant;

use super::counts::Counts;
use super::refusal::{Refusal, RefusalKind};
use super::schedule::{Schedules, Turn};
use super::table::Tables;
use super::{batch_write, item, reading, table_requests};

/// The endpoint without its sockets.
#[derive(Debug)]
pub(super) struct Stub {
    pub(super) tables: Tables,
    pub(super) counts: Counts,
    schedules: Schedules,
    max_items: u64,
    first_write: OnceLock<Instant>,
    writes: AtomicU64,
    answers: AtomicU64,
}

/// What the service calls what is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    BatchWriteItem,
    GetItem,
    PutItem,
    DeleteItem,
    Query,
    Scan,
    CreateTable,
    DescribeTable,
    DeleteTable,
    ListTables,
    DescribeTimeToLive,
    UpdateTimeToLive,
}

impl Operation {
    /// By the header `X-Amz-Target`.
    pub(super) fn of_target(target: &str) -> Option<Self> {
        Some(match target.strip_prefix("DynamoDB_20120810.")? {
            "BatchWriteItem" => Self::BatchWriteItem,
            "GetItem" => Self::GetItem,
            "PutItem" => Self::PutItem,
            "DeleteItem" => Self::DeleteItem,
            "Query" => Self::Query,
            "Scan" => Self::Scan,
            "CreateTable" => Self::CreateTable,
            "DescribeTable" => Self::DescribeTable,
            "DeleteTable" => Self::DeleteTable,
            "ListTables" => Self::ListTables,
            "DescribeTimeToLive" => Self::DescribeTimeToLive,
            "UpdateTimeToLive" => Self::UpdateTimeToLive,
            _ => return None,
        })
    }

    /// Whether it is about items: those are what delays are for.
    const fn is_about_items(self) -> bool {
        matches!(
            self,
            Self::BatchWriteItem
                | Self::GetItem
                | Self::PutItem
                | Self::DeleteItem
                | Self::Query
                | Self::Scan
        )
    }
}

impl Stub {
    pub(super) fn new(schedules: Schedules, max_items: u64) -> Self {
        Self {
            tables: Tables::default(),
            counts: Counts::default(),
            schedules,
            max_items,
            first_write: OnceLock::new(),
            writes: AtomicU64::new(0),
            answers: AtomicU64::new(0),
        }
    }

    /// Does what is asked.
    pub(super) async fn answer(&self, operation: Operation, body: &str) -> Result<Vec<u8>, Refusal> {
        match operation {
            Operation::BatchWriteItem => batch_write::batch_write_item(self, body),
            Operation::GetItem => item::get_item(self, body),
            Operation::PutItem => item::put_item(self, body),
            Operation::DeleteItem => item::delete_item(self, body),
            Operation::Query => reading::query(self, body).await,
            Operation::Scan => reading::scan(self, body).await,
            Operation::CreateTable => table_requests::create_table(self, body),
            Operation::DescribeTable => table_requests::describe_table(self, body),
            Operation::DeleteTable => table_requests::delete_table(self, body),
            Operation::ListTables => table_requests::list_tables(self, body),
            Operation::DescribeTimeToLive => table_requests::describe_time_to_live(self, body),
            Operation::UpdateTimeToLive => table_requests::update_time_to_live(self, body),
        }
    }

    /// Reads a request's members.
    pub(super) fn read<'b, T: Deserialize<'b>>(&self, body: &'b str) -> Result<T, Refusal> {
        serde_json::from_str(body).map_err(|error| {
            // The service says nothing of where text is no JSON.
            let message = match error.classify() {
                Category::Data => error.to_string(),
                Category::Syntax | Category::Eof | Category::Io => String::new(),
            };
            Refusal::new(RefusalKind::Serialization, message)
        })
    }

    /// What the schedule has for the next BatchWriteItem call.
    pub(super) fn turn(&self, items: usize) -> Turn {
        let began = *self.first_write.get_or_init(Instant::now);
        self.schedules.turn(self.writes.fetch_add(1, Relaxed), items, began.elapsed())
    }

    /// How much later than at once a request is to be answered.
    pub(super) fn delay(&self, operation: Operation) -> Duration {
        if !operation.is_about_items() {
            return Duration::ZERO;
        }
        let elapsed = self.first_write.get().map_or(Duration::ZERO, Instant::elapsed);
        self.schedules.delay(self.answers.fetch_add(1, Relaxed), elapsed)
    }

    /// Refuses what would be more items than may be kept. Items put again count too: the bound is a bound.
    pub(super) fn room_for(&self, puts: usize) -> Result<(), Refusal> {
        let held: u64 = self.tables.all().iter().map(|table| table.shelf.items()).sum();
        if held + puts as u64 <= self.max_items {
            return Ok(());
        }
        let message = format!("the stub holds {held} items and may hold {}: see --max-items", self.max_items);
        Err(Refusal::new(RefusalKind::Full, message))
    }
}
