//! A worker: takes jobs, runs them, and reports what became of them.
//!
//! ```text
//!            ┌────────────── exchange (one script): report ended runs, take as many as there are free slots
//!            v                                                        │
//!   wait: a run ends │ the marker wakes │ a delayed job is due │ stop │ taken jobs
//!            ^                                                        v
//!            └──────────────────────── slots: each job's handler in a task of its own
//! ```
//! `run`, `drain` and the tests go through the same `turn`.

mod control;
mod exchange;
mod identity;
mod in_hand;
mod options;
mod report;
#[cfg(test)]
pub(crate) mod sequences;
mod sleeper;
mod turn;
mod upkeep;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use tokio::{
    sync::watch,
    task::{Id, JoinSet},
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::{
    control::{Tally, WorkerControl},
    options::{Handler, WorkerOptions},
};
use self::{
    identity::Identity,
    in_hand::InHand,
    report::{Held, Report, Run},
    sleeper::Sleeper,
    turn::Next,
    upkeep::{Duty, Upkeep},
};
use crate::{Connection, Queue, clock::now_ms};

/// What [`Worker::drain`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Runs that completed their job.
    pub completed: u64,
    /// Jobs that failed for good.
    pub failed: Vec<String>,
    /// Jobs left to be run again, later than this worker waited.
    pub retried_later: u64,
}

/// Takes jobs of one queue and runs them, several at once.
pub struct Worker<T, H> {
    queue: Queue<T>,
    handler: Arc<H>,
    options: WorkerOptions,
    control: WorkerControl,
    concurrency: watch::Receiver<usize>,
    identity: Identity,
    tokens: u64,
    in_hand: InHand,
    running: JoinSet<Run>,
    held: HashMap<Id, Held>,
    /// Ended runs that Redis does not know of yet.
    reports: Vec<Report>,
    /// While the answer to a turn is missing: until when jobs that it took are looked for, and when to look next.
    in_doubt: Option<(Instant, Instant)>,
    /// When this worker's own retries are due, in ms since 1970.
    retries: HashMap<String, i64>,
    drained: Drained,
    sleeper: Sleeper,
    _upkeep: DropGuard,
}

impl<T, H> Worker<T, H>
where
    T: DeserializeOwned + Send + 'static,
    H: Handler<T>,
{
    /// A worker of `queue`. `sleeping` is a second connection to the same Redis, for nothing but waiting.
    pub fn new(queue: Queue<T>, sleeping: Connection, options: WorkerOptions, handler: H) -> Self {
        let (identity, in_hand) = (Identity::new(), InHand::default());
        let client_name = match options.name.as_str() {
            "" => queue.keys().client_name(),
            name => format!("{}:w:{name}", queue.keys().client_name()),
        };
        let sleeper = Sleeper::new(sleeping, queue.connection().clone(), queue.keys().of("marker"), client_name);
        let (control, concurrency) = WorkerControl::new(options.concurrency);
        let upkeep = start_upkeep(&queue, &identity, (&in_hand, &control), &options);
        Self {
            queue,
            handler: Arc::new(handler),
            options,
            control,
            concurrency,
            identity,
            tokens: 0,
            in_hand,
            running: JoinSet::new(),
            held: HashMap::new(),
            reports: Vec::new(),
            in_doubt: None,
            retries: HashMap::new(),
            drained: Drained::default(),
            sleeper,
            _upkeep: upkeep,
        }
    }

    /// Changes the worker while it runs.
    pub fn control(&self) -> WorkerControl {
        self.control.clone()
    }

    /// Works until `stop`; then finishes what it has in hand, or gives it back where that takes too long.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let next = self.turn(self.free_slots()).await;
            self.wait(next, &stop).await;
        }
        self.finish().await;
    }

    /// Works until there is nothing left to take, and until retries of jobs it touched that are due within `patience`
    /// have been run too; stops early at `stop`.
    /// ```no_run
    /// # use std::time::Duration;
    /// # use examhall_queue::{Connection, Job, Outcome, Queue, Worker, WorkerOptions};
    /// # use tokio_util::sync::CancellationToken;
    /// # async fn run(queue: Queue<String>, sleeping: Connection) {
    /// let handler = |job: Job<String>| async move { Outcome::Completed(job.data.into()) };
    /// let worker = Worker::new(queue, sleeping, WorkerOptions::default(), handler);
    /// let drained = worker.drain(Duration::from_secs(15), CancellationToken::new()).await;
    /// println!("{} done, failed: {:?}, {} later", drained.completed, drained.failed, drained.retried_later);
    /// # }
    /// ```
    pub async fn drain(mut self, patience: Duration, stop: CancellationToken) -> Drained {
        while !stop.is_cancelled() {
            let next = self.turn(self.free_slots()).await;
            match next {
                // Within a rate limit, and while jobs may turn up that a lost answer was about, there may be more to do.
                Next::Wait { asked_at, is_limited: false, .. }
                    if self.running.is_empty() && self.reports.is_empty() && self.in_doubt.is_none() =>
                {
                    // What was due and not found has been taken by another worker.
                    self.retries.retain(|_, due| *due > asked_at);
                    let near = asked_at.saturating_add_unsigned(turn::millis(patience));
                    let Some(until) = self.retries.values().copied().filter(|due| *due <= near).min() else { break };
                    self.wait(Next::Wait { until: Some(until), asked_at, is_limited: false }, &stop).await;
                }
                next => self.wait(next, &stop).await,
            }
        }
        self.finish().await;
        Drained { retried_later: self.retries.len() as u64, ..self.drained }
    }

    fn free_slots(&self) -> usize {
        self.concurrency.borrow().saturating_sub(self.running.len())
    }

    async fn wait(&mut self, next: Next, stop: &CancellationToken) {
        self.control.turn();
        let until = match next {
            Next::Now if self.free_slots() > 0 => return,
            Next::Now => None,
            Next::Wait { until, .. } => until,
            Next::Retry => Some(now_ms() + 200),
        };
        let longest = self.options.drain_delay;
        let sleep = until.map_or(longest, |until| Duration::from_millis((until - now_ms()).try_into().unwrap_or(0)));
        let may_take = self.free_slots() > 0 && !matches!(next, Next::Retry);
        if !may_take {
            self.sleeper.hand_on().await;
        }
        // Without a free slot it turns all the same now and then, so that others see it live.
        let nap = if may_take { sleep } else { sleep.min(longest) };
        tokio::select! {
            Some(ended) = self.running.join_next_with_id() => self.ended(ended),
            () = stop.cancelled() => {}
            Ok(()) = self.concurrency.changed() => {}
            () = self.sleeper.sleep(sleep.min(longest)), if may_take => {}
            () = tokio::time::sleep(nap), if until.is_some() || !may_take => {}
        }
        // The first run that ends wakes this task before others get to run, which may be about to end too: what is
        // reported together costs Redis less.
        tokio::task::yield_now().await;
        while let Some(ended) = self.running.try_join_next_with_id() {
            self.ended(ended);
        }
    }

    /// Lets what runs come to its end, gives back what does not, and reports all of it.
    async fn finish(&mut self) {
        let deadline = tokio::time::Instant::now() + self.options.grace;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.running.join_next_with_id()).await {
            self.ended(ended);
            self.turn(0).await;
        }
        self.running.abort_all();
        while let Some(ended) = self.running.join_next_with_id().await {
            self.ended(ended);
        }
        if !self.reports.is_empty() {
            self.turn(0).await;
        }
        self.sleeper.hand_on().await;
    }
}

fn start_upkeep<T: 'static>(
    queue: &Queue<T>,
    identity: &Identity,
    (in_hand, control): (&InHand, &WorkerControl),
    options: &WorkerOptions,
) -> DropGuard {
    let stop = CancellationToken::new();
    let upkeep = Arc::new(Upkeep {
        queue: queue.clone(),
        identity: identity.clone(),
        in_hand: in_hand.clone(),
        counters: control.counters.clone(),
        lock: options.lock,
        stalled_interval: options.stalled_interval,
        max_stalls: options.max_stalls,
        stop: stop.clone(),
    });
    for duty in [Duty::KeepLocks, Duty::RecoverStalled, Duty::WatchOverLives] {
        tokio::spawn(Arc::clone(&upkeep).run(duty));
    }
    stop.drop_guard()
}
