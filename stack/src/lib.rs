//! Real PostgreSQL, Redis and DynamoDB engines for tests and development: private, on free ports of loopback.
