//! A queue for producers and operators: adds, reads and changes jobs.

mod actions;
mod add;
mod batch;
mod builder;
mod counts;
mod deduplication;
mod edit;
mod ended_data;
mod follow;
mod inspect;
mod limits;
mod meta;
mod metrics;
mod pause;
mod read;
mod record;
mod search;
mod server;
mod summary;

use std::{marker::PhantomData, sync::Arc};

use examhall_redis::{FromValue, Script, Value};

pub(crate) use self::add::check;
use self::batch::Batches;
pub use self::{
    actions::{Attempts, RetryJobs},
    add::NewJob,
    builder::QueueBuilder,
    counts::Counts,
    edit::Among,
    inspect::{INSPECTIONS, Inspection, ServerCheck, Suitability},
    limits::RateLimit,
    meta::QueueMeta,
    metrics::Metrics,
    read::{EndedCounts, ListOrder, OldestWaiting},
    record::JobRecord,
    search::{BadSearchPosition, FoundJobs, JobSearch, SearchPosition, SearchTerm},
    server::{ConnectedWorker, ServerWarning},
    summary::JobSummary,
};
use crate::{Connection, Error, client::Client, events::Waiters, keys::Keys};

/// One BullMQ queue whose jobs carry a `T`. Cheap to clone.
/// ```no_run
/// # use examhall_queue::{Error, NewJob, Queue};
/// # async fn run() -> Result<(), Error> {
/// let queue: Queue<String> = Queue::builder("greetings").open("redis://127.0.0.1:6379")?;
/// queue.initialize().await?; // waits for the connection and checks the server
/// let id = queue.add(NewJob::new("greet", "Ada".to_owned())).await?;
/// # Ok(())
/// # }
/// ```
pub struct Queue<T> {
    client: Client,
    batches: Arc<Batches>,
    waiters: Arc<Waiters>,
    payload: PhantomData<fn() -> T>,
}

impl<T> Queue<T> {
    /// Starts to build the queue `name`.
    pub fn builder(name: impl Into<String>) -> QueueBuilder<T> {
        QueueBuilder::new(name.into())
    }

    /// The queue `name` under the key prefix `prefix` (BullMQ's default is `bull`).
    ///
    /// # Errors
    /// Returns [`Error::BadQueueName`] if BullMQ could not use the names.
    pub fn new(connection: Connection, prefix: &str, name: &str) -> Result<Self, Error> {
        let client = Client::new(connection, Keys::new(prefix, name)?);
        let batches = Arc::new(Batches::new(client.clone()));
        let waiters = Arc::new(Waiters::new(client.clone()));
        Ok(Self { client, batches, waiters, payload: PhantomData })
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        self.client.keys().queue()
    }

    /// Returns the connection that it uses.
    pub fn connection(&self) -> &Connection {
        self.client.connection()
    }

    /// The same queue for jobs that carry a `U`; both share one connection.
    pub fn typed<U>(&self) -> Queue<U> {
        let (batches, waiters) = (Arc::clone(&self.batches), Arc::clone(&self.waiters));
        Queue { client: self.client.clone(), batches, waiters, payload: PhantomData }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) async fn eval<R: FromValue>(&self, script: &'static Script, args: Vec<Value>) -> Result<R, Error> {
        self.client.eval(script, args).await
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        self.typed()
    }
}

impl<T> std::fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("keys", self.client.keys()).finish_non_exhaustive()
    }
}
