//! The daemon's page for operators, asked with as much HTTP as that takes.

use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer is there after this, or none comes.
const ANSWER_AT_MOST: Duration = Duration::from_secs(10);

/// No page of the daemon's is longer.
const PAGE_MAX_BYTES: u64 = 16 << 20;

/// Where the page is: `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Admin {
    authority: String,
}

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let authority = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let port = |authority: &str| authority.rsplit_once(':')?.1.parse::<u16>().ok();
        match authority.filter(|authority| port(authority).is_some() && !authority.contains('/')) {
            Some(authority) => Ok(Self { authority: authority.to_owned() }),
            None => Err("http://HOST:PORT is wanted".to_owned()),
        }
    }
}

impl std::fmt::Display for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

impl Admin {
    /// A page's body.
    ///
    /// # Errors
    /// When nobody answers there in time, or not with a page.
    pub(super) async fn page(&self, path: &str) -> Result<Vec<u8>, String> {
        let asked = tokio::time::timeout(ANSWER_AT_MOST, self.ask(path)).await;
        let answer = asked
            .map_err(|_| format!("no answer within {} s", ANSWER_AT_MOST.as_secs()))?
            .map_err(|error| error.to_string())?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no HTTP is spoken there")?;
        let (head, body) = answer.split_at(end + 4);
        let status = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default());
        if status.split(' ').nth(1) != Some("200") {
            return Err(format!("{path}: {status}"));
        }
        Ok(body.to_vec())
    }

    async fn ask(&self, path: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.authority).await?;
        let authority = &self.authority;
        // Of 1.0, so that nobody on the way answers in chunks.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(PAGE_MAX_BYTES).read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert_eq!("http://127.0.0.1:7401/".parse::<Admin>().unwrap().to_string(), "http://127.0.0.1:7401");
        for wrong in ["127.0.0.1:7401", "https://host:1", "http://host", "http://host:1/page"] {
            assert!(wrong.parse::<Admin>().is_err(), "{wrong}");
        }
    }
}
