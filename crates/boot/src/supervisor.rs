//! What is told to the supervisor that started the process: systemd's protocol for `Type=notify` (`sd_notify(3)`).
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::liveness::Liveness;

/// The process does its work: other units that need it may start.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The process was told to stop and finishes what it has in hand.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds the watchdog (`WatchdogSec=`) while all loops turn, until `stop`. Nothing where there is no watchdog.
///
/// It runs among the tasks that it watches: where they hold up the runtime, it starves with them.
pub async fn feed_watchdog(liveness: Liveness, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    let mut clock = tokio::time::interval((limit / 3).max(Duration::from_millis(1)));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(clock.tick()).await.is_some() {
        match liveness.check(Liveness::PATIENCE) {
            Ok(()) => notify(&[NotifyState::Watchdog]),
            Err(reason) => tracing::error!(reason, "The watchdog is not fed"),
        }
    }
}

fn notify(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "The supervisor is not told");
    }
}
