//! `mailer --once`: sends the mails that are due, and summarizes the outcome.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use examhall_core::Timestamp;
use examhall_queue::{Connection, Counts, Drained, Handler, Job, Outcome};
use serde::Serialize;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    app::Mailer,
    handler::SendMail,
    payload::Payload,
    smtp::{CircuitState, Transport},
};

/// Time that draining waits for retries of its mails, and for a provider to recover.
const RETRY_WINDOW: Duration = Duration::from_secs(15);

/// Longest time that draining waits for a provider's rate: a rate per minute ends no draining, one per day does.
const LONGEST_HOLD: Duration = Duration::from_secs(90);

/// Interval at which Redis is checked.
const PING_AFTER: Duration = Duration::from_secs(1);

/// Limits of draining.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainOptions {
    /// Largest number of mails.
    pub limit: Option<u64>,
    /// Longest duration.
    pub max_time: Option<Duration>,
    /// Whether only the summary is computed.
    pub dry_run: bool,
}

/// Progress of draining. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Returns the number of mails that ended or were deferred.
    pub fn done(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why draining ended before the queue was empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyStop {
    /// No provider takes mails.
    Provider,
    /// The limit, the time, a signal, or a paused queue.
    Stopped,
}

/// Summary of [`Mailer::drain`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainSummary {
    /// Mails that ended or were deferred.
    pub drained: u64,
    /// Mails that a server accepted.
    pub sent: u64,
    /// Mails whose next attempt is later than draining waited.
    pub retried_later: u64,
    /// Mails that failed permanently.
    pub failed: u64,
    /// Ambiguous deliveries: the mail may have been accepted.
    pub ambiguous: u64,
    /// Ids of the failed jobs.
    pub failed_ids: Vec<String>,
    /// Mails left in the queue.
    pub left: Remaining,
    /// Duration in seconds.
    pub seconds: f64,
    /// Mails per second.
    pub per_second: f64,
    /// Why it ended before the queue was empty, if it did.
    #[serde(skip)]
    pub early: Option<EarlyStop>,
}

/// Mails left in a drained queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remaining {
    /// Due.
    pub waiting: i64,
    /// Due later.
    pub delayed: i64,
    /// In flight at other workers.
    pub active_elsewhere: i64,
    /// When the next delayed mail is due.
    pub next_at: Option<Timestamp>,
}

impl Mailer {
    /// Sends the mails that are due. Ends early at a limit, at `stop`, and if no provider takes mails.
    ///
    /// # Errors
    /// Returns an error if Redis does not answer.
    pub async fn drain(
        self,
        options: DrainOptions,
        progress: Progress,
        stop: CancellationToken,
    ) -> anyhow::Result<DrainSummary> {
        self.queue.connection().ping().await.context("Redis does not answer: check REDIS_URL")?;
        let (started, queue) = (Instant::now(), self.queue.clone());
        let (ambiguous, transport) = (Arc::clone(&self.handler.ambiguous), Arc::clone(&self.handler.transport));
        let (drained, early) = if options.dry_run {
            (Drained::default(), None)
        } else {
            Box::pin(self.work(options, progress, stop)).await?
        };
        let counts = queue.counts().await.context("Redis does not answer")?;
        let failed = drained.failed.len() as u64;
        let total = drained.completed + failed + drained.retried_later;
        let seconds = started.elapsed().as_secs_f64();
        let is_left = counts.waiting + counts.prioritized > 0 || drained.retried_later > 0;
        let is_paused = queue.is_paused().await.context("Redis does not answer")?;
        let no_provider = !options.dry_run && transport.circuit_state() < CircuitState::Limited;
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no precision")]
        let per_second = total as f64 / seconds.max(0.001);
        Ok(DrainSummary {
            drained: total,
            sent: drained.completed,
            retried_later: drained.retried_later,
            failed,
            ambiguous: ambiguous.load(Ordering::Relaxed),
            failed_ids: drained.failed,
            left: Remaining::from(counts),
            seconds,
            per_second,
            early: if no_provider {
                Some(EarlyStop::Provider)
            } else {
                early.or(is_paused.then_some(EarlyStop::Stopped))
            }
            .filter(|_| is_left),
        })
    }

    async fn work(
        self,
        options: DrainOptions,
        progress: Progress,
        stop: CancellationToken,
    ) -> anyhow::Result<(Drained, Option<EarlyStop>)> {
        let background = CancellationToken::new();
        let sender = self.handler.clone();
        sender.author().staging.warn();
        let transport = Arc::clone(&sender.transport);
        transport.watch(&self.handler.author().probe_sender(), &background);
        self.wipe_leftovers(&background);
        let heartbeat = self.heartbeat();
        let handler = LimitedHandler {
            handler: self.handler,
            left: options.limit.map(AtomicU64::new),
            progress,
            running: Arc::default(),
            stop: stop.clone(),
        };
        let (redis, running) = (self.queue.connection().clone(), Arc::clone(&handler.running));
        let worker = Self::worker(&self.queue, self.options, &sender.recorder, handler)?;
        tokio::spawn(sender.recorder.clone().run(background.clone()));
        let beating = tokio::spawn(heartbeat.run(background.clone()));
        let (stopped, stopping) = (stop.clone(), self.stopping);
        tokio::spawn(async move {
            stopped.cancelled().await;
            stopping.cancel();
        });
        tokio::spawn(stop_early(transport, options.max_time, stop.clone(), background.clone()));
        let draining = worker.drain(RETRY_WINDOW, stop.clone());
        tokio::pin!(draining);
        let drained = tokio::select! {
            drained = &mut draining => Some(drained),
            () = lost(redis) => {
                stop.cancel();
                // Mails in flight finish. Redis cannot be told how they did; the ledger's writer tries to the last.
                tokio::select! {
                    drained = &mut draining => Some(drained),
                    () = idle(&running) => None,
                }
            }
        };
        sender.finish(&background).await;
        let _ = beating.await; // its last command is sent
        let drained = drained.context("Redis does not answer any more: mails may be left")?;
        Ok((drained, stop.is_cancelled().then_some(EarlyStop::Stopped)))
    }
}

/// Waits until Redis has not answered for [`RETRY_WINDOW`].
async fn lost(redis: Connection) {
    let mut answered = Instant::now();
    while answered.elapsed() < RETRY_WINDOW {
        if redis.answered_within(PING_AFTER) || timeout(PING_AFTER, redis.ping()).await.is_ok_and(|pong| pong.is_ok()) {
            answered = Instant::now();
        }
        tokio::time::sleep(PING_AFTER).await;
    }
}

/// Waits until no mail is in flight.
async fn idle(running: &AtomicUsize) {
    while running.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Stops draining after its longest duration, and if no provider takes mails: at once if an operator has to fix it.
async fn stop_early(
    transport: Arc<Transport>,
    max_time: Option<Duration>,
    stop: CancellationToken,
    background: CancellationToken,
) {
    let started = Instant::now();
    let mut changes = transport.changes();
    loop {
        let needs_operator = transport.circuit_state() == CircuitState::NeedsOperator;
        let is_held = transport.held_for().is_some_and(|left| left > LONGEST_HOLD);
        let is_unavailable = transport.unavailable_for().is_some_and(|span| span >= RETRY_WINDOW);
        if needs_operator || is_unavailable || is_held || max_time.is_some_and(|max| started.elapsed() >= max) {
            return stop.cancel();
        }
        let until_end = max_time.map(|max| max.saturating_sub(started.elapsed()));
        let until_unavailable = transport.unavailable_for().map(|span| RETRY_WINDOW.saturating_sub(span));
        let wait = [until_end, until_unavailable].into_iter().flatten().min().unwrap_or(RETRY_WINDOW);
        tokio::select! {
            () = background.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            _ = changes.changed() => {}
        }
    }
}

/// A handler that counts mails, releases those above the limit, and keeps a mail in flight while no provider takes mails:
/// so draining waits for the provider without touching one mail after the other.
struct LimitedHandler {
    handler: SendMail,
    left: Option<AtomicU64>,
    progress: Progress,
    /// Number of mails in flight.
    running: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Handler<Payload> for LimitedHandler {
    async fn run(&self, job: Job<Payload>) -> Outcome {
        let mut changes = self.handler.transport.changes();
        while !self.handler.transport.circuit_state().allows_mail() {
            match self.stop.run_until_cancelled(changes.changed()).await {
                Some(Ok(())) => {}
                _ => return Outcome::Released,
            }
        }
        if let Some(left) = &self.left {
            match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(1) => self.stop.cancel(),
                Ok(_) => {}
                Err(_) => return Outcome::Released,
            }
        }
        let outcome = Box::pin(self.handler.run(job)).await;
        self.progress.0.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    async fn give_up(&self, job: Job<Payload>, reason: String) -> Outcome {
        self.handler.give_up(job, reason).await
    }
}

impl From<Counts> for Remaining {
    fn from(counts: Counts) -> Self {
        Self {
            waiting: counts.waiting + counts.prioritized,
            delayed: counts.delayed,
            active_elsewhere: counts.active,
            next_at: counts.next_due.map(Timestamp::from_millis),
        }
    }
}
