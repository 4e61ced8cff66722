//! PostgreSQL as the system of record on a real server: written by psql, read by the adapter, and the reverse.

#[cfg(test)]
mod catch_up;
#[cfg(test)]
mod checking;
#[cfg(test)]
mod following;
#[cfg(test)]
mod partitions;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod psql;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod triggers;
