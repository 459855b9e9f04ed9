//! One HTTP call with a body, over loopback: what AWS's protocols need.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Doing, LabError, Result};
use crate::http::{Answer, parse};

/// Sends a request, and waits for its answer at most for `limit`.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    limit: Duration,
) -> Result<Answer> {
    let mut stream =
        TcpStream::connect_timeout(&address, limit).doing(format!("connect to {address}"))?;
    stream
        .set_read_timeout(Some(limit))
        .doing("set a deadline")?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let asked = format!("{method} http://{address}{path}");
    stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body))
        .doing(format!("ask {asked}"))?;
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .doing(format!("read the answer of {asked}"))?;
    parse(&bytes).ok_or(LabError::BadAnswer {
        who: asked,
        why: "not HTTP".to_owned(),
    })
}
