//! Leases of the connections that a provider allows, shared by all processes.

use std::time::Duration;

use examhall_redis::Connection;

use crate::{Error, script};

/// A number of leases under one key. Cheap to clone.
/// ```no_run
/// # use std::time::Duration;
/// # use examhall_delivery::ConnectionLeases;
/// # async fn run(connection: examhall_redis::Connection) -> Result<(), examhall_delivery::Error> {
/// let leases = ConnectionLeases::new(connection, "connections:mail.example", 10, Duration::from_secs(30));
/// if leases.take("worker-1/socket-3").await? {
///     // connect, and take it again every few seconds to keep it
///     leases.release("worker-1/socket-3").await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ConnectionLeases {
    connection: Connection,
    key: String,
    count: u32,
    lifetime: Duration,
}

impl ConnectionLeases {
    /// `count` leases; one that is not taken again within `lifetime` is free, whatever became of its holder.
    pub fn new(connection: Connection, key: impl Into<String>, count: u32, lifetime: Duration) -> Self {
        Self { connection, key: key.into(), count, lifetime }
    }

    /// Takes a lease, or keeps the one that `holder` has; returns `false` if none is free.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer; the caller decides whether that means yes or no.
    pub async fn take(&self, holder: &str) -> Result<bool, Error> {
        let args = vec![holder.into(), self.count.into(), self.lifetime.as_millis().to_string().into()];
        Ok(self.connection.eval(&script::LEASE, &[&self.key], args).await?)
    }

    /// Releases a lease.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer: the lease is free after its lifetime then.
    pub async fn release(&self, holder: &str) -> Result<(), Error> {
        Ok(self.connection.eval(&script::LEASE, &[&self.key], vec![holder.into(), 0.into(), 0.into()]).await?)
    }
}
