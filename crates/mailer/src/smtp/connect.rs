//! TCP connection to a host with several addresses: Happy Eyeballs (RFC 8305).

use std::{io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{sleep, timeout},
};

/// Head start of an address before the next one is tried as well (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first address of the host that answers, within `limit`.
pub(super) async fn connect(host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let connecting = async { race(interleaved(lookup_host((host, port)).await?.collect())).await };
    let stream = timeout(limit, connecting).await.map_err(|_| io::Error::other("no connection in time"))??;
    // Without TCP_NODELAY each command waits for the acknowledgement of the last one: 40 ms.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Tries the addresses one after the other, each [`HEAD_START`] after the one before, or at once if that has failed.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut next = addresses.into_iter();
    let mut trying = FuturesUnordered::new();
    let mut first_error = None;
    loop {
        match next.next() {
            Some(address) => trying.push(TcpStream::connect(address)),
            None if trying.is_empty() => {
                return Err(first_error.unwrap_or_else(|| io::Error::other("the host has no address")));
            }
            None => {}
        }
        let has_more = next.len() > 0;
        tokio::select! {
            connected = trying.select_next_some() => match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => drop(first_error.get_or_insert(error)),
            },
            () = sleep(HEAD_START), if has_more => {}
        }
    }
}

/// Alternates between the address families, so that a broken one delays nothing for long; otherwise the system's order,
/// which has the best address first (RFC 6724).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else { return addresses };
    let (preferred, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let (mut preferred, mut others) = (preferred.into_iter(), others.into_iter());
    let mut all = Vec::new();
    while preferred.len() + others.len() > 0 {
        all.extend(preferred.next());
        all.extend(others.next());
    }
    all
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn address_families_alternate() {
        let parsed =
            |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect::<Vec<SocketAddr>>();
        let system = parsed(&["[::1]:25", "[::2]:25", "[::3]:25", "1.1.1.1:25", "1.1.1.2:25"]);
        let expected = parsed(&["[::1]:25", "1.1.1.1:25", "[::2]:25", "1.1.1.2:25", "[::3]:25"]);
        assert_eq!(interleaved(system), expected);
        assert_eq!(interleaved(parsed(&["1.1.1.1:25"])), parsed(&["1.1.1.1:25"]));
        assert_eq!(interleaved(vec![]), []);
    }

    /// Listens on an address whose queue of connections is full: further ones get no answer, as from a dead host.
    async fn silent_host() -> (SocketAddr, Vec<TcpStream>, socket2::Socket) {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
        socket.listen(0).expect("listening");
        let address = socket.local_addr().expect("bound").as_socket().expect("an IP address");
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            waiting.push(stream);
        }
        (address, waiting, socket)
    }

    #[tokio::test]
    async fn dead_and_refusing_addresses_are_passed_over() {
        let (silent, _waiting, _socket) = silent_host().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let good = listener.local_addr().expect("bound");
        let refusing = SocketAddr::from(([127, 0, 0, 1], 1));
        for addresses in [vec![silent, refusing, silent, good], vec![refusing, good], vec![good, silent]] {
            let started = Instant::now();
            let stream = timeout(Duration::from_secs(20), race(addresses)).await.expect("in time").expect("connected");
            assert_eq!(stream.peer_addr().expect("connected"), good);
            assert!(started.elapsed() < Duration::from_secs(10), "a connection timeout of the system is longer");
        }
        assert_eq!(race(vec![refusing]).await.err().map(|error| error.kind()), Some(io::ErrorKind::ConnectionRefused));
        assert!(race(vec![]).await.is_err_and(|error| error.to_string().contains("no address")));
    }
}
