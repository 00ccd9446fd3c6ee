//! A number of places that all processes share, such as the connections that a server allows.

use std::time::Duration;

use crate::{Connection, Error, script};

/// Places under one key. Cheap to clone.
/// ```no_run
/// # use std::time::Duration;
/// # use examhall_queue::{Connection, Leases};
/// # async fn run(connection: Connection) -> Result<(), examhall_queue::Error> {
/// let connections = Leases::new(connection, "connections:mail.example", 10, Duration::from_secs(30));
/// if connections.take("worker-1/socket-3").await? {
///     // connect, and take it again every few seconds to keep it
///     connections.release("worker-1/socket-3").await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Leases {
    connection: Connection,
    key: String,
    places: u32,
    life: Duration,
}

impl Leases {
    /// So many places; one that is not taken again within `life` is free, whatever became of who had it.
    pub fn new(connection: Connection, key: impl Into<String>, places: u32, life: Duration) -> Self {
        Self { connection, key: key.into(), places, life }
    }

    /// Takes a place, or keeps the one that `holder` has; `false` where none is free.
    ///
    /// # Errors
    /// [`Error::Redis`]: nobody knows then; the caller decides whether that means yes or no.
    pub async fn take(&self, holder: &str) -> Result<bool, Error> {
        let args = vec![holder.into(), self.places.into(), self.life.as_millis().to_string().into()];
        Ok(self.connection.eval(&script::LEASE, &self.key, args).await?.convert()?)
    }

    /// Gives a place back.
    ///
    /// # Errors
    /// [`Error::Redis`]: it is free after its life then.
    pub async fn release(&self, holder: &str) -> Result<(), Error> {
        self.connection.eval(&script::LEASE, &self.key, vec![holder.into(), 0.into(), 0.into()]).await.map(drop)
    }
}
