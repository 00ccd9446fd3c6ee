//! The suppression list: addresses that no mail goes to, shared by all processes.

mod entry;
mod page;

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use examhall_core::Timestamp;
use examhall_redis::{Connection, Route};

use self::entry::New;
pub use self::{
    entry::{Suppression, SuppressionCause},
    page::{BadSuppressionCursor, SuppressionCursor, SuppressionPage},
};
use crate::{Error, script};

/// A list of addresses in one hash. Cheap to clone.
///
/// What an operator adds stays. Every other entry ends after the policy's lifetime. If one source adds too many within a
/// minute, it is probably the source that is wrong: its entries of this minute are held, which means that they stop no mail
/// until an operator confirms them.
/// ```no_run
/// # use std::time::Duration;
/// use examhall_delivery::{NewSuppression, SuppressionCause, SuppressionPolicy, Suppressions};
/// # async fn run(connection: examhall_redis::Connection) -> Result<(), examhall_delivery::Error> {
/// let policy = SuppressionPolicy { lifetime: Duration::from_secs(90 * 24 * 3600), per_minute: 50 };
/// let list = Suppressions::new(connection, "mail:suppressed", policy);
/// let reason = "550 5.1.1 no such user";
/// let cause = SuppressionCause::Refused;
/// let (source, job_id) = ("mail.example:25", "m-7");
/// list.add(NewSuppression { address: "ada@example.com", reason, cause, source, job_id }).await?;
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
    policy: SuppressionPolicy,
}

/// How long entries last, and how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuppressionPolicy {
    /// Lifetime of an entry that no operator made, since its address was last seen.
    pub lifetime: Duration,
    /// Largest number of entries that one source may add within a minute.
    pub per_minute: u32,
}

/// An address to suppress.
#[derive(Clone, Copy, Debug)]
pub struct NewSuppression<'a> {
    /// The address in its canonical form.
    pub address: &'a str,
    /// Why, in words: a server's reply, for example.
    pub reason: &'a str,
    /// Why.
    pub cause: SuppressionCause,
    /// Who says so: a mail server or a provider. Of an operator nothing is limited.
    pub source: &'a str,
    /// Job of the mail that was the cause; empty if there was none.
    pub job_id: &'a str,
}

/// What [`Suppressions::add`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The address was on the list.
    Known,
    /// It is suppressed from now on.
    New,
    /// It is held, since its source adds too many.
    Held {
        /// Number of entries that were in force and are held, too: not 0 for the one that exceeds the limit.
        others: u64,
    },
}

impl Suppressions {
    /// The list kept under `key`.
    pub fn new(connection: Connection, key: impl Into<String>, policy: SuppressionPolicy) -> Self {
        Self { connection, key: key.into(), policy }
    }

    /// Returns those of `addresses` that are suppressed.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn find(&self, addresses: &[String]) -> Result<Vec<Suppression>, Error> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.connection.hmget(&self.key, addresses).await?;
        let now = now();
        let read = |(address, text): (&String, Option<String>)| {
            Some(entry::read(address, &text?, self.policy.lifetime)).filter(|one| one.is_in_force(now))
        };
        Ok(addresses.iter().zip(found).filter_map(read).collect())
    }

    /// Returns the entry of an address, whether it is in force or held.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn get(&self, address: &str) -> Result<Option<Suppression>, Error> {
        let found = self.connection.hmget(&self.key, &[address.to_owned()]).await?;
        let text = found.into_iter().next().flatten();
        Ok(text.map(|text| entry::read(address, &text, self.policy.lifetime)).filter(|one| !one.has_ended(now())))
    }

    /// Adds an address; one that is there keeps its reason.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer: it may have been added then.
    pub async fn add(&self, new: NewSuppression<'_>) -> Result<Added, Error> {
        let stored = New { reason: new.reason, cause: new.cause, source: new.source, mail: new.job_id };
        let stored = serde_json::to_string(&stored)?;
        let lifetime = self.policy.lifetime.as_millis().to_string();
        let args = vec![new.address.into(), stored.into(), lifetime.into()];
        let added: i64 = self.connection.eval(&script::SUPPRESS, &[&self.key], args).await?;
        if added == 0 {
            return Ok(Added::Known);
        }
        if new.cause == SuppressionCause::Operator {
            return Ok(Added::New);
        }
        let brake = format!("{}:recent:{}", self.key, new.source);
        let args = vec![new.address.into(), self.policy.per_minute.into()];
        let excess: Vec<String> = self.connection.eval(&script::BRAKE, &[&brake], args).await?;
        if excess.is_empty() {
            return Ok(Added::New);
        }
        let held = self.set_held(true, &excess).await?;
        Ok(Added::Held { others: held.saturating_sub(1) })
    }

    /// Puts held entries in force, and returns how many were held.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn confirm(&self, addresses: &[String]) -> Result<u64, Error> {
        if addresses.is_empty() { Ok(0) } else { self.set_held(false, addresses).await }
    }

    async fn set_held(&self, held: bool, addresses: &[String]) -> Result<u64, Error> {
        let mut args = vec![i64::from(held).into()];
        args.extend(addresses.iter().map(|address| address.as_str().into()));
        Ok(self.connection.eval(&script::HOLD, &[&self.key], args).await?)
    }

    /// Removes an address and its strikes; returns whether it was there.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn remove(&self, address: &str) -> Result<bool, Error> {
        let was_there = self.get(address).await?.is_some();
        let args = vec![self.key.as_str().into(), address.into()];
        self.connection.command::<i64>("HDEL", self.route(), args).await?;
        let strikes = self.strikes(address);
        self.connection.command::<i64>("DEL", Route::Key(&strikes), vec![strikes.as_str().into()]).await?;
        Ok(was_there)
    }

    /// Returns the whole list, held entries too, oldest first, and forgets entries that have ended.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn list(&self) -> Result<Vec<Suppression>, Error> {
        let args = vec![self.key.as_str().into()];
        let stored: HashMap<String, String> = self.connection.command("HGETALL", self.route(), args).await?;
        let all = stored.iter().map(|(address, text)| entry::read(address, text, self.policy.lifetime));
        let now = now();
        let (ended, mut list): (Vec<_>, Vec<_>) = all.partition(|one| one.has_ended(now));
        if !ended.is_empty() {
            let mut args = vec![self.key.as_str().into()];
            args.extend(ended.iter().map(|one| one.address.as_str().into()));
            self.connection.command::<i64>("HDEL", self.route(), args).await?;
        }
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

fn now() -> i64 {
    Timestamp::from(SystemTime::now()).as_millis()
}
