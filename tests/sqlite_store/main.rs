//! The embedded store on real files: written by the adapter, read back by a plain connection, and the reverse.

#[cfg(test)]
mod failing;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod writing;
