//! What a table keeps: packed items in shards, ordered by the hash of the partition key, then by the keys.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::packed::{Packed, SortKey, pack};
use super::value::Attributes;

/// The first bits of a hash say which shard: small trees, and several threads at once.
const SHARD_BITS: u32 = 6;

/// An item, or a key alone where one is looked for.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    hash: u64,
    packed: Box<[u8]>,
}

impl Entry {
    /// Takes what was packed, with the hash of its partition key.
    pub(super) fn new(partition: &str, packed: &[u8]) -> Self {
        Self { hash: hash(partition), packed: packed.into() }
    }

    /// A key without an item.
    pub(super) fn key(partition: &str, sort: SortKey<'_>) -> Self {
        let mut packed = Vec::new();
        pack(0, (partition, sort), &Attributes::default(), |_| true, &mut packed);
        Self::new(partition, &packed)
    }

    /// Before all items whose hash is this or more.
    pub(super) fn before_hash(hash: u64) -> Self {
        Self { hash, packed: Box::default() }
    }

    pub(super) fn packed(&self) -> Packed<'_> {
        Packed::new(&self.packed)
    }

    pub(super) fn keys(&self) -> (&str, SortKey<'_>) {
        let mut packed = self.packed();
        packed.size();
        packed.keys()
    }

    pub(super) fn len(&self) -> usize {
        self.packed.len()
    }

    pub(super) fn shard(&self) -> usize {
        usize::try_from(self.hash >> (u64::BITS - SHARD_BITS)).unwrap_or(0)
    }
}

/// The same function in every run, so that the order of a scan is too.
fn hash(partition: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(partition.as_bytes());
    hasher.finish()
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        // Nearly always the hash decides, which is in the tree's own nodes.
        self.hash.cmp(&other.hash).then_with(|| self.keys().cmp(&other.keys()))
    }
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    New,
    /// An item of that key was there, the very same.
    Same,
    /// Another item of that key was there.
    Replaced,
}

/// A table's items.
#[derive(Debug)]
pub(super) struct Shelf {
    shards: Box<[Mutex<BTreeSet<Entry>>]>,
    items: AtomicU64,
    bytes: AtomicU64,
}

impl Shelf {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..1 << SHARD_BITS).map(|_| Mutex::default()).collect(),
            items: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    pub(super) fn put(&self, entry: Entry) -> Put {
        self.put_into(&mut self.shard(entry.shard()), entry)
    }

    /// Puts an item if there is, or is not, one of its key. None when nothing was put.
    pub(super) fn put_if(&self, entry: Entry, must_be_there: bool) -> Option<Put> {
        let mut shard = self.shard(entry.shard());
        (shard.contains(&entry) == must_be_there).then(|| self.put_into(&mut shard, entry))
    }

    fn put_into(&self, shard: &mut BTreeSet<Entry>, entry: Entry) -> Put {
        self.bytes.fetch_add(entry.len() as u64, Relaxed);
        let Some(old) = shard.replace(entry) else {
            self.items.fetch_add(1, Relaxed);
            return Put::New;
        };
        self.bytes.fetch_sub(old.len() as u64, Relaxed);
        let is_same = shard.get(&old).is_some_and(|new| new.packed == old.packed);
        if is_same { Put::Same } else { Put::Replaced }
    }

    /// Takes an item away; tells whether it was there.
    pub(super) fn remove(&self, key: &Entry) -> bool {
        let removed = self.shard(key.shard()).take(key);
        if let Some(entry) = &removed {
            self.items.fetch_sub(1, Relaxed);
            self.bytes.fetch_sub(entry.len() as u64, Relaxed);
        }
        removed.is_some()
    }

    pub(super) fn get(&self, key: &Entry) -> Option<Entry> {
        self.shard(key.shard()).get(key).cloned()
    }

    pub(super) fn items(&self) -> u64 {
        self.items.load(Relaxed)
    }

    /// Of the packed items, without what the trees take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Hands out one shard's items between two entries in order, until `take` has enough; tells whether it had.
    pub(super) fn walk(
        &self,
        shard: usize,
        (from, to): (Bound<&Entry>, Bound<&Entry>),
        backwards: bool,
        mut take: impl FnMut(&Entry) -> bool,
    ) -> bool {
        // Such a range is a panic to the tree.
        let is_empty = match (from, to) {
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
                from >= to
            }
            _ => false,
        };
        if is_empty {
            return false;
        }
        let shard = self.shard(shard);
        let mut range = shard.range((from, to));
        loop {
            let next = if backwards { range.next_back() } else { range.next() };
            match next {
                Some(entry) if take(entry) => {}
                Some(_) => return true,
                None => return false,
            }
        }
    }

    fn shard(&self, number: usize) -> MutexGuard<'_, BTreeSet<Entry>> {
        let shard = self.shards.get(number).unwrap_or(&self.shards[0]);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(partition: &str, sort: &str, size: usize) -> Entry {
        let mut packed = Vec::new();
        pack(size, (partition, SortKey::of(sort)), &Attributes::default(), |_| true, &mut packed);
        Entry::new(partition, &packed)
    }

    #[test]
    fn a_put_tells_what_was_there() {
        let shelf = Shelf::new();
        assert_eq!(shelf.put(entry("a", "1", 7)), Put::New);
        assert_eq!(shelf.put(entry("a", "1", 7)), Put::Same);
        assert_eq!(shelf.put(entry("a", "1", 8)), Put::Replaced);
        assert_eq!(shelf.put(entry("a", "2", 8)), Put::New);
        assert_eq!(shelf.put_if(entry("a", "2", 8), false), None);
        assert_eq!(shelf.put_if(entry("a", "3", 8), false), Some(Put::New));
        let key = |sort| Entry::key("a", SortKey::of(sort));
        assert_eq!(shelf.get(&key("1")).unwrap().packed().size(), 8);
        assert!(shelf.remove(&key("3")) && !shelf.remove(&key("3")));
        assert_eq!((shelf.items(), shelf.bytes()), (2, 2 * entry("a", "1", 7).len() as u64));
    }

    #[test]
    fn a_walk_is_in_order_within_its_bounds() {
        let shelf = Shelf::new();
        for sort in ["b", "a", "c"] {
            shelf.put(entry("x", sort, 0));
        }
        let key = |sort| Entry::key("x", sort);
        let walk = |from: Bound<&Entry>, to: Bound<&Entry>, backwards| {
            let mut seen = String::new();
            shelf.walk(key(SortKey::None).shard(), (from, to), backwards, |entry| {
                entry.keys().1.with_text(|text| seen.push_str(text.unwrap()));
                true
            });
            seen
        };
        let (first, last) = (key(SortKey::None), key(SortKey::Last));
        let (a, b) = (key(SortKey::of("a")), key(SortKey::of("b")));
        assert_eq!(walk(Bound::Included(&first), Bound::Included(&last), false), "abc");
        assert_eq!(walk(Bound::Included(&first), Bound::Included(&last), true), "cba");
        assert_eq!(walk(Bound::Excluded(&a), Bound::Included(&last), false), "bc");
        assert_eq!(walk(Bound::Included(&b), Bound::Included(&b), false), "b");
        assert_eq!(walk(Bound::Excluded(&b), Bound::Excluded(&b), false), "");
        assert_eq!(walk(Bound::Included(&b), Bound::Included(&a), false), "");
    }
}
