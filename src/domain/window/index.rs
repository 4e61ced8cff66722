//! Finds the entries of a customer around a time, by one or two cache lines.

use super::CustomerKey;
use super::table::{Home, STEP_BITS, Table};

/// Tables the index is split in, so that rebuilding one when it grows is never a long stop:
/// with 10 million entries a table has 40,000.
const TABLES: usize = 256;

/// Lines a table starts with, at least: 4 KiB. Tables start with up to a quarter more, each sixteenth with
/// the same, and grow by a quarter; so a sixteenth grows at a time, into memory that others have left.
const FIRST_LINES: usize = 64;

/// Minutes of one customer that belong in the same line, as a power of two.
///
/// A check asks for three minutes in a row. The longer the run, the rarer they lie in two lines; the
/// shorter, the less a customer with an identity every minute crowds a line. Measured with everybody
/// present a quarter of an hour: 4 minutes are a fifth faster than 16, and as fast with strangers only.
const RUN_BITS: u32 = STEP_BITS;
const RUN_LAST: i64 = (1 << RUN_BITS) - 1;

/// Tables looked at by each [`Index::give_back`]: over all of them in 16 calls.
const TABLES_A_LOOK: usize = 16;

/// Entries (as slots) by customer and whole minute.
#[derive(Debug)]
pub(super) struct Index {
    tables: Box<[Table]>,
    looked_at: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        let tables = (0..TABLES).map(|table| Table::new(FIRST_LINES + table % (FIRST_LINES / 4))).collect();
        Self { tables, looked_at: 0 }
    }

    /// The first slot in `minute` or in one beside it that `is_it` agrees to.
    ///
    /// It is asked about that customer's slots there (one in each minute at most) and, in one of some
    /// thousand searches, about another's; so the work does not depend on how many a customer has.
    pub(super) fn find(
        &self,
        customer: CustomerKey,
        minute: i64,
        mut is_it: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let (run, step) = (minute >> RUN_BITS, minute & RUN_LAST);
        let found = self.find_steps(customer, run, (step - 1).max(0), (step + 1).min(RUN_LAST), &mut is_it);
        if found.is_some() {
            return found;
        }
        match step {
            0 => self.find_steps(customer, run - 1, RUN_LAST, RUN_LAST, is_it),
            RUN_LAST => self.find_steps(customer, run + 1, 0, 0, is_it),
            _ => None,
        }
    }

    /// Reads something of the line a search would look at first; what, is of no use.
    pub(super) fn read_ahead(&self, customer: CustomerKey, minute: i64) -> u32 {
        let place = Place::of(customer, minute >> RUN_BITS);
        self.tables[place.table].read_ahead(place.home(0))
    }

    fn find_steps(
        &self,
        customer: CustomerKey,
        run: i64,
        first: i64,
        last: i64,
        is_it: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let place = Place::of(customer, run);
        let marks = place.mark(first)..=place.mark(last);
        self.tables[place.table].find(place.home(first), &marks, is_it)
    }

    /// Adds a slot.
    pub(super) fn insert(&mut self, customer: CustomerKey, minute: i64, slot: u32) {
        let place = Place::of(customer, minute >> RUN_BITS);
        self.tables[place.table].insert(place.home(minute & RUN_LAST), slot);
    }

    /// Takes out a slot that was inserted with this customer and minute.
    pub(super) fn remove(&mut self, customer: CustomerKey, minute: i64, slot: u32) {
        let place = Place::of(customer, minute >> RUN_BITS);
        self.tables[place.table].remove(place.home(minute & RUN_LAST), slot);
    }

    /// Gives back memory of tables that have become sparse. Rebuilds one at most: call it often.
    pub(super) fn give_back(&mut self) {
        for _ in 0..TABLES_A_LOOK {
            let table = &mut self.tables[self.looked_at];
            self.looked_at = (self.looked_at + 1) % TABLES;
            if table.shrink() {
                return;
            }
        }
    }

    /// Bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        let tables: usize = self.tables.iter().map(Table::memory_bytes).sum();
        tables + TABLES * size_of::<Table>()
    }
}

/// Where a customer's entries of one run of minutes belong: by the parts of one uniform number.
struct Place {
    table: usize,
    upper: u8,
    /// The mark of the run's first minute; those after it follow.
    mark: u16,
}

impl Place {
    fn of(customer: CustomerKey, run: i64) -> Self {
        let scattered = customer.scatter(run.cast_unsigned());
        let [table, upper, mark @ .., _, _, _, _] = scattered.to_be_bytes();
        // Never 0, which marks an unused slot.
        let mark = (u16::from_be_bytes(mark) >> RUN_BITS).max(1) << RUN_BITS;
        Self { table: usize::from(table), upper, mark }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a step is 0 to RUN_LAST")]
    fn mark(&self, step: i64) -> u16 {
        self.mark | step as u16
    }

    fn home(&self, step: i64) -> Home {
        Home::new(self.upper, self.mark(step))
    }
}

const _: () = assert!(TABLES == 1 << u8::BITS);
