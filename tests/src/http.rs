//! One HTTP request over loopback; no more is needed to read a worker's status or to tell a Connect worker what to run.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Doing, LabError, Result};

const LIMIT: Duration = Duration::from_secs(10);

/// What a request answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// The body, as text.
    pub body: String,
}

/// GETs a path.
pub fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    request("GET", address, path, None)
}

/// Any request, with a body of JSON or none.
pub(crate) fn request(
    method: &str,
    address: SocketAddr,
    path: &str,
    body: Option<&str>,
) -> Result<Answer> {
    let mut stream =
        TcpStream::connect_timeout(&address, LIMIT).doing(format!("connect to {address}"))?;
    stream
        .set_read_timeout(Some(LIMIT))
        .doing("set a deadline")?;
    stream
        .set_write_timeout(Some(LIMIT))
        .doing("set a deadline")?;
    let content = body.map_or_else(String::new, |body| {
        let length = body.len();
        format!("Content-Type: application/json\r\nContent-Length: {length}\r\n")
    });
    let body = body.unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{content}\r\n{body}"
    );
    stream
        .write_all(request.as_bytes())
        .doing(format!("ask {address}"))?;
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .doing(format!("read the answer of {address}"))?;
    parse(&bytes).ok_or_else(|| LabError::BadAnswer {
        who: format!("http://{address}{path}"),
        why: format!(
            "not HTTP: {}",
            String::from_utf8_lossy(&bytes)
                .chars()
                .take(200)
                .collect::<String>()
        ),
    })
}

pub(crate) fn parse(bytes: &[u8]) -> Option<Answer> {
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..split)?).ok()?;
    let body = bytes.get(split + 4..)?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        unchunk(body)?
    } else {
        body.to_vec()
    };
    Some(Answer {
        code,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..line)?)
            .ok()?
            .split(';')
            .next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(line + 2..line + 2 + size)?);
        rest = rest.get(line + 2 + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_chunked_bodies_are_read() {
        let plain = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        assert_eq!(
            plain,
            Some(Answer {
                code: 200,
                body: "ok".to_owned()
            })
        );
        let chunked = parse(
            b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
        );
        assert_eq!(
            chunked,
            Some(Answer {
                code: 503,
                body: "abcd".to_owned()
            })
        );
        assert_eq!(parse(b"SSH-2.0"), None);
    }
}
