//! A rate limit that all processes share.

use std::time::Duration;

use crate::{Connection, Error, script};

/// How often something may happen: `burst` at once, then one per `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many may happen at once after a rest; at least 1.
    pub burst: u32,
    /// How long one of them takes to come back.
    pub interval: Duration,
}

/// What a [`Limiter`] says.
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
/// use examhall_queue::{Connection, Limiter, Permit, Rate};
/// # async fn run(connection: Connection) -> Result<(), examhall_queue::Error> {
/// let limiter = Limiter::new(connection, "limit:");
/// match limiter.take("login:203.0.113.7", Rate::per(5, Duration::from_secs(60))).await? {
///     Permit::Granted => println!("go on"),
///     Permit::After(wait) => println!("again in {wait:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Limiter {
    connection: Connection,
    prefix: String,
}

impl Rate {
    /// `count` in each `period`, all of them at once if they come so.
    pub fn per(count: u32, period: Duration) -> Self {
        Self { burst: count.max(1), interval: period / count.max(1) }
    }
}

impl Limiter {
    /// A limiter whose keys begin with `prefix`, such as `limit:`.
    pub fn new(connection: Connection, prefix: impl Into<String>) -> Self {
        Self { connection, prefix: prefix.into() }
    }

    /// Takes one of what `key` may have.
    ///
    /// # Errors
    /// [`Error::Redis`]: nobody knows then; the caller decides whether that means yes or no.
    pub async fn take(&self, key: &str, rate: Rate) -> Result<Permit, Error> {
        let key = format!("{}{key}", self.prefix);
        let args = vec![rate.interval.as_micros().to_string().into(), rate.burst.max(1).into()];
        let wait: u64 = self.connection.eval(&script::LIMIT, &key, args).await?.convert()?;
        Ok(if wait == 0 { Permit::Granted } else { Permit::After(Duration::from_micros(wait)) })
    }

    /// Puts back one that [`take`](Self::take) has granted, where it turns out that it does not count.
    ///
    /// # Errors
    /// [`Error::Redis`]: it may still count then.
    pub async fn give_back(&self, key: &str, rate: Rate) -> Result<(), Error> {
        let key = format!("{}{key}", self.prefix);
        let args = vec![rate.interval.as_micros().to_string().into()];
        self.connection.eval(&script::LIMIT_BACK, &key, args).await?;
        Ok(())
    }
}
