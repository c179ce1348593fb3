//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;

use crate::app::App;

/// The other end of a request's connection; none where that is a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub Option<IpAddr>);

/// The address that a request comes from, as far as it is known.
pub(crate) fn of(app: &App, parts: &Parts) -> Option<IpAddr> {
    client(parts.extensions.get::<Peer>().copied(), &parts.headers, &app.settings.trusted_proxies)
}

/// The address of the client: of the peer, or of whom trusted proxies forward for.
///
/// `X-Forwarded-For` is read from the right: each proxy appends whom it heard, so the first address that is
/// no proxy of ours is the last that somebody we trust has seen. What stands left of it anybody may have
/// written. Who connects by a Unix socket is trusted.
fn client(peer: Option<Peer>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let Peer(peer) = peer?;
    let is_trusted =
        |address: IpAddr| trusted.iter().any(|network| network.contains(&address.to_canonical()));
    let mut client = peer;
    let hops: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    for hop in hops.into_iter().rev() {
        if client.is_some_and(|client| !is_trusted(client)) {
            break;
        }
        let Some(address) = parse(hop.trim()) else { break };
        client = Some(address);
    }
    client
}

/// An address, with or without a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: Option<&str>, forwarded: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let peer = Peer(peer.map(|peer| peer.parse().unwrap()));
        client(Some(peer), &headers, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn only_proxies_of_ours_are_believed() {
        let cases: [(Option<&str>, &[&str], Option<&str>); 9] = [
            (Some("192.0.2.1"), &[], Some("192.0.2.1")),
            (Some("192.0.2.1"), &["198.51.100.7"], Some("192.0.2.1")),
            (Some("10.0.0.1"), &["198.51.100.7"], Some("198.51.100.7")),
            (Some("10.0.0.1"), &["1.1.1.1, 198.51.100.7, 10.2.3.4"], Some("198.51.100.7")),
            (Some("10.0.0.1"), &["1.1.1.1", "198.51.100.7"], Some("198.51.100.7")),
            (Some("10.0.0.1"), &["198.51.100.7:4711"], Some("198.51.100.7")),
            (Some("fd00::1"), &["[2001:db8::5]:443"], Some("2001:db8::5")),
            (Some("10.0.0.1"), &["nonsense, 10.1.1.1"], Some("10.1.1.1")),
            (None, &["198.51.100.7"], Some("198.51.100.7")),
        ];
        for (peer, forwarded, expected) in cases {
            assert_eq!(from(peer, forwarded).as_deref(), expected, "{peer:?} {forwarded:?}");
        }
    }
}
