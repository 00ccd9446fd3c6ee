//! Shutdown: one token that all tasks wait for.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code after a second signal: 128 + SIGINT, as shells report it.
const KILLED: i32 = 130;

/// Returns a token that the first SIGTERM or SIGINT cancels. The second signal exits at once.
///
/// # Errors
/// Returns an error if signal handlers cannot be installed.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = token.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let name = next().await;
        tracing::info!(signal = name, "Stopping: finishing what is in flight");
        stop.cancel();
        let name = next().await;
        tracing::warn!(signal = name, "Stopping at once");
        std::process::exit(KILLED);
    });
    Ok(token)
}
