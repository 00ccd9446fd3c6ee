//! The public port: a socket that systemd passes, or one of our own.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use listenfd::ListenFd;

/// Takes the socket of `examhall-api.socket`, which systemd holds, so that clients wait while the API restarts; or listens on
/// `bind`, if none was passed (`sd_listen_fds(3)`).
pub(crate) async fn listen(bind: SocketAddr) -> anyhow::Result<TcpListener> {
    let inherited =
        ListenFd::from_env().take_tcp_listener(0).context("LISTEN_FDS: no socket that can be listened on")?;
    let listener = if let Some(listener) = inherited {
        listener
    } else {
        let listener = tokio::net::TcpListener::bind(bind).await;
        listener.with_context(|| format!("API_BIND: cannot listen on {bind}"))?.into_std()?
    };
    listener.set_nonblocking(true)?;
    tracing::info!("Server running on port {}", listener.local_addr()?.port());
    Ok(listener)
}
