//! Builds a queue.

use std::marker::PhantomData;

use super::Queue;
use crate::{Connection, Error};

/// BullMQ's default prefix.
const PREFIX: &str = "bull";

/// Builds a [`Queue`]: its name, its prefix, its connection.
/// ```no_run
/// # use examhall_queue::{Error, Queue};
/// # fn run() -> Result<(), Error> {
/// let queue: Queue<String> = Queue::builder("greetings").prefix("{staging}").open("redis://127.0.0.1:6379")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct QueueBuilder<T> {
    name: String,
    prefix: String,
    payload: PhantomData<fn() -> T>,
}

impl<T> QueueBuilder<T> {
    pub(super) fn new(name: String) -> Self {
        Self { name, prefix: PREFIX.to_owned(), payload: PhantomData }
    }

    /// Sets the prefix of the keys, `bull` by default: all producers and workers of the queue must have the same. On a
    /// cluster it needs braces, as in `{bull}`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Opens a connection and builds the queue. Returns before it is connected: see [`Queue::initialize`].
    ///
    /// # Errors
    /// Returns the error of [`Connection::open`] for a bad URL, or [`Error::BadQueueName`].
    ///
    /// # Panics
    /// Panics outside a Tokio runtime.
    pub fn open(self, url: &str) -> Result<Queue<T>, Error> {
        let connection = Connection::open(url)?;
        self.build(connection)
    }

    /// Builds the queue over a connection, which several queues may share.
    ///
    /// # Errors
    /// Returns [`Error::BadQueueName`] if BullMQ could not use the names.
    pub fn build(self, connection: Connection) -> Result<Queue<T>, Error> {
        Queue::new(connection, &self.prefix, &self.name)
    }
}
