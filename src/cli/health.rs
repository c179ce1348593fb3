//! Asks the server on this machine how it is: what a container's health check runs.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::output::say;
use crate::app::Failure;
use crate::config::{Config, Listen};

/// Health checks are asked every few seconds, and one that hangs is as bad as none.
const PATIENCE: Duration = Duration::from_secs(5);

/// The reply is one line of JSON.
const LONGEST: u64 = 16 * 1024;

/// Says what `/ready` says at the first address of `listen`; fails unless that is 200.
pub(super) async fn ask(config: &Config) -> Result<(), Failure> {
    let Some(address) = config.listen.first() else { return Ok(()) };
    let failed = |what: String| Failure::Input(format!("the server at {address} {what}"));
    let reply = match tokio::time::timeout(PATIENCE, reply(address)).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => return Err(failed(format!("does not answer: {error}"))),
        Err(_) => return Err(failed(format!("does not answer within {} s", PATIENCE.as_secs()))),
    };
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(failed(format!("is not ready ({status}): {}", body.trim())));
    }
    say(body.trim());
    Ok(())
}

async fn reply(address: &Listen) -> io::Result<String> {
    match address {
        Listen::Tcp(address) => exchange(TcpStream::connect(reachable(*address)).await?).await,
        Listen::Unix(path) => exchange(UnixStream::connect(path).await?).await,
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut reply = Vec::new();
    stream.take(LONGEST).read_to_end(&mut reply).await?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

/// Who listens everywhere is reached by the loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let loopback = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(loopback, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_reached_by_the_loopback() {
        let cases = [
            ("0.0.0.0:8008", "127.0.0.1:8008"),
            ("[::]:8008", "[::1]:8008"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ];
        for (listen, reached) in cases {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), reached);
        }
    }
}
