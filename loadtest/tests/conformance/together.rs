//! Plays that mostly wait, several at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Few enough that none waits for a processor: what is timed must not.
const AT_ONCE: usize = 12;

/// Does something for each; all that went wrong is told together.
#[track_caller]
pub(crate) fn all_at_once<T: Sync>(all: &[T], each: impl Fn(&T) -> Option<String> + Sync) {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|threads| {
        for _ in 0..AT_ONCE.min(all.len()) {
            threads.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let said = each(one);
                    wrong.lock().unwrap().extend(said);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}
