//! The operators' pages over HTTP, of an admin thread alone with a scripted daemon behind it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at what they do not expect")]

mod client;
mod exposition;
mod orders;
mod pages;
mod scrape;
mod slow;
