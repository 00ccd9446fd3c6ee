//! What the queue holds, as gauges: measured now and then, since every look costs Redis something.

use std::time::{Duration, SystemTime};

use examhall_core::{MailClass, Priority};
use examhall_queue::{Counts, Queue, WorkerControl};
use tokio_util::sync::CancellationToken;

use crate::payload::Payload;

/// How often what the worker has counted is shown, which costs Redis nothing.
const INTERVAL: Duration = Duration::from_secs(1);
/// In how many of those Redis is asked, too.
const ASK_EVERY: u32 = 15;

/// What is measured.
pub(crate) struct Gauges {
    pub(crate) queue: Queue<Payload>,
    pub(crate) control: WorkerControl,
}

impl Gauges {
    /// Measures until `stop`.
    pub(crate) async fn measure(self, name: String, stop: CancellationToken) {
        let mut clock = tokio::time::interval(INTERVAL);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        metrics::gauge!("mailer_slots_busy").increment(0.0);
        for second in 0_u32.. {
            if stop.run_until_cancelled(clock.tick()).await.is_none() {
                return;
            }
            self.show_tally(&name);
            if second.is_multiple_of(ASK_EVERY) {
                self.ask(&name).await;
            }
        }
    }

    fn show_tally(&self, queue: &str) {
        let tally = self.control.tally();
        metrics::counter!("bullmq_job_completed_total", "queue" => queue.to_owned()).absolute(tally.completed);
        metrics::counter!("bullmq_job_failed_total", "queue" => queue.to_owned()).absolute(tally.failed);
        metrics::counter!("mailer_stalled_total").absolute(tally.recovered);
    }

    async fn ask(&self, name: &str) {
        if let Ok(counts) = self.queue.counts().await {
            show_counts(&counts, name);
        }
        if let Ok(oldest) = self.queue.oldest_waiting().await {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            for class in [MailClass::Verification, MailClass::Result, MailClass::Other] {
                let times = oldest.iter().filter(|one| class_of(one.priority) == class).map(|one| one.timestamp);
                #[expect(clippy::cast_precision_loss, reason = "ms since 1970 fit into a double")]
                let waits = times.min().map_or(0.0, |since| (now - since as f64 / 1000.0).max(0.0));
                metrics::gauge!("mailer_oldest_waiting_seconds", "class" => class.as_str()).set(waits);
            }
        }
    }
}

/// Jobs stand in Redis by priority: what a class is sent with tells the class. Verification and reset share one.
fn class_of(priority: u32) -> MailClass {
    match Priority::from_bullmq(priority) {
        _ if priority == 0 => MailClass::Other,
        Priority::HIGHEST => MailClass::Verification,
        Priority::DEFAULT | Priority::LOWEST => MailClass::Result,
        _ => MailClass::Other,
    }
}

fn show_counts(counts: &Counts, queue: &str) {
    let states = [
        ("waiting", counts.waiting),
        ("prioritized", counts.prioritized),
        ("delayed", counts.delayed),
        ("active", counts.active),
        ("completed", counts.completed),
        ("failed", counts.failed),
    ];
    for (state, count) in states {
        #[expect(clippy::cast_precision_loss, reason = "a gauge for people")]
        metrics::gauge!("bullmq_job_count", "queue" => queue.to_owned(), "state" => state).set(count as f64);
    }
}

/// Counts as busy until it is dropped.
pub(crate) struct BusySlot(metrics::Gauge);

impl BusySlot {
    pub(crate) fn new() -> Self {
        let slots = metrics::gauge!("mailer_slots_busy");
        slots.increment(1.0);
        Self(slots)
    }
}

impl Drop for BusySlot {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
