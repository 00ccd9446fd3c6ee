//! Settings of a queue, and its stream of events.

use std::{collections::HashMap, str::FromStr, time::Duration};

use super::{Queue, RateLimit};
use crate::Error;

/// Settings of a queue, shared by all its clients. Those that cannot be read count as absent.
/// ```no_run
/// # use examhall_queue::{Error, Queue};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// let meta = queue.meta().await?;
/// println!("paused: {}, at most {:?} at once", meta.is_paused, meta.concurrency);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueMeta {
    /// Library that wrote the version last, such as `bullmq:6.7.0`. Node's clients write it; ours do not.
    pub version: Option<String>,
    /// Whether no worker takes jobs.
    pub is_paused: bool,
    /// Largest number of jobs that all workers together run at once.
    pub concurrency: Option<u32>,
    /// Limit for all workers together.
    pub rate_limit: Option<RateLimit>,
    /// Number of events that the stream keeps, approximately.
    pub max_events: Option<u64>,
    /// Fields of other clients.
    pub other: HashMap<String, String>,
}

impl<T> Queue<T> {
    /// Reads the queue's settings.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn meta(&self) -> Result<QueueMeta, Error> {
        Ok(QueueMeta::from_hash(self.client.meta("HGETALL", &[]).await?))
    }

    /// Removes the oldest events but for about `keep`, and returns how many were removed. Workers do that by themselves.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn trim_events(&self, keep: u64) -> Result<u64, Error> {
        let keep = i64::try_from(keep).unwrap_or(i64::MAX).to_string();
        self.client.command("XTRIM", &self.client.keys().of("events"), &["MAXLEN", "~", &keep]).await
    }
}

impl QueueMeta {
    fn from_hash(mut hash: HashMap<String, String>) -> Self {
        let is_paused = hash.remove("paused").is_some();
        let version = hash.remove("version");
        let jobs = number(&mut hash, "max");
        let period = number(&mut hash, "duration").map(Duration::from_millis);
        Self {
            version,
            is_paused,
            concurrency: number(&mut hash, "concurrency"),
            rate_limit: jobs.zip(period).map(|(jobs, period)| RateLimit { jobs, period }),
            max_events: number(&mut hash, "opts.maxLenEvents"),
            other: hash,
        }
    }
}

fn number<N: FromStr>(hash: &mut HashMap<String, String>, field: &str) -> Option<N> {
    hash.remove(field)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_read_are_absent() {
        let hash = [("paused", "0"), ("max", "x"), ("duration", "1000"), ("concurrency", "-1"), ("more", "1")];
        let meta = QueueMeta::from_hash(hash.map(|(field, value)| (field.to_owned(), value.to_owned())).into());
        assert!(meta.is_paused, "BullMQ reads any value as paused");
        assert_eq!((meta.rate_limit, meta.concurrency), (None, None));
        assert_eq!(meta.other, HashMap::from([("more".to_owned(), "1".to_owned())]));
    }
}
