//! The events on real engines: written by the adapter, read back by the SDK alone; through a front where the engine
//! would never throttle.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod front;
#[cfg(test)]
mod pushed_back;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod writing;
