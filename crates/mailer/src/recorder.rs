//! Counts what becomes of mails, and writes it to Redis once a second: the hot path only adds to numbers in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use examhall_core::Timestamp;
use examhall_delivery::{FailedMail, FailureSignature, Failures, MailBucket, MailHistory, Operations};
use examhall_queue::WorkerEvent;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Interval of the writes.
const INTERVAL: Duration = Duration::from_secs(1);
/// Length of a bucket in ms.
const MINUTE: i64 = 60_000;
/// Most minutes that are kept in memory while Redis is unavailable.
const MOST_MINUTES: usize = 24 * 60;
/// Most failed mails, and most reasons of attempts whose jobs have not ended, that are kept in memory.
const MOST: usize = 50_000;

/// Counts mails. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recorder {
    history: MailHistory,
    failures: Failures,
    pending: Arc<Mutex<Pending>>,
}

/// What is not written yet.
#[derive(Default)]
struct Pending {
    minutes: BTreeMap<i64, MailBucket>,
    failed: Vec<FailedMail>,
    /// Why the last attempt of a job failed, until the queue has stored what becomes of the job.
    explained: HashMap<String, FailureSignature>,
}

impl Recorder {
    pub(crate) fn new(operations: &Operations) -> Self {
        let Operations { history, failures, .. } = operations.clone();
        Self { history, failures, pending: Arc::default() }
    }

    /// A server accepted a mail at `now`, `wait` ms after it was committed.
    pub(crate) fn sent(&self, now: i64, wait: i64) {
        self.pending.lock().minute(now).count_sent(wait);
    }

    /// A mail is tried again without spending an attempt.
    pub(crate) fn deferred(&self, now: i64) {
        self.pending.lock().minute(now).deferred += 1;
    }

    /// Remembers why an attempt failed, in case that its job fails with it.
    pub(crate) fn explain(&self, job_id: &str, signature: FailureSignature) {
        let mut pending = self.pending.lock();
        if pending.explained.len() >= MOST {
            pending.explained.clear(); // of jobs that this mailer has lost: what becomes of them is not told here
        }
        pending.explained.insert(job_id.to_owned(), signature);
    }

    /// Counts what the worker has stored; called for each of its events.
    pub(crate) fn note(&self, event: &WorkerEvent<'_>, now: i64) {
        let WorkerEvent::Failed { id, reason, retried_after, .. } = event else { return };
        let mut pending = self.pending.lock();
        let explained = pending.explained.remove(*id);
        if retried_after.is_some() {
            pending.minute(now).deferred += 1;
            return;
        }
        pending.minute(now).failed += 1;
        if pending.failed.len() < MOST {
            let signature = explained.unwrap_or_else(|| FailureSignature::of_reason(reason));
            pending.failed.push(FailedMail { job_id: (*id).to_owned(), signature, at: now });
        }
    }

    /// Writes once a second until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut clock = tokio::time::interval(INTERVAL);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(clock.tick()).await.is_some() {
            self.flush().await;
        }
    }

    /// Writes what is pending. What cannot be written stays pending.
    pub(crate) async fn flush(&self) {
        let (minutes, failed) = {
            let mut pending = self.pending.lock();
            (std::mem::take(&mut pending.minutes), std::mem::take(&mut pending.failed))
        };
        for (minute, bucket) in minutes {
            if self.history.add(Timestamp::from_millis(minute * MINUTE), &bucket).await.is_err() {
                self.pending.lock().minute(minute * MINUTE).add(&bucket);
            }
        }
        if !failed.is_empty() && self.failures.record(&failed).await.is_err() {
            let mut pending = self.pending.lock();
            let room = MOST.saturating_sub(pending.failed.len());
            pending.failed.extend(failed.into_iter().take(room));
        }
    }
}

impl Pending {
    fn minute(&mut self, now: i64) -> &mut MailBucket {
        let minute = now.div_euclid(MINUTE);
        if self.minutes.len() >= MOST_MINUTES && !self.minutes.contains_key(&minute) {
            self.minutes.pop_first();
        }
        self.minutes.entry(minute).or_default()
    }
}
