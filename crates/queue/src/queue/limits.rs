//! Limits for all workers of a queue together: rate and concurrency.

use std::time::Duration;

use super::Queue;
use crate::{
    Error,
    clock::millis,
    options::{check_rate_limit, check_span},
    script,
};

/// Value of BullMQ's rate-limit counter that is above every limit.
const NO_MORE: &str = "9007199254740991";

/// Limit for all workers of a queue together.
/// ```
/// # use examhall_queue::RateLimit;
/// # use std::time::Duration;
/// let limit = RateLimit::new(100, Duration::from_secs(1));
/// assert_eq!(limit.jobs, 100);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// Largest number of jobs that start per period.
    pub jobs: u32,
    /// Length of the period.
    pub period: Duration,
}

impl RateLimit {
    /// At most `jobs` jobs start per `period`.
    pub const fn new(jobs: u32, period: Duration) -> Self {
        Self { jobs, period }
    }
}

impl<T> Queue<T> {
    /// Limits how many jobs all workers of the queue together start per period; `None` removes the limit. It wins over
    /// the limits of single workers.
    /// ```no_run
    /// # use std::time::Duration;
    /// # use examhall_queue::{Queue, RateLimit};
    /// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// queue.set_rate_limit(Some(RateLimit::new(100, Duration::from_secs(1)))).await?;
    /// queue.set_global_concurrency(Some(20)).await?; // 20 at once, all workers together
    /// queue.rate_limit(Duration::from_secs(30)).await?; // no job at all for 30 s
    /// println!("{:?} left, {:?}", queue.rate_limit_ttl(None).await?, queue.global_rate_limit().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn set_rate_limit(&self, limit: Option<RateLimit>) -> Result<(), Error> {
        match limit {
            None => self.client.meta("HDEL", &["max", "duration"]).await,
            Some(RateLimit { jobs, period }) => {
                check_rate_limit("limit", jobs, period)?;
                let (max, duration) = (jobs.to_string(), millis(period).to_string());
                self.client.meta("HSET", &["max", &max, "duration", &duration]).await
            }
        }
    }

    /// Reads the limit of [`set_rate_limit`](Self::set_rate_limit), if there is one.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn global_rate_limit(&self) -> Result<Option<RateLimit>, Error> {
        Ok(self.meta().await?.rate_limit)
    }

    /// Lets no worker take a job for `span`; running jobs continue. BullMQ's workers comply if the queue has a rate limit
    /// or they have one themselves.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn rate_limit(&self, span: Duration) -> Result<(), Error> {
        check_span("span", span, Duration::ZERO)?;
        let span = millis(span).max(1).to_string();
        self.client.command("SET", &self.client.keys().of("limiter"), &[NO_MORE, "PX", &span]).await
    }

    /// Reads for how long the rate limit lets no worker take a job. `jobs` is the limit that is asked for: a worker's own;
    /// without it the queue's limit counts, and if it has none, any rate limit in effect.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn rate_limit_ttl(&self, jobs: Option<u32>) -> Result<Option<Duration>, Error> {
        let ttl: u64 = self.eval(&script::LIMIT_TTL, vec![jobs.unwrap_or_default().into()]).await?;
        Ok((ttl > 0).then(|| Duration::from_millis(ttl)))
    }

    /// Ends the current period of the rate limit, and what [`rate_limit`](Self::rate_limit) has set.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn clear_rate_limit(&self) -> Result<(), Error> {
        self.client.command("DEL", &self.client.keys().of("limiter"), &[]).await
    }

    /// Limits how many jobs all workers of the queue together run at once; `None` removes the limit.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn set_global_concurrency(&self, jobs: Option<u32>) -> Result<(), Error> {
        match jobs {
            None => self.client.meta("HDEL", &["concurrency"]).await,
            Some(jobs) => self.client.meta("HSET", &["concurrency", &jobs.to_string()]).await,
        }
    }

    /// Reads the limit of [`set_global_concurrency`](Self::set_global_concurrency), if there is one.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn global_concurrency(&self) -> Result<Option<u32>, Error> {
        Ok(self.meta().await?.concurrency)
    }

    /// Returns whether as many jobs are active as the global concurrency allows.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn is_maxed(&self) -> Result<bool, Error> {
        self.eval(&script::IS_MAXED, vec![]).await
    }
}
