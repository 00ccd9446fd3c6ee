//! Ports.

use std::net::TcpListener;

/// A TCP port on 127.0.0.1 that nobody listens on now. Somebody may take it before the caller does: callers that use this
/// must notice that and ask again.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}
