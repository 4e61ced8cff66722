//! Rows that a store refused, kept in a bounded file of the data directory.
