//! The suppression list: addresses that no mail goes to, shared by all processes.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use examhall_core::Timestamp;
use examhall_redis::{Connection, Route};
use serde::{Deserialize, Serialize};

use crate::{Error, script};

/// A list of addresses in one hash. Cheap to clone.
/// ```no_run
/// # use examhall_delivery::Suppressions;
/// # async fn run(connection: examhall_redis::Connection) -> Result<(), examhall_delivery::Error> {
/// let list = Suppressions::new(connection, "mail:suppressed");
/// list.add("ada@example.com", "550 5.1.1 no such user").await?;
/// for suppression in list.find(&["ada@example.com".to_owned()]).await? {
///     println!("{} since {}: {}", suppression.address, suppression.since, suppression.reason);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Suppressions {
    connection: Connection,
    key: String,
}

/// An address on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// The address.
    pub address: String,
    /// Why no mail goes to it.
    pub reason: String,
    /// Time at which it was added, in ms since 1970.
    pub since: i64,
}

/// A field's value in the hash.
#[derive(Serialize, Deserialize)]
struct Stored {
    reason: String,
    since: i64,
}

impl Suppressions {
    /// The list kept under `key`.
    pub fn new(connection: Connection, key: impl Into<String>) -> Self {
        Self { connection, key: key.into() }
    }

    /// Returns those of `addresses` that are on the list.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn find(&self, addresses: &[String]) -> Result<Vec<Suppression>, Error> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.connection.hmget(&self.key, addresses).await?;
        Ok(addresses.iter().zip(found).filter_map(|(address, text)| Some(read(address, &text?))).collect())
    }

    /// Adds an address; one that is there keeps its reason. Returns whether it is new.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn add(&self, address: &str, reason: &str) -> Result<bool, Error> {
        let since = Timestamp::from(SystemTime::now()).as_millis();
        let stored = serde_json::to_string(&Stored { reason: reason.to_owned(), since })?;
        let args = vec![self.key.as_str().into(), address.into(), stored.into()];
        let added: i64 = self.connection.command("HSETNX", self.route(), args).await?;
        Ok(added == 1)
    }

    /// Removes an address and its strikes; returns whether it was there.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn remove(&self, address: &str) -> Result<bool, Error> {
        let args = vec![self.key.as_str().into(), address.into()];
        let removed: i64 = self.connection.command("HDEL", self.route(), args).await?;
        let strikes = self.strikes(address);
        self.connection.command::<i64>("DEL", Route::Key(&strikes), vec![strikes.as_str().into()]).await?;
        Ok(removed == 1)
    }

    /// Returns the whole list, oldest first.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn list(&self) -> Result<Vec<Suppression>, Error> {
        let args = vec![self.key.as_str().into()];
        let stored: HashMap<String, String> = self.connection.command("HGETALL", self.route(), args).await?;
        let mut list: Vec<_> = stored.iter().map(|(address, text)| read(address, text)).collect();
        list.sort_by(|a, b| (a.since, &a.address).cmp(&(b.since, &b.address)));
        Ok(list)
    }

    /// Counts a strike against an address, one for each `cause`; returns how many there were within `window` of the
    /// first.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn strike(&self, address: &str, cause: &str, window: Duration) -> Result<u32, Error> {
        let args = vec![window.as_secs().max(1).to_string().into(), cause.into()];
        Ok(self.connection.eval(&script::STRIKE, &[&self.strikes(address)], args).await?)
    }

    fn route(&self) -> Route<'_> {
        Route::Key(&self.key)
    }

    fn strikes(&self, address: &str) -> String {
        format!("{}:strikes:{address}", self.key)
    }
}

/// An entry that cannot be understood still suppresses.
fn read(address: &str, text: &str) -> Suppression {
    let unknown = Stored { reason: "unknown".to_owned(), since: 0 };
    let Stored { reason, since } = serde_json::from_str(text).unwrap_or(unknown);
    Suppression { address: address.to_owned(), reason, since }
}
