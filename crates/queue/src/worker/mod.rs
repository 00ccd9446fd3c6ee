//! A worker: takes jobs, runs them, and reports what became of them.
//!
//! ```text
//!            ┌────────────── exchange (one script): report ended runs, take as many as there are free slots
//!            v                                                        │
//!   wait: a run ends │ the marker wakes │ a delayed job is due │ stop │ taken jobs
//!            ^                                                        v
//!            └──────────────────────── slots: each job's handler in a task of its own
//! ```
//! Where jobs are short, several exchanges are on their way at once: Redis works on one while this worker works on another.

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

use futures_util::{StreamExt, stream::FuturesUnordered};
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
    turn::{Next, OnItsWay},
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
    /// Exchanges begun so far.
    exchanges: u64,
    in_hand: InHand,
    running: JoinSet<Run>,
    held: HashMap<Id, Held>,
    /// Ended runs that Redis has not been told of.
    reports: Vec<Report>,
    /// Exchanges whose answers are missing.
    on_their_way: FuturesUnordered<OnItsWay>,
    /// Free slots that these have asked jobs for.
    reserved: usize,
    next: Next,
    /// While the answer to an exchange is missing for good: until when jobs that it took are looked for, and when to look
    /// next.
    in_doubt: Option<(Instant, Instant)>,
    /// What a worker that drains keeps account of.
    draining: Option<Draining>,
    is_stopping: bool,
    sleeper: Sleeper,
    _upkeep: DropGuard,
}

#[derive(Default)]
struct Draining {
    drained: Drained,
    /// When this worker's own retries are due, in ms since 1970.
    retries: HashMap<String, i64>,
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
            exchanges: 0,
            in_hand,
            running: JoinSet::new(),
            held: HashMap::new(),
            reports: Vec::new(),
            on_their_way: FuturesUnordered::new(),
            reserved: 0,
            next: Next::Turn,
            in_doubt: None,
            draining: None,
            is_stopping: false,
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
            self.send().await;
            self.wait(&stop).await;
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
        self.draining = Some(Draining::default());
        while !stop.is_cancelled() {
            self.send().await;
            if self.is_done(patience) {
                break;
            }
            self.wait(&stop).await;
        }
        self.finish().await;
        let Draining { drained, retries } = self.draining.unwrap_or_default();
        Drained { retried_later: retries.len() as u64, ..drained }
    }

    /// Whether a worker that drains has nothing left to do; else it is made to wait for its next retry, if that is all.
    fn is_done(&mut self, patience: Duration) -> bool {
        // Within a rate limit, and while jobs may turn up that a lost answer was about, there may be more to do.
        let is_idle = self.running.is_empty() && self.reports.is_empty() && self.on_their_way.is_empty();
        let (Next::Wait { until, asked_at, is_limited: false }, true, None) = (&mut self.next, is_idle, self.in_doubt)
        else {
            return false;
        };
        let Some(Draining { retries, .. }) = &mut self.draining else { return false };
        // What was due and not found has been taken by another worker.
        retries.retain(|_, due| *due > *asked_at);
        let near = asked_at.saturating_add_unsigned(turn::millis(patience));
        *until = retries.values().copied().filter(|due| *due <= near).min();
        until.is_none()
    }

    fn free_slots(&self) -> usize {
        if self.is_stopping {
            return 0;
        }
        self.concurrency.borrow().saturating_sub(self.running.len() + self.reserved)
    }

    async fn wait(&mut self, stop: &CancellationToken) {
        self.control.turn();
        let may_take = self.free_slots() > 0 && !matches!(self.next, Next::Retry { .. });
        if !may_take {
            self.sleeper.hand_on().await;
        }
        // Even where nothing wakes it, it turns now and then, so that others see it live.
        let longest = self.options.drain_delay;
        let until = match self.next {
            Next::Turn | Next::Take => None,
            Next::Wait { until, .. } => until,
            Next::Retry { at } => Some(at),
        };
        let nap = until.map_or(longest, |until| Duration::from_millis((until - now_ms()).try_into().unwrap_or(0)));
        let nap = nap.min(longest);
        let is_quiet = self.on_their_way.is_empty();
        tokio::select! {
            Some(answered) = self.on_their_way.next() => self.answered(answered),
            Some(ended) = self.running.join_next_with_id() => self.ended(ended),
            () = stop.cancelled() => {}
            Ok(()) = self.concurrency.changed() => self.next = Next::Turn,
            () = self.sleeper.sleep(may_take.then_some(nap)), if is_quiet || !may_take => {
                if may_take {
                    self.next = Next::Turn;
                } else {
                    self.sleeper.wake_another().await;
                }
            }
            () = tokio::time::sleep(nap), if is_quiet && (until.is_some() || !may_take) => self.next = Next::Turn,
        }
        // The first run that ends wakes this task before others get to run, which may be about to end too: what is
        // reported together costs Redis less.
        tokio::task::yield_now().await;
        while let Some(ended) = self.running.try_join_next_with_id() {
            self.ended(ended);
        }
    }

    /// Lets what runs come to its end, gives back what does not, and reports all of it; where Redis is away, for as long
    /// as there is time.
    async fn finish(&mut self) {
        self.is_stopping = true;
        let (deadline, never) = (tokio::time::Instant::now() + self.options.grace, CancellationToken::new());
        loop {
            self.send().await;
            let is_idle = self.running.is_empty() && self.on_their_way.is_empty() && self.reports.is_empty();
            if is_idle || tokio::time::timeout_at(deadline, self.wait(&never)).await.is_err() {
                break;
            }
        }
        self.next = Next::Turn;
        loop {
            self.running.abort_all();
            while let Some(ended) = self.running.join_next_with_id().await {
                self.ended(ended);
            }
            self.send().await;
            let Some(answered) = self.on_their_way.next().await else { break };
            self.answered(answered);
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
