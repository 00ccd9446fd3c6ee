//! Notifies the supervisor that started the process, by systemd's protocol for `Type=notify` (`sd_notify(3)`).
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::liveness::Liveness;

/// Reports that the process works: units that depend on it may start.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Reports that the process is stopping and finishes the work in flight.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds the watchdog (`WatchdogSec=`), if there is one, while all loops have heartbeats, until `stop`.
///
/// It runs on the runtime of the tasks that it watches: if they block it, it starves with them.
pub async fn feed_watchdog(liveness: Liveness, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    let mut clock = tokio::time::interval((limit / 3).max(Duration::from_millis(1)));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(clock.tick()).await.is_some() {
        match liveness.check(Liveness::TIMEOUT) {
            Ok(()) => notify(&[NotifyState::Watchdog]),
            Err(reason) => tracing::error!(reason, "The watchdog is not fed"),
        }
    }
}

fn notify(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "The supervisor is not notified");
    }
}
