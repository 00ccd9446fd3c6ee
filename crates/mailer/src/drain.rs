//! `mailer --once`: sends what is due, and says what became of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use examhall_core::Timestamp;
use examhall_queue::{Counts, Drained, Handler, Job, Outcome, Worker};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{Mailer, breaker::Openness, handler::SendMail, payload::Payload, smtp::Transport};

/// How long draining waits for retries of mails that it touched, and for a provider to come back.
const PATIENCE: Duration = Duration::from_secs(15);

/// What ends draining before the queue is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainOptions {
    /// At most so many mails.
    pub limit: Option<u64>,
    /// At most so long.
    pub max_time: Option<Duration>,
    /// Nothing at all is done.
    pub dry_run: bool,
}

/// How far draining has come. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Mails that came to an end or were put off.
    pub fn done(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why draining ended, where that was not for want of mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// No provider takes mails.
    Provider,
    /// The limit, the time, a signal, or a paused queue.
    Stopped,
}

/// What [`Mailer::drain`] did, and what is left.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Mails that came to an end or were put off.
    pub drained: u64,
    /// Mails that a server accepted.
    pub sent: u64,
    /// Mails to be tried again later than draining waited.
    pub retried_later: u64,
    /// Mails that failed for good.
    pub failed: u64,
    /// How often a mail may have been accepted without our being told.
    pub ambiguous: u64,
    /// The jobs of the failed ones.
    pub failed_ids: Vec<String>,
    /// What is left in the queue.
    pub left: Left,
    /// How long it took.
    pub seconds: f64,
    /// Mails per second.
    pub per_second: f64,
    /// Why it ended before the queue was empty.
    #[serde(skip)]
    pub early: Option<Early>,
}

/// What a drained queue still holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// Ready to be taken.
    pub waiting: i64,
    /// To be sent later.
    pub delayed: i64,
    /// In the hands of other workers.
    pub active_elsewhere: i64,
    /// When the next delayed one is due.
    pub next_at: Option<Timestamp>,
}

impl Mailer {
    /// Sends what is due and ends; ends early as `options` say, at `stop`, and where no provider takes mails.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn drain(
        self,
        options: DrainOptions,
        progress: Progress,
        stop: CancellationToken,
    ) -> anyhow::Result<Drain> {
        self.queue.connection().ping().await.context("Redis does not answer: check REDIS_URL")?;
        let (started, queue) = (Instant::now(), self.queue.clone());
        let (ambiguous, transport) = (Arc::clone(&self.handler.ambiguous), Arc::clone(&self.handler.transport));
        let (drained, early) =
            if options.dry_run { (Drained::default(), None) } else { self.work(options, progress, stop).await? };
        let counts = queue.counts().await.context("Redis does not answer")?;
        let failed = drained.failed.len() as u64;
        let total = drained.completed + failed + drained.retried_later;
        let seconds = started.elapsed().as_secs_f64();
        let is_left = counts.waiting + counts.prioritized > 0 || drained.retried_later > 0;
        let is_paused = queue.is_paused().await.context("Redis does not answer")?;
        let no_provider = !options.dry_run && transport.openness() < Openness::OneByOne;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let per_second = total as f64 / seconds.max(0.001);
        Ok(Drain {
            drained: total,
            sent: drained.completed,
            retried_later: drained.retried_later,
            failed,
            ambiguous: ambiguous.load(Ordering::Relaxed),
            failed_ids: drained.failed,
            left: Left::from(counts),
            seconds,
            per_second,
            early: if no_provider { Some(Early::Provider) } else { early.or(is_paused.then_some(Early::Stopped)) }
                .filter(|_| is_left),
        })
    }

    async fn work(
        self,
        options: DrainOptions,
        progress: Progress,
        stop: CancellationToken,
    ) -> anyhow::Result<(Drained, Option<Early>)> {
        let background = CancellationToken::new();
        let sleeping = self.sleeping_connection()?;
        let (outcomes, bodies) = (self.handler.outcomes.clone(), self.handler.bodies.clone());
        let transport = Arc::clone(&self.handler.transport);
        transport.watch(&self.handler.author.from.email, &background);
        self.wipe_leftovers(&background);
        let handler =
            Limited { handler: self.handler, left: options.limit.map(AtomicU64::new), progress, stop: stop.clone() };
        let worker = Worker::new(self.queue, sleeping, self.options, handler);
        tokio::spawn(give_up(Arc::clone(&transport), options.max_time, stop.clone(), background.clone()));
        let drained = worker.drain(PATIENCE, stop.clone()).await;
        outcomes.finish().await;
        if let Some(bodies) = bodies {
            bodies.finish().await;
        }
        background.cancel();
        transport.leave().await;
        Ok((drained, stop.is_cancelled().then_some(Early::Stopped)))
    }
}

/// Ends draining after its time, and where no provider takes mails: at once where an operator has to mend that.
async fn give_up(
    transport: Arc<Transport>,
    max_time: Option<Duration>,
    stop: CancellationToken,
    background: CancellationToken,
) {
    let started = Instant::now();
    let mut changes = transport.changes();
    loop {
        let is_silent = transport.silent_for().is_some_and(|span| span >= PATIENCE);
        if transport.openness() == Openness::Held || is_silent || max_time.is_some_and(|max| started.elapsed() >= max) {
            return stop.cancel();
        }
        let until_end = max_time.map(|max| max.saturating_sub(started.elapsed()));
        let until_patience = transport.silent_for().map(|span| PATIENCE.saturating_sub(span));
        let wait = [until_end, until_patience].into_iter().flatten().min().unwrap_or(PATIENCE);
        tokio::select! {
            () = background.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            _ = changes.changed() => {}
        }
    }
}

/// A handler that counts, gives back what is more than it may run, and keeps a mail in hand while no provider takes it:
/// so draining waits for the provider without touching one mail after the other.
struct Limited {
    handler: SendMail,
    left: Option<AtomicU64>,
    progress: Progress,
    stop: CancellationToken,
}

impl Handler<Payload> for Limited {
    async fn run(&self, job: Job<Payload>) -> Outcome {
        let mut changes = self.handler.transport.changes();
        while self.handler.transport.openness() < Openness::OneByOne {
            match self.stop.run_until_cancelled(changes.changed()).await {
                Some(Ok(())) => {}
                _ => return Outcome::Returned,
            }
        }
        if let Some(left) = &self.left {
            match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(1) => self.stop.cancel(),
                Ok(_) => {}
                Err(_) => return Outcome::Returned,
            }
        }
        let outcome = self.handler.run(job).await;
        self.progress.0.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    async fn give_up(&self, job: Job<Payload>, reason: String) -> Outcome {
        self.handler.give_up(job, reason).await
    }
}

impl From<Counts> for Left {
    fn from(counts: Counts) -> Self {
        Self {
            waiting: counts.waiting + counts.prioritized,
            delayed: counts.delayed,
            active_elsewhere: counts.active,
            next_at: counts.next_due.map(Timestamp::from_millis),
        }
    }
}
