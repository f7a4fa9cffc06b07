//! A file by plain HTTP, as whoever checks a certificate gets its revocation list: without a
//! ticket, a cookie or a redirection. The typed client of the server trusts one anchor and speaks
//! TLS alone, so it is not the right one here.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, bail};

const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is taken.
const MOST: u64 = 16 * 1024 * 1024;
const HTTP: u16 = 80;

/// The file at an address that begins with `http://`.
pub(crate) fn fetch(url: &str) -> anyhow::Result<Vec<u8>> {
    let rest = url.strip_prefix("http://").context("not an http address")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().context("the port")?),
        None => (host, HTTP),
    };
    let address = (name, port)
        .to_socket_addrs()
        .with_context(|| name.to_owned())?
        .next()
        .with_context(|| format!("{name} has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer ends where the connection does, and comes in one piece.
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    body(&answer).map(<[u8]>::to_vec)
}

/// What follows the head of an answer that says 200.
fn body(answer: &[u8]) -> anyhow::Result<&[u8]> {
    const END: &[u8] = b"\r\n\r\n";
    let at = answer.windows(END.len()).position(|window| window == END);
    let (head, rest) = at
        .and_then(|at| answer.split_at_checked(at))
        .context("the answer is not HTTP")?;
    let head = String::from_utf8_lossy(head);
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("the web server says: {status}");
    }
    Ok(rest.get(END.len()..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_good_answer_holds_is_taken() {
        let good = body(b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nlist").unwrap();
        assert_eq!(good, b"list");
        let error = body(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap_err();
        assert!(error.to_string().contains("404"), "{error}");
        assert!(body(b"list").is_err());
    }
}
