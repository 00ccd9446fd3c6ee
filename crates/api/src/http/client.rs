//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use ipnet::IpNet;

use super::problem::Problem;
use crate::state::State;

/// The address that a request comes from; a proxy's word for it is taken from proxies that are trusted only.
pub(crate) struct Client(pub(crate) IpAddr);

impl FromRequest for Client {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let trusted = request.app_data::<web::Data<State>>().map(|state| state.trusted_proxies.as_slice());
        let headers = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
        let forwarded = headers.collect::<Vec<_>>().join(",");
        std::future::ready(Ok(Self(origin(peer, &forwarded, trusted.unwrap_or_default()))))
    }
}

/// What one client has: of IPv4 an address, of IPv6 the network of its own.
pub(crate) fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => IpAddr::from((address.to_bits() >> 64 << 64).to_be_bytes()),
    }
}

/// Whether who sent this request is a trusted proxy.
pub(crate) fn is_behind_trusted_proxy(request: &HttpRequest) -> bool {
    let trusted = request.app_data::<web::Data<State>>().map(|state| state.trusted_proxies.as_slice());
    request.peer_addr().is_some_and(|peer| is_one_of(trusted.unwrap_or_default(), peer.ip()))
}

fn is_one_of(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|net| net.contains(&address.to_canonical()))
}

/// Each proxy adds the address that it was asked from at the end: read from there, the first one that is no trusted
/// proxy is the client's. What stands before it can be anything.
fn origin(peer: IpAddr, forwarded: &str, trusted: &[IpNet]) -> IpAddr {
    let mut origin = peer;
    for hop in forwarded.rsplit(',') {
        if !is_one_of(trusted, origin) {
            break;
        }
        let Ok(address) = hop.trim().parse() else { break };
        origin = address;
    }
    origin.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, forwarded: &str, expected: &str) {
        let trusted = ["10.0.0.0/8".parse().expect("a CIDR"), "::1/128".parse().expect("a CIDR")];
        let peer = peer.parse().expect("an address");
        assert_eq!(origin(peer, forwarded, &trusted).to_string(), expected, "{peer} {forwarded}");
    }

    #[test]
    fn a_stranger_is_not_believed() {
        check("203.0.113.9", "198.51.100.1", "203.0.113.9");
    }

    #[test]
    fn behind_trusted_proxies_the_last_stranger_is_the_client() {
        check("10.0.0.1", "198.51.100.1", "198.51.100.1");
        check("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.2.0.1", "198.51.100.1");
        check("::1", "2001:db8::7", "2001:db8::7");
        check("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1");
    }

    #[test]
    fn what_is_no_address_ends_the_search() {
        check("10.0.0.1", "", "10.0.0.1");
        check("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1");
        check("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3");
    }
}
