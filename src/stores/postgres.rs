//! PostgreSQL: the system of record.

mod writer;
