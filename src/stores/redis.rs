//! Redis: the cache that daemons share.
