//! Where a request comes from.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Once,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use ipnet::IpNet;

use super::{forwarded, problem::Problem};
/// Proxies whose word about where a request comes from is taken.
pub(crate) struct TrustedProxies(pub(crate) Vec<IpNet>);

/// The address that a request comes from; a proxy's word for it is taken from proxies that are trusted only.
pub(crate) struct Client(pub(crate) IpAddr);

impl FromRequest for Client {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let trusted = trusted_by(request);
        // A client may send what is no text; the proxy's own word stands behind it in the same line.
        let lines = |name| {
            let lines = request.headers().get_all(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
            lines.collect::<Vec<_>>().join(",")
        };
        // Who writes `X-Forwarded-For` need not know `Forwarded` and may let a client's own pass.
        let listed = lines("x-forwarded-for");
        let origin = if hops(&listed).next().is_some() {
            origin(peer, hops(&listed).map(address), trusted)
        } else {
            origin(peer, forwarded::nodes(&lines("forwarded")).map(|node| address(&node?)), trusted)
        };
        std::future::ready(Ok(Self(origin)))
    }
}

/// What one client has: of IPv4 an address, of IPv6 the /64 of its own.
pub(crate) fn network(client: IpAddr) -> IpAddr {
    prefix(client, 64)
}

/// The first `bits` of an IPv6 address; an IPv4 address as it is.
pub(crate) fn prefix(client: IpAddr, bits: u8) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let host = 128_u32.saturating_sub(bits.into());
            IpAddr::from((address.to_bits() & u128::MAX.checked_shl(host).unwrap_or(0)).to_be_bytes())
        }
    }
}

/// Whether who sent this request is a trusted proxy.
pub(crate) fn is_behind_trusted_proxy(request: &HttpRequest) -> bool {
    request.peer_addr().is_some_and(|peer| is_one_of(trusted_by(request), peer.ip()))
}

fn trusted_by(request: &HttpRequest) -> &[IpNet] {
    request.app_data::<web::Data<TrustedProxies>>().map(|trusted| trusted.0.as_slice()).unwrap_or_default()
}

fn is_one_of(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|net| net.contains(&address.to_canonical()))
}

/// The entries of `X-Forwarded-For`, last one first.
fn hops(listed: &str) -> impl Iterator<Item = &str> {
    listed.rsplit(',').map(str::trim).filter(|hop| !hop.is_empty())
}

/// Each proxy adds the address that it was asked from at the end: read from there, the first one that is no trusted
/// proxy is the client's. What stands before it can be anything.
///
/// Where a proxy says a word instead, such as `unknown` or an identifier that it made up (RFC 7239, sections 6.2 and 6.3),
/// the proxy itself is the client: made up for each request, the words would be a new client each time.
fn origin(peer: IpAddr, hops: impl IntoIterator<Item = Option<IpAddr>>, trusted: &[IpNet]) -> IpAddr {
    static WARNED: Once = Once::new();
    let mut origin = peer;
    for hop in hops {
        if !is_one_of(trusted, origin) {
            break;
        }
        let Some(address) = hop else {
            WARNED.call_once(|| {
                tracing::warn!(
                    "A trusted proxy names no address of its client: clients behind it cannot be told apart"
                );
            });
            break;
        };
        origin = address;
    }
    origin.to_canonical()
}

/// An address in every form that proxies write: with a port, in brackets, in quotes, with a zone, with leading zeros.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim_matches('"').trim();
    let bare = match hop.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        // One colon is a port's; more are an IPv6 address's.
        None => hop.split_once(':').filter(|(_, port)| !port.contains(':')).map_or(hop, |(host, _)| host),
    };
    let bare = bare.split_once('%').map_or(bare, |(address, _zone)| address);
    bare.parse().ok().or_else(|| padded(bare))
}

/// `203.000.113.007`, whose numbers are decimal.
fn padded(text: &str) -> Option<IpAddr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, forwarded: &str, expected: &str) {
        let trusted = ["10.0.0.0/8".parse().expect("a CIDR"), "::1/128".parse().expect("a CIDR")];
        let peer = peer.parse().expect("an address");
        let found = origin(peer, hops(forwarded).map(address), &trusted);
        assert_eq!(found.to_string(), expected, "{peer} {forwarded}");
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
    fn an_empty_header_and_trusted_proxies_alone_change_nothing() {
        check("10.0.0.1", "", "10.0.0.1");
        check("10.0.0.1", " , ,", "10.0.0.1");
        check("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3");
    }

    #[test]
    fn every_form_that_proxies_write_is_an_address() {
        for form in [
            "203.0.113.7:1000",
            "203.0.113.7:",
            "\"203.0.113.7\"",
            "\"203.0.113.7:1000\"",
            "203.000.113.007",
            "[203.0.113.7]",
            "::ffff:203.0.113.7",
            "[::ffff:203.0.113.7]:443",
        ] {
            check("10.0.0.1", form, "203.0.113.7");
            check("10.0.0.1", &format!("{form},10.0.0.2:8080 ,, "), "203.0.113.7");
        }
        for form in [
            "[2001:db8::7]",
            "[2001:db8::7]:443",
            "\"[2001:db8::7]:443\"",
            "2001:db8::7%eth0",
            "[2001:DB8:0::7%25en0]:1",
        ] {
            check("::1", form, "2001:db8::7");
        }
    }

    #[test]
    fn what_a_client_sends_before_the_proxys_word_is_ignored() {
        for sent in ["ü", "\u{fffd}\u{fffd}", "\"", "[", "::::", "a=b;c"] {
            check("10.0.0.1", &format!("{sent}, 203.0.113.7"), "203.0.113.7");
        }
    }

    #[test]
    fn a_word_in_place_of_an_address_is_the_proxy_that_says_it() {
        for word in ["unknown", "_hidden", "_gazonk:4711", "999.1.1.1", "for=198.51.100.1", "\u{fffd}"] {
            check("10.0.0.1", word, "10.0.0.1");
            check("10.0.0.1", &format!("198.51.100.1, {word}, 10.0.0.2"), "10.0.0.2");
            check("10.0.0.1", &format!("{word}, 198.51.100.1"), "198.51.100.1");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_address_is_read_in_any_form(v4: [u8; 4], v6: [u16; 8], port: u16) {
            let (v4, v6) = (Ipv4Addr::from(v4), std::net::Ipv6Addr::from(v6));
            for form in [format!("{v4}"), format!("{v4}:{port}"), format!("\"{v4}:{port}\"")] {
                proptest::prop_assert_eq!(address(&form), Some(v4.into()), "{}", form);
            }
            for form in [format!("{v6}"), format!("[{v6}]"), format!("[{v6}]:{port}"), format!("\"[{v6}]:{port}\"")] {
                proptest::prop_assert_eq!(address(&form), Some(v6.into()), "{}", form);
            }
        }
    }
}
