//! Whether Redis is as the daemon needs it: for `beacond check`.

use redis::{AsyncConnectionConfig, RedisError};

use super::links::{probe, use_tls};
use super::scripts::{KEEP_BEACON, MOVE_CUSTOMER};
use super::{RedisSettings, address, reason};
use crate::stores::CheckLine;

/// Connects once and looks. It leaves two scripts in the server's script cache, and no key.
pub async fn check(settings: &RedisSettings) -> Vec<CheckLine> {
    let client = match settings.client() {
        Ok(client) => client,
        Err(error) => return vec![CheckLine { part: "server", found: Err(error.to_string()) }],
    };
    let wrong = |error: RedisError| format!("{}: {}", address(&client), reason(&error));
    use_tls(&client);
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.timeout))
        .set_response_timeout(Some(settings.timeout));
    let mut connection = match client.get_multiplexed_async_connection_with_config(&config).await {
        Ok(connection) => connection,
        Err(error) => return vec![CheckLine { part: "server", found: Err(wrong(error)) }],
    };
    let information: Result<String, RedisError> = redis::cmd("INFO").query_async(&mut connection).await;
    let writes = async {
        KEEP_BEACON.load_async(&mut connection).await?;
        MOVE_CUSTOMER.load_async(&mut connection).await?;
        probe(&mut connection).await
    };
    let writes = writes.await.map(|()| "keys and scripts may be written".to_owned()).map_err(wrong);
    let (version, memory) = match information {
        Ok(information) => {
            let version = field(&information, "redis_version").unwrap_or("unknown");
            (Ok(format!("{}, version {version}", address(&client))), memory(&information))
        }
        // A server may keep this to its administrators; it can be used all the same.
        Err(error) => {
            let unknown = format!("INFO is refused: {}", reason(&error));
            (Ok(format!("{}, version unknown", address(&client))), unknown)
        }
    };
    vec![
        CheckLine { part: "server", found: version },
        CheckLine { part: "rights", found: writes },
        CheckLine { part: "memory", found: Ok(memory) },
    ]
}

/// What happens when it is full, in words.
fn memory(information: &str) -> String {
    let policy = field(information, "maxmemory_policy").unwrap_or("unknown");
    match field(information, "maxmemory") {
        Some("0") => format!("no maxmemory, policy {policy}"),
        Some(bytes) if policy == "noeviction" => {
            format!("maxmemory {bytes} bytes, policy noeviction: when full it caches nothing new")
        }
        Some(bytes) => format!("maxmemory {bytes} bytes, policy {policy}"),
        None => format!("maxmemory unknown, policy {policy}"),
    }
}

/// A field of INFO's answer, which has one a line.
fn field<'i>(information: &'i str, name: &str) -> Option<&'i str> {
    information.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_says_what_happens_when_it_is_full() {
        let information = "redis_version:7.0.15\r\nmaxmemory:1024\r\nmaxmemory_policy:noeviction\r\n";
        assert!(memory(information).ends_with("when full it caches nothing new"));
        assert_eq!(memory("maxmemory:0\r\nmaxmemory_policy:x\r\n"), "no maxmemory, policy x");
        assert_eq!(field(information, "redis_version"), Some("7.0.15"));
        assert_eq!(field(information, "redis"), None);
    }
}
