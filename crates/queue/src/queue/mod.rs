//! One queue: what can be done with it from outside of a worker.

mod actions;
mod add;
mod batch;
mod counts;
mod ended_data;
mod inspect;
mod pause;
mod read;
mod record;
mod server;

use std::{marker::PhantomData, sync::Arc};

use examhall_redis::{FromValue, Script, Value};

use self::batch::Batches;
pub use self::{
    actions::Attempts,
    add::NewJob,
    counts::Counts,
    inspect::{INSPECTIONS, Inspection, Suitability},
    read::{Ended, Oldest, Order},
    record::JobRecord,
    server::{Concern, ConnectedWorker},
};
use crate::{Connection, Error, keys::Keys};

/// One BullMQ queue whose jobs carry a `T`. Cheap to clone.
pub struct Queue<T> {
    connection: Connection,
    keys: Keys,
    batches: Arc<Batches>,
    payload: PhantomData<fn() -> T>,
}

impl<T> Queue<T> {
    /// The queue `name` under the key prefix `prefix` (BullMQ's default is `bull`).
    ///
    /// # Errors
    /// [`Error::BadQueueName`] where BullMQ could not use the names.
    pub fn new(connection: Connection, prefix: &str, name: &str) -> Result<Self, Error> {
        let keys = Keys::new(prefix, name)?;
        let batches = Arc::new(Batches::new(connection.clone(), &keys));
        Ok(Self { connection, keys, batches, payload: PhantomData })
    }

    /// The connection that it uses.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) async fn eval<R: FromValue>(&self, script: &'static Script, args: Vec<Value>) -> Result<R, Error> {
        Ok(self.connection.eval(script, &[&self.keys.of("meta")], args).await?)
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self {
            connection: self.connection.clone(),
            keys: self.keys.clone(),
            batches: Arc::clone(&self.batches),
            payload: PhantomData,
        }
    }
}

impl<T> std::fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("keys", &self.keys).finish_non_exhaustive()
    }
}
