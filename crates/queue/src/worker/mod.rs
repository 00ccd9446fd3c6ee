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

mod exchange;
mod report;
mod sleeper;
mod upkeep;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{
    exchange::{Taking, exchange},
    report::{Ending, Held, Report},
    sleeper::Sleeper,
    upkeep::{InHand, keep_locks, recover_stalled},
};
use crate::{Connection, Failure, Job, Outcome, Queue, clock::now_ms, job::TakenJob};

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Jobs it runs at once.
    pub concurrency: usize,
    /// How long a job stays its own once it no longer answers.
    pub lock: Duration,
    /// How often jobs of vanished workers are looked for.
    pub stalled_interval: Duration,
    /// How often a job may lose its worker before it fails.
    pub max_stalls: u32,
    /// How long it sleeps where nothing wakes it.
    pub drain_delay: Duration,
    /// How long a stopping worker waits for what it runs; then it gives it back.
    pub grace: Duration,
    /// Shown as the job's `processedBy`.
    pub name: String,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            concurrency: 5,
            lock: Duration::from_secs(30),
            stalled_interval: Duration::from_secs(30),
            max_stalls: 5,
            drain_delay: Duration::from_secs(5),
            grace: Duration::from_mins(1),
            name: String::new(),
        }
    }
}

/// What runs a job.
pub trait Handler<T>: Send + Sync + 'static {
    /// Runs one job. A panic counts as [`Outcome::Failed`].
    fn run(&self, job: Job<T>) -> impl Future<Output = Outcome> + Send;
}

impl<T, F, R> Handler<T> for F
where
    F: Fn(Job<T>) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send,
{
    fn run(&self, job: Job<T>) -> impl Future<Output = Outcome> + Send {
        self(job)
    }
}

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
    token_prefix: String,
    tokens: u64,
    in_hand: InHand,
    running: JoinSet<Outcome>,
    held: HashMap<Id, Held>,
    /// Ended runs that Redis does not know of yet.
    reports: Vec<Report>,
    /// When this worker's own retries are due, in ms since 1970.
    retries: HashMap<String, i64>,
    drained: Drained,
    sleeper: Sleeper,
    _upkeep: DropGuard,
}

/// When to take a turn again.
enum Next {
    /// At once: there is more to take.
    Now,
    /// When something happens, or then at the latest (ms since 1970).
    Wait { until: Option<i64>, asked_at: i64 },
    /// Redis is away: after a while.
    Retry,
}

impl<T, H> Worker<T, H>
where
    T: DeserializeOwned + Send + 'static,
    H: Handler<T>,
{
    /// A worker of `queue`. `sleeping` is a second connection to the same Redis, for nothing but waiting.
    pub fn new(queue: Queue<T>, sleeping: Connection, options: WorkerOptions, handler: H) -> Self {
        let sleeper = Sleeper::new(sleeping, queue.keys().of("marker"));
        let (in_hand, stop_upkeep) = (InHand::default(), CancellationToken::new());
        tokio::spawn(keep_locks(queue.clone(), in_hand.clone(), options.lock, stop_upkeep.clone()));
        let recovery =
            recover_stalled(queue.clone(), options.stalled_interval, options.max_stalls, stop_upkeep.clone());
        tokio::spawn(recovery);
        Self {
            queue,
            handler: Arc::new(handler),
            options,
            token_prefix: format!("{}:", uuid::Uuid::new_v4()),
            tokens: 0,
            in_hand,
            running: JoinSet::new(),
            held: HashMap::new(),
            reports: Vec::new(),
            retries: HashMap::new(),
            drained: Drained::default(),
            sleeper,
            _upkeep: stop_upkeep.drop_guard(),
        }
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
    pub async fn drain(mut self, patience: Duration, stop: CancellationToken) -> Drained {
        while !stop.is_cancelled() {
            let next = self.turn(self.free_slots()).await;
            match next {
                Next::Wait { asked_at, .. } if self.running.is_empty() && self.reports.is_empty() => {
                    // What was due and not found has been taken by another worker.
                    self.retries.retain(|_, due| *due > asked_at);
                    let near = asked_at.saturating_add_unsigned(millis(patience));
                    let Some(until) = self.retries.values().copied().filter(|due| *due <= near).min() else { break };
                    self.wait(Next::Wait { until: Some(until), asked_at }, &stop).await;
                }
                next => self.wait(next, &stop).await,
            }
        }
        self.finish().await;
        Drained { retried_later: self.retries.len() as u64, ..self.drained }
    }

    fn free_slots(&self) -> usize {
        self.options.concurrency.saturating_sub(self.running.len())
    }

    /// Reports what ended and takes up to `wanted` jobs.
    async fn turn(&mut self, wanted: usize) -> Next {
        let taking = Taking {
            wanted,
            lock: self.options.lock,
            worker_name: &self.options.name,
            token_prefix: &self.token_prefix,
            first_token: self.tokens,
        };
        match exchange(&self.queue, &self.reports, &taking).await {
            Err(error) => {
                tracing::warn!(%error, "Queue not reached");
                self.tokens += wanted as u64; // some may be in use although the answer was lost
                Next::Retry
            }
            Ok(turn) => {
                let reports = std::mem::take(&mut self.reports);
                for (report, code) in reports.iter().zip(turn.codes) {
                    self.settle(report, code);
                }
                let (taken, limited) = (turn.taken.len(), turn.limited);
                self.tokens += taken as u64;
                for job in turn.taken {
                    self.start(&job);
                }
                let limit_ends = limited.map(|span| turn.asked_at.saturating_add_unsigned(millis(span)));
                let until = [turn.next_due, limit_ends].into_iter().flatten().min();
                if taken == wanted && wanted > 0 { Next::Now } else { Next::Wait { until, asked_at: turn.asked_at } }
            }
        }
    }

    fn start(&mut self, taken: &TakenJob) {
        let held = Held::new(taken);
        self.in_hand.add(&held.id, &held.token);
        self.retries.remove(&held.id);
        let opened = taken.deferred_failure().map_or_else(|| taken.open::<T>(), Err);
        let handler = Arc::clone(&self.handler);
        let task = self.running.spawn(async move {
            match opened {
                Ok(job) => handler.run(job).await,
                Err(reason) => Outcome::Unrecoverable(Failure::new(reason)),
            }
        });
        self.held.insert(task.id(), held);
    }

    /// Takes note of a run that has ended.
    fn ended(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => (error.id(), Outcome::Returned),
            Err(error) => {
                tracing::error!(%error, "A job's handler panicked");
                (error.id(), Outcome::Failed(Failure::new("the handler panicked")))
            }
        };
        if let Some(held) = self.held.remove(&id) {
            self.reports.push(held.conclude(outcome, now_ms(), fastrand::f64()));
        }
    }

    /// Takes note of what Redis said to a report.
    fn settle(&mut self, report: &Report, code: i64) {
        self.in_hand.remove(&report.id, &report.token);
        if code != 0 {
            tracing::warn!(job_id = report.id, code, "The job was no longer this worker's when it ended");
            return;
        }
        match report.ending {
            Ending::Completed => self.drained.completed += 1,
            Ending::Failed => self.drained.failed.push(report.id.clone()),
            Ending::Again(delay) => {
                self.retries.insert(report.id.clone(), now_ms().saturating_add_unsigned(delay));
            }
            Ending::Returned => {}
        }
    }

    async fn wait(&mut self, next: Next, stop: &CancellationToken) {
        let until = match next {
            Next::Now if self.free_slots() > 0 => return,
            Next::Now => None,
            Next::Wait { until, .. } => until,
            Next::Retry => Some(now_ms() + 200),
        };
        let longest = self.options.drain_delay;
        let sleep = until.map_or(longest, |until| Duration::from_millis((until - now_ms()).try_into().unwrap_or(0)));
        let may_take = self.free_slots() > 0 && !matches!(next, Next::Retry);
        tokio::select! {
            Some(ended) = self.running.join_next_with_id() => self.ended(ended),
            () = stop.cancelled() => {}
            () = self.sleeper.sleep(sleep.min(longest)), if may_take => {}
            () = tokio::time::sleep(sleep), if until.is_some() => {}
        }
        while let Some(ended) = self.running.try_join_next_with_id() {
            self.ended(ended);
        }
    }

    /// Lets what runs come to its end, gives back what does not, and reports all of it.
    async fn finish(&mut self) {
        let deadline = Instant::now() + self.options.grace;
        while let Ok(Some(ended)) =
            tokio::time::timeout(deadline.saturating_duration_since(Instant::now()), self.running.join_next_with_id())
                .await
        {
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
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
