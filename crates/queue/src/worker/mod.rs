//! A worker: polls for jobs, runs them, and reports how they ended.
//!
//! ```text
//!        ┌──────────────── poll (one script): reports ended runs, takes a job for each free slot
//!        v                                                        │
//!   wait: a run ends │ the marker wakes │ a delayed job is due │ stop │ an answer
//!        ^                                                        v
//!        └────────────────── slots: each job's handler in a task of its own
//! ```
//! If jobs are short, two polls are in flight at once: Redis runs one while the worker works on the other. [`plan`]
//! decides when to poll and what to wait for; this module only carries that out.

mod backoffs;
mod blocking;
mod builder;
mod control;
mod drain;
#[cfg(feature = "metrics")]
mod export;
mod heartbeat;
mod identity;
mod in_flight;
mod isolation;
mod maintenance;
mod manual;
mod options;
mod outage;
mod plan;
mod poll;
mod polling;
mod polls;
mod refusals;
mod report;
#[cfg(test)]
pub(crate) mod sequences;

use std::{collections::HashMap, sync::Arc, time::Duration};

use examhall_redis::LinkEvents;
use serde::de::DeserializeOwned;
use tokio::{
    sync::watch,
    task::{Id, JoinSet},
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::{
    backoffs::{Backoffs, FailedRun},
    builder::WorkerBuilder,
    control::{Tally, WorkerControl},
    drain::Drained,
    manual::ManualWorker,
    options::{Handler, WorkerOptions},
};
use self::{
    blocking::Blocking,
    drain::Draining,
    identity::Identity,
    in_flight::InFlight,
    maintenance::Maintenance,
    plan::{Marker, Next, State, plan},
    polls::Polls,
    report::{Report, Run, RunningJob},
};
use crate::{Error, Queue, hooks::Hooks};

/// Takes jobs of one queue and runs them, several at once.
/// ```no_run
/// # use examhall_queue::{Error, Job, Queue, Worker, WorkerOptions};
/// # async fn run(queue: Queue<String>) -> Result<(), Error> {
/// let greet = |job: Job<String>| async move { Ok::<_, Error>(format!("hello {}", job.data)) };
/// let worker = Worker::new(queue, WorkerOptions::default(), greet)?;
/// worker.run(tokio_util::sync::CancellationToken::new()).await;
/// # Ok(())
/// # }
/// ```
pub struct Worker<T, H> {
    queue: Queue<T>,
    handler: Arc<H>,
    options: WorkerOptions,
    control: WorkerControl,
    concurrency: watch::Receiver<usize>,
    identity: Identity,
    in_flight: InFlight,
    running: JoinSet<Run>,
    jobs: HashMap<Id, RunningJob>,
    /// Ended runs that are not reported yet.
    reports: Vec<Report>,
    polls: Polls,
    draining: Option<Draining>,
    is_stopping: bool,
    /// Whether the last poll found no job to take.
    is_drained: bool,
    hooks: Hooks,
    blocking: Blocking,
    links: LinkEvents,
    _maintenance: DropGuard,
}

impl<T: DeserializeOwned + Send + 'static> Worker<T, ()> {
    /// Starts to build a worker of `queue`.
    pub fn builder(queue: Queue<T>) -> WorkerBuilder<T> {
        WorkerBuilder::new(queue)
    }
}

impl<T, H> Worker<T, H>
where
    T: DeserializeOwned + Send + 'static,
    H: Handler<T>,
{
    /// A worker of `queue`. It opens a second connection to the same Redis, for blocking reads.
    ///
    /// # Errors
    /// Returns [`Error::BadOption`] if an option cannot be used.
    ///
    /// # Panics
    /// Panics outside a Tokio runtime.
    pub fn new(queue: Queue<T>, options: WorkerOptions, handler: H) -> Result<Self, Error> {
        Self::from_builder(WorkerBuilder::new(queue).options(options), handler)
    }

    fn from_builder(builder: WorkerBuilder<T>, handler: H) -> Result<Self, Error> {
        let WorkerBuilder { queue, options, hooks, blocking } = builder;
        options.check()?;
        let client = queue.client().clone();
        let client_name = client.keys().worker_client_name(&options.name);
        let (identity, in_flight) = (Identity::new(), InFlight::default());
        let (control, concurrency) = WorkerControl::new(options.concurrency, in_flight.clone());
        let maintenance = Maintenance {
            client: client.clone(),
            identity: identity.clone(),
            in_flight: in_flight.clone(),
            counters: control.counters.clone(),
            options: options.clone(),
            hooks: hooks.clone(),
        };
        let links = queue.connection().link_events();
        let blocking = blocking.unwrap_or_else(|| queue.connection().duplicate());
        let blocking = Blocking::new(blocking, client.clone(), client_name);
        Ok(Self {
            queue,
            handler: Arc::new(handler),
            options,
            control,
            concurrency,
            identity,
            in_flight,
            running: JoinSet::new(),
            jobs: HashMap::new(),
            reports: Vec::new(),
            polls: Polls::new(client),
            draining: None,
            is_stopping: false,
            is_drained: false,
            hooks,
            blocking,
            links,
            _maintenance: maintenance.start(),
        })
    }

    /// Returns a control for the worker while it runs.
    pub fn control(&self) -> WorkerControl {
        self.control.clone()
    }

    /// Runs until `stop`; then lets running jobs finish, and releases those that take too long.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.send().await;
            self.wait(&stop).await;
        }
        self.finish().await;
    }

    fn state(&self) -> State {
        State {
            next: self.polls.next,
            in_doubt: self.polls.doubt.is_some(),
            is_stopping: self.is_stopping,
            polls: self.polls.len(),
            reserved: self.polls.reserved,
            running: self.running.len(),
            ended: self.reports.len(),
            concurrency: *self.concurrency.borrow(),
            longest_wait: self.options.drain_delay,
        }
    }

    /// A reconnect before a failure does not end the backoff after it.
    fn skip_reconnects(&mut self) {
        if matches!(self.polls.next, Next::Retry { .. }) {
            self.links.skip_reconnects();
        }
    }

    async fn wait(&mut self, stop: &CancellationToken) {
        self.control.iterate();
        let wait = plan(&self.state(), self.queue.now_ms());
        if wait.marker == Marker::PassOn {
            self.blocking.pass_on().await;
        }
        tokio::select! {
            Some(answer) = self.polls.answer() => {
                self.answered(answer);
                self.skip_reconnects();
            }
            Some(ended) = self.running.join_next_with_id() => self.ended(ended),
            () = stop.cancelled() => {}
            Ok(()) = self.concurrency.changed() => self.polls.next = Next::Now,
            block = self.blocking.wait(wait.marker) => match wait.marker {
                Marker::PassOn => self.blocking.wake_another(block).await,
                Marker::Block(_) | Marker::Ignore => self.polls.next = self.state().after_block(block.end(), self.queue.now_ms()),
            },
            () = self.links.reconnected(), if matches!(self.polls.next, Next::Retry { .. }) => self.polls.next = Next::Now,
            () = elapsed(wait.timer) => self.polls.next = Next::Now,
        }
        // The first run that ends wakes this task before others that are about to end: reporting them together costs Redis
        // less.
        tokio::task::yield_now().await;
        while let Some(ended) = self.running.try_join_next_with_id() {
            self.ended(ended);
        }
    }

    /// Lets running jobs finish within the grace period, releases the others, and reports all of them; retries within the
    /// grace period if Redis is unreachable.
    async fn finish(&mut self) {
        self.is_stopping = true;
        let (deadline, never) = (tokio::time::Instant::now() + self.options.grace, CancellationToken::new());
        loop {
            self.send().await;
            let is_idle = self.state().is_idle();
            if is_idle || tokio::time::timeout_at(deadline, self.wait(&never)).await.is_err() {
                break;
            }
        }
        self.polls.next = Next::Now;
        loop {
            self.running.abort_all();
            while let Some(ended) = self.running.join_next_with_id().await {
                self.ended(ended);
            }
            self.send().await;
            let Some(answer) = self.polls.answer().await else { break };
            self.answered(answer);
        }
        self.control.counters.lost.add(self.reports.len());
        self.blocking.stop().await;
    }
}

/// Waits for a timer, forever without one.
async fn elapsed(timer: Option<Duration>) {
    match timer {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}
