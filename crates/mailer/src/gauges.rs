//! Gauges of the queue, sampled at an interval to spare Redis.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use examhall_core::WaitingClass;
use examhall_delivery::Reports;
use examhall_queue::{Counts, Queue, WorkerControl};
use tokio_util::sync::CancellationToken;

use crate::payload::Payload;

/// Interval at which the worker's counters are published, which needs no Redis.
const INTERVAL: Duration = Duration::from_secs(1);
/// Number of intervals between two samples of Redis.
const SAMPLE_EVERY: u32 = 15;

/// The sampled queue and worker.
pub(crate) struct Gauges {
    pub(crate) queue: Queue<Payload>,
    pub(crate) control: WorkerControl,
    /// Bounces and complaints, whatever process records them.
    pub(crate) reports: Reports,
}

impl Gauges {
    /// Publishes the gauges until `stop`.
    pub(crate) async fn publish(self, name: String, stop: CancellationToken) {
        let mut clock = tokio::time::interval(INTERVAL);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        metrics::gauge!("mailer_slots_busy").increment(0.0);
        for second in 0_u32.. {
            if stop.run_until_cancelled(clock.tick()).await.is_none() {
                return;
            }
            self.publish_tally(&name);
            if second.is_multiple_of(SAMPLE_EVERY) {
                self.sample(&name).await;
            }
        }
    }

    fn publish_tally(&self, queue: &str) {
        let tally = self.control.tally();
        metrics::counter!("bullmq_job_completed_total", "queue" => queue.to_owned()).absolute(tally.completed);
        metrics::counter!("bullmq_job_failed_total", "queue" => queue.to_owned()).absolute(tally.failed);
        metrics::counter!("mailer_stalled_total").absolute(tally.recovered);
    }

    async fn sample(&self, name: &str) {
        if let Ok(counts) = self.queue.counts().await {
            publish_counts(&counts, name);
        }
        for one in self.reports.totals().await.unwrap_or_default() {
            metrics::counter!("mailer_reports_total", "source" => one.source, "kind" => one.kind).absolute(one.count);
        }
        if let Ok(oldest) = self.queue.oldest_waiting().await {
            let now = self.queue.now_ms();
            for class in WaitingClass::ALL {
                let of_class = |priority| WaitingClass::of_priority(priority) == class;
                let times = oldest.iter().filter(|one| of_class(one.priority)).map(|one| one.timestamp);
                let waiting = times.min().map_or(0, |since| now.saturating_sub(since).max(0));
                #[expect(clippy::cast_precision_loss, reason = "milliseconds fit into a double")]
                let waits = waiting as f64 / 1000.0;
                metrics::gauge!("mailer_oldest_waiting_seconds", "class" => label(class)).set(waits);
            }
        }
    }
}

/// Value of the label `class`.
fn label(class: WaitingClass) -> &'static str {
    match class {
        WaitingClass::Urgent => "verification",
        WaitingClass::Result | WaitingClass::Other => class.as_str(),
    }
}

fn publish_counts(counts: &Counts, queue: &str) {
    for (state, count) in counts.by_state() {
        #[expect(clippy::cast_precision_loss, reason = "a gauge needs no precision")]
        metrics::gauge!("bullmq_job_count", "queue" => queue.to_owned(), "state" => state.as_str()).set(count as f64);
    }
}

/// Counts as a busy slot until it is dropped.
pub(crate) struct BusySlot<'a> {
    gauge: metrics::Gauge,
    count: &'a AtomicU32,
}

impl<'a> BusySlot<'a> {
    pub(crate) fn new(count: &'a AtomicU32) -> Self {
        let gauge = metrics::gauge!("mailer_slots_busy");
        gauge.increment(1.0);
        count.fetch_add(1, Ordering::Relaxed);
        Self { gauge, count }
    }
}

impl Drop for BusySlot<'_> {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
