//! Whose turn it is: a ring of slots, a tick each, with lists threaded through the customers themselves.

/// No further customer in this slot.
const END: u32 = 0;

/// Turns that lie no farther ahead than the ring is long.
#[derive(Debug)]
pub(super) struct Wheel {
    /// The first customer's place and one; [`END`].
    heads: Vec<u32>,
}

impl Wheel {
    /// For turns up to so many ticks ahead.
    pub(super) fn new(longest: u32) -> Self {
        let slots = (longest as usize + 2).next_power_of_two();
        Self { heads: vec![END; slots] }
    }

    /// Sets a customer's turn; `next` is its link.
    pub(super) fn put(&mut self, tick: u32, place: u32, next: &mut u32) {
        let slot = tick as usize & (self.heads.len() - 1);
        if let Some(head) = self.heads.get_mut(slot) {
            *next = std::mem::replace(head, place + 1);
        }
    }

    /// Takes everybody whose turn it is: the first one; the others are behind its link.
    pub(super) fn take(&mut self, tick: u32) -> Option<u32> {
        let slot = tick as usize & (self.heads.len() - 1);
        Self::place(self.heads.get_mut(slot).map_or(END, |head| std::mem::replace(head, END)))
    }

    /// The customer behind a link.
    pub(super) const fn place(link: u32) -> Option<u32> {
        link.checked_sub(1)
    }
}
