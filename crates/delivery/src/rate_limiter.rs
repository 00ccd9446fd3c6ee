//! A rate limit that all processes share.

use std::time::Duration;

use examhall_redis::Connection;

use crate::{Error, script};

/// Rate at which something may happen: `burst` at once, then one per `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Number that may happen at once after a pause; at least 1.
    pub burst: u32,
    /// Time until one of them may happen again.
    pub interval: Duration,
}

/// Answer of a [`RateLimiter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Go on; it has been counted.
    Granted,
    /// Not before this time has passed; nothing has been counted.
    After(Duration),
}

/// Counts by the generic cell rate algorithm, in Redis and by its clock. Cheap to clone.
///
/// A key costs one small string that lives as long as its bucket is not full.
/// ```no_run
/// # use std::time::Duration;
/// use examhall_delivery::{Permit, Rate, RateLimiter};
/// # async fn run(connection: examhall_redis::Connection) -> Result<(), examhall_delivery::Error> {
/// let limiter = RateLimiter::new(connection, "limit:");
/// match limiter.take("login:203.0.113.7", Rate::per(5, Duration::from_secs(60))).await? {
///     Permit::Granted => println!("go on"),
///     Permit::After(wait) => println!("again in {wait:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RateLimiter {
    connection: Connection,
    prefix: String,
}

impl Rate {
    /// `count` in each `period`, all of them at once if they come so.
    pub fn per(count: u32, period: Duration) -> Self {
        Self { burst: count.max(1), interval: period / count.max(1) }
    }
}

impl RateLimiter {
    /// A limiter whose keys begin with `prefix`, such as `limit:`.
    pub fn new(connection: Connection, prefix: impl Into<String>) -> Self {
        Self { connection, prefix: prefix.into() }
    }

    /// Takes one of what `key` may have.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer; the caller decides whether that means yes or no.
    pub async fn take(&self, key: &str, rate: Rate) -> Result<Permit, Error> {
        let key = format!("{}{key}", self.prefix);
        let args = vec![rate.interval.as_micros().to_string().into(), rate.burst.max(1).into()];
        let wait: u64 = self.connection.eval(&script::LIMIT, &[&key], args).await?;
        Ok(if wait == 0 { Permit::Granted } else { Permit::After(Duration::from_micros(wait)) })
    }

    /// Returns one that [`take`](Self::take) has granted and that does not count after all.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer: it may still count then.
    pub async fn give_back(&self, key: &str, rate: Rate) -> Result<(), Error> {
        let key = format!("{}{key}", self.prefix);
        let args = vec![rate.interval.as_micros().to_string().into()];
        Ok(self.connection.eval(&script::LIMIT_BACK, &[&key], args).await?)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}
