//! Heartbeat of this mailer in Redis: what it is, what it does, and how its providers are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use examhall_core::{Circuit, MailerStatus, Timestamp};
use examhall_delivery::Fleet;
use examhall_queue::Queue;
use lettre::transport::smtp::extension::ClientId;
use tokio_util::sync::CancellationToken;

use crate::{payload::Payload, smtp::Transport};

/// Interval at which the circuits are looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// Number of intervals between two heartbeats if no circuit has changed.
const BEAT_EVERY: u32 = 4;

/// Sends the heartbeat.
pub(crate) struct Heartbeat {
    pub(crate) fleet: Fleet,
    pub(crate) queue: Queue<Payload>,
    pub(crate) transport: Arc<Transport>,
    /// Number of mails at once.
    pub(crate) slots: usize,
    /// Number of mails in flight.
    pub(crate) busy: Arc<AtomicU32>,
}

impl Heartbeat {
    /// Sends it every few seconds, and within a second after a circuit has changed, until `stop`; then it is removed.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let id = format!("{}-{:08x}", std::process::id(), fastrand::u32(..));
        let (host, started_at) = (host(), self.now());
        let mut clock = tokio::time::interval(INTERVAL);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut known, mut is_due) = (Vec::new(), 0);
        while stop.run_until_cancelled(clock.tick()).await.is_some() {
            let circuits = self.circuits();
            if is_due > 0 && circuits == known {
                is_due -= 1;
                continue;
            }
            let mailer = MailerStatus {
                id: id.clone(),
                host: host.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started_at,
                seen_at: started_at, // replaced by Redis's time
                slots: u32::try_from(self.slots).unwrap_or(u32::MAX),
                busy: self.busy.load(Ordering::Relaxed),
                providers: self.transport.statuses(self.now().as_millis()).await,
            };
            // Without Redis there is nobody who would read it: it is tried again a second later.
            if self.fleet.beat(&mailer).await.is_ok() {
                (known, is_due) = (circuits, BEAT_EVERY - 1);
            }
        }
        if let Err(error) = self.fleet.leave(&id).await {
            tracing::debug!(%error, "The heartbeat was not removed: it expires by itself");
        }
    }

    fn circuits(&self) -> Vec<(Circuit, bool)> {
        self.transport.providers().iter().map(|one| (one.circuit(), one.held_for().is_some())).collect()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.queue.now_ms())
    }
}

/// Name of this machine.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => ClientId::default().to_string(),
        name => name.to_owned(),
    }
}
