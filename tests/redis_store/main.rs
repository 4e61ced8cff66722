//! The Redis adapter on real servers: written by the adapter and read back by `redis-cli`, and the reverse.

#[cfg(test)]
mod beacons;
#[cfg(test)]
mod customers;
#[cfg(test)]
mod measure;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod server;
