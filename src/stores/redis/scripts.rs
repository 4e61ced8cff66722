//! The two Lua scripts: a hash may only move forward, and what is held has to be read and replaced in one step.

use std::sync::LazyLock;

use redis::Script;

/// Whether `held` is a time as [`crate::domain::time::Timestamp::to_text`] writes it. Anything else counts as not held,
/// or text that sorts late would keep a key from ever moving again.
macro_rules! is_time {
    () => {
        "local function is_time(held)
           return type(held) == 'string' and #held == 27
             and string.find(held, '^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d%d%d%dZ$') ~= nil
         end
        "
    };
}

/// Replaces a beacon's hash by a newer version. KEYS: the hash. ARGV: updated_at, TTL in seconds, then fields and values.
/// Returns 1 if it wrote, 0 if the same or a newer version is held.
///
/// The first write is one that a full server refuses: behind any other it would let the script write on past its limit.
/// Refused, the old version goes too.
pub(super) static KEEP_BEACON: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        is_time!(),
        "local held = redis.pcall('HGET', KEYS[1], 'updated_at')
         if is_time(held) and held >= ARGV[1] then return 0 end
         if type(held) == 'table' then redis.call('DEL', KEYS[1]) end
         local room = redis.pcall('HSET', KEYS[1], 'updated_at', ARGV[1])
         redis.call('DEL', KEYS[1])
         if type(room) == 'table' then return room end
         redis.call('HSET', KEYS[1], unpack(ARGV, 3))
         redis.call('EXPIRE', KEYS[1], ARGV[2])
         return 1"
    ))
});

/// Moves a customer's hash forward. KEYS: the hash. ARGV: detected_at, TTL in seconds, confidence, and the location if
/// there is one. Returns 1 if it wrote, 0 if the same or a newer identity is held.
pub(super) static MOVE_CUSTOMER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        is_time!(),
        "local held = redis.pcall('HGET', KEYS[1], 'detected_at')
         if is_time(held) and held >= ARGV[1] then return 0 end
         if type(held) == 'table' then redis.call('DEL', KEYS[1]) end
         if ARGV[4] then
           redis.call('HSET', KEYS[1], 'location', ARGV[4], 'confidence', ARGV[3], 'detected_at', ARGV[1])
         else
           redis.call('HSET', KEYS[1], 'confidence', ARGV[3], 'detected_at', ARGV[1])
           redis.call('HDEL', KEYS[1], 'location')
         end
         redis.call('EXPIRE', KEYS[1], ARGV[2])
         return 1"
    ))
});
