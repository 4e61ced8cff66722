//! Batches written into a real PostgreSQL by the adapter and read back by psql.

#[cfg(test)]
mod cutting;
#[cfg(test)]
mod foreign_keys;
#[cfg(test)]
mod preferences;
#[cfg(test)]
mod psql;
#[cfg(test)]
mod refusing;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod spacing;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod writing;
