//! One part of the index: a hash table of slots in lines of one cache line each.

use std::ops::RangeInclusive;

/// Slots in a line: they, their marks and the counter fill 64 bytes.
const LINE_SLOTS: usize = 9;

/// Slots in use per line, over the whole table, at which it grows. At 7 of 9 few entries lie outside
/// the line they belong in.
const LINE_FILL: usize = 7;

/// A table grows by a quarter: what idles is bounded by that, and a rebuild is cheap.
const GROWTH_DIVISOR: usize = 4;

/// A table with under a quarter of what it may hold is rebuilt at half its size.
const SPARSE_DIVISOR: usize = 4;

/// The lowest bits of a mark, which do not count for the line: marks that differ there are found together.
pub(super) const STEP_BITS: u32 = 2;
const LINE_BITS: u32 = u8::BITS + u16::BITS - STEP_BITS;

/// The mark of an unused slot.
const UNUSED: u16 = 0;

/// Where an entry belongs: 24 bits, a fraction of the table.
///
/// A table keeps it, so it is rebuilt without a look at the entries. The lower 16 bits, the *mark*, also
/// tell the entries of one line apart; the lowest [`STEP_BITS`] of them serve for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    upper: u8,
    mark: u16,
}

impl Home {
    /// The home in the `upper`-th 256th of the table with this mark.
    pub(super) fn new(upper: u8, mark: u16) -> Self {
        debug_assert_ne!(mark, UNUSED);
        Self { upper, mark }
    }

    /// What counts for the line, of [`LINE_BITS`].
    fn fraction(self) -> u64 {
        u64::from(self.upper) << (u16::BITS - STEP_BITS) | u64::from(self.mark >> STEP_BITS)
    }
}

/// A cache line of the table, so that a miss costs one access to memory and a hit one more for the entry.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
struct Line {
    marks: [u16; LINE_SLOTS],
    uppers: [u8; LINE_SLOTS],
    /// Entries that belong in this line or one before it, and lie in one after it because this one was
    /// full. Sticks at its greatest value, until the next rebuild; searches are then longer, not wrong.
    passed: u8,
    slots: [u32; LINE_SLOTS],
}

const _: () = assert!(size_of::<Line>() == 64);

impl Line {
    const EMPTY: Self =
        Self { marks: [UNUSED; LINE_SLOTS], uppers: [0; LINE_SLOTS], passed: 0, slots: [0; LINE_SLOTS] };

    /// A bit for each mark in the range.
    fn matching(&self, marks: &RangeInclusive<u16>) -> u32 {
        let span = marks.end() - marks.start();
        let mut bits = 0;
        for (bit, mark) in self.marks.iter().enumerate() {
            bits |= u32::from(mark.wrapping_sub(*marks.start()) <= span) << bit;
        }
        bits
    }
}

/// An open-addressed table. An entry that finds its line full lies in the next one with room, and every
/// line it passed counts it; so a search ends at the first line that nobody passed, and taking entries
/// out leaves no tombstones: a table that as many leave as enter never grows.
#[derive(Debug)]
pub(super) struct Table {
    lines: Box<[Line]>,
    len: usize,
    first_lines: usize,
}

impl Table {
    /// An empty table that starts with `first_lines` lines. Tables that share a load should differ in it
    /// (by up to a quarter), so that they do not all grow at the same time.
    pub(super) fn new(first_lines: usize) -> Self {
        Self { lines: Box::default(), len: 0, first_lines }
    }

    /// The first slot that `is_it` agrees to, of those with a home like `home` but with its mark in `marks`.
    pub(super) fn find(
        &self,
        home: Home,
        marks: &RangeInclusive<u16>,
        mut is_it: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        for line in self.lines_from(home) {
            let line = &self.lines[line];
            let mut bits = line.matching(marks);
            while bits != 0 {
                let slot = line.slots[bits.trailing_zeros() as usize];
                if is_it(slot) {
                    return Some(slot);
                }
                bits &= bits - 1;
            }
            if line.passed == 0 {
                return None;
            }
        }
        None
    }

    /// Reads a slot of the line of `home`, which brings the line into the processor's cache.
    pub(super) fn read_ahead(&self, home: Home) -> u32 {
        self.lines.get(self.line_of(home)).map_or(0, |line| line.slots[0])
    }

    /// Adds a slot that is not in the table.
    pub(super) fn insert(&mut self, home: Home, slot: u32) {
        if self.len == self.lines.len() * LINE_FILL {
            let grown = self.lines.len() + (self.lines.len() / GROWTH_DIVISOR).max(1);
            self.rebuild(grown.max(self.first_lines));
        }
        self.put(home, slot);
    }

    /// Takes out a slot that is in the table.
    pub(super) fn remove(&mut self, home: Home, slot: u32) {
        let found = self.lines_from(home).enumerate().find_map(|(passed, line)| {
            let here = &self.lines[line];
            let at = (0..LINE_SLOTS).find(|at| here.slots[*at] == slot && here.marks[*at] == home.mark)?;
            Some((passed, line, at))
        });
        debug_assert!(found.is_some(), "slot {slot} is not in its table");
        let Some((passed, line, at)) = found else { return };
        self.lines[line].marks[at] = UNUSED;
        self.len -= 1;
        for line in self.lines_from(home).take(passed) {
            let count = &mut self.lines[line].passed;
            if *count < u8::MAX {
                *count -= 1;
            }
        }
    }

    /// Gives memory back if little of it is used, and answers whether it did.
    pub(super) fn shrink(&mut self) -> bool {
        let lines = if self.len == 0 { 0 } else { (self.lines.len() / 2).max(self.first_lines) };
        let sparse = self.len * SPARSE_DIVISOR <= self.lines.len() * LINE_FILL && lines < self.lines.len();
        if sparse {
            self.rebuild(lines);
        }
        sparse
    }

    /// Bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    fn rebuild(&mut self, lines: usize) {
        let old = std::mem::replace(&mut self.lines, vec![Line::EMPTY; lines].into_boxed_slice());
        self.len = 0;
        for line in &old {
            for at in 0..LINE_SLOTS {
                if line.marks[at] != UNUSED {
                    self.put(Home::new(line.uppers[at], line.marks[at]), line.slots[at]);
                }
            }
        }
    }

    /// Adds a slot to a table with room.
    fn put(&mut self, home: Home, slot: u32) {
        let mut line = self.line_of(home);
        loop {
            let here = &mut self.lines[line];
            if let Some(at) = here.marks.iter().position(|mark| *mark == UNUSED) {
                here.marks[at] = home.mark;
                here.uppers[at] = home.upper;
                here.slots[at] = slot;
                break;
            }
            here.passed = here.passed.saturating_add(1);
            line = if line + 1 == self.lines.len() { 0 } else { line + 1 };
        }
        self.len += 1;
    }

    fn line_of(&self, home: Home) -> usize {
        let scaled = home.fraction() * self.lines.len() as u64;
        (scaled >> LINE_BITS) as usize
    }

    /// Every line once, from the one of `home` on, around the end.
    fn lines_from(&self, home: Home) -> impl Iterator<Item = usize> + use<> {
        let (start, end) = (self.line_of(home), self.lines.len());
        (start..end).chain(0..start)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Homes of few lines, also the last, which overflows around the end; all steps of few marks.
    fn homes() -> impl Strategy<Value = Home> {
        (prop::sample::select(vec![0, 1, 128, 255]), 1..4_u16, 0..1_u16 << STEP_BITS)
            .prop_map(|(upper, mark, step)| Home::new(upper, mark << STEP_BITS | step))
    }

    fn scattered(slot: u32) -> Home {
        let [upper, mark @ .., _] = slot.wrapping_mul(0x9E37_79B1).to_be_bytes();
        Home::new(upper, u16::from_be_bytes(mark).max(1))
    }

    fn slots_at(table: &Table, home: Home) -> Vec<u32> {
        let mut slots = Vec::new();
        table.find(home, &(home.mark..=home.mark), |slot| {
            slots.push(slot);
            false
        });
        slots.sort_unstable();
        slots
    }

    proptest! {
        /// A table finds at each home what a plain map has there, through growth, overflow and shrinking;
        /// and when all have left, no line counts anybody who passed.
        #[test]
        fn a_table_is_a_map_from_homes_to_slots(
            steps in prop::collection::vec((0..8_u8, homes()), 0..400),
        ) {
            let mut table = Table::new(1);
            let mut plain: HashMap<u32, Home> = HashMap::new();
            for (slot, (step, home)) in (0_u32..).zip(steps) {
                match step {
                    0..=4 => {
                        table.insert(home, slot);
                        plain.insert(slot, home);
                    }
                    5..=6 => {
                        if let Some(oldest) = plain.keys().min().copied() {
                            table.remove(plain.remove(&oldest).unwrap(), oldest);
                        }
                    }
                    _ => {
                        table.shrink();
                    }
                }
                // Homes that share a line and a mark are found together: whoever asks knows his entries.
                let found = slots_at(&table, home);
                prop_assert!(found.iter().all(|slot| plain[slot].mark == home.mark));
                prop_assert!(plain.iter().all(|(slot, at)| *at != home || found.contains(slot)));
                prop_assert_eq!(table.len, plain.len());
            }
            for (slot, home) in plain {
                table.remove(home, slot);
            }
            prop_assert!(table.lines.iter().all(|line| line.passed == 0 || line.passed == u8::MAX));
        }

        /// Marks that differ in their lowest bits only are found from one line, whatever the table's size.
        #[test]
        fn the_steps_of_a_home_share_a_line(upper: u8, mark in 1..4096_u16, lines in 1..5000_usize) {
            let mut table = Table::new(lines);
            table.rebuild(lines);
            let line = table.line_of(Home::new(upper, mark << STEP_BITS));
            prop_assert_eq!(line, table.line_of(Home::new(upper, mark << STEP_BITS | ((1 << STEP_BITS) - 1))));
            prop_assert!(line < lines);
        }
    }

    #[test]
    fn a_search_for_nobody_ends_at_the_first_line_nobody_passed() {
        let mut table = Table::new(1000);
        for slot in 0..4000_u32 {
            table.insert(scattered(slot), slot);
        }
        let passed = table.lines.iter().filter(|line| line.passed > 0).count();
        assert!(passed * 20 < table.lines.len(), "{passed} of {} lines", table.lines.len());
    }

    #[test]
    fn as_many_that_leave_as_enter_need_no_more_memory() {
        let mut table = Table::new(1);
        (0..10_000).for_each(|slot| table.insert(scattered(slot), slot));
        let full_bytes = table.memory_bytes();
        for slot in 10_000..200_000 {
            table.remove(scattered(slot - 10_000), slot - 10_000);
            table.insert(scattered(slot), slot);
        }
        assert_eq!(table.memory_bytes(), full_bytes);
    }

    #[test]
    fn a_table_left_by_most_gives_memory_back_and_an_empty_one_all() {
        let mut table = Table::new(1);
        (0..10_000).for_each(|slot| table.insert(scattered(slot), slot));
        let full_bytes = table.memory_bytes();
        (0..9000).for_each(|slot| table.remove(scattered(slot), slot));
        while table.shrink() {}
        assert!(table.memory_bytes() < full_bytes / 3);
        assert!((9000..10_000).all(|slot| slots_at(&table, scattered(slot)).contains(&slot)));
        (9000..10_000).for_each(|slot| table.remove(scattered(slot), slot));
        assert!(table.shrink());
        assert_eq!(table.memory_bytes(), 0);
    }
}
