//! As much HTTP/1.1 as the daemon's pages and DynamoDB's wire take: one request a connection, lengths and no chunks.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No head is longer.
const MAX_HEAD_BYTES: usize = 16_384;

/// A request or an answer: the lines of its head, and its body.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) head: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.iter().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// An answer's status.
    pub(crate) fn status(&self) -> Option<u16> {
        self.head.first()?.split(' ').nth(1)?.parse().ok()
    }

    /// Reads one; none at the end of the stream.
    ///
    /// # Errors
    /// When the stream breaks, or it is not of the kind that this file knows.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        let head_end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if bytes.len() > MAX_HEAD_BYTES {
                return Err(io::Error::other("a head without an end"));
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return if bytes.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        };
        let mut body = bytes.split_off(head_end + 4);
        let head = String::from_utf8_lossy(&bytes).trim_end().split("\r\n").map(str::to_owned).collect();
        let mut message = Self { head, body: Vec::new() };
        let length = message.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if message.header("transfer-encoding").is_some() || body.len() > length {
            return Err(io::Error::other("a body of unknown length"));
        }
        let read = body.len();
        body.resize(length, 0);
        stream.read_exact(body.get_mut(read..).unwrap_or_default()).await?;
        message.body = body;
        Ok(Some(message))
    }
}

/// Asks and returns the answer.
///
/// # Errors
/// When nobody answers there, or breaks off.
pub(crate) async fn ask(address: SocketAddr, head: &[String], body: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(address).await?;
    let mut request = head.join("\r\n").into_bytes();
    request.extend(format!("\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).bytes());
    request.extend(body);
    stream.write_all(&request).await?;
    Message::read(&mut stream).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// A page of the daemon's.
///
/// # Errors
/// As [`ask`].
pub(crate) async fn page(address: SocketAddr, path: &str) -> io::Result<Message> {
    ask(address, &[format!("GET {path} HTTP/1.1"), format!("Host: {address}")], &[]).await
}
