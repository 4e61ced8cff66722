//! The stores behind the ports, one module each; drivers and their errors stop here.

pub mod sqlite;
