//! How many mails were sent, failed and deferred, by minute and by hour.
//!
//! Mailers add up what happens in memory and write it once a second. A minute is a field of the hash of its hour, an hour a
//! field of the hash of its day, each a short line of numbers: below 300 kB in all. It outlives jobs, restarts and retention.

mod bucket;

use std::collections::HashMap;

use examhall_core::Timestamp;
use examhall_redis::{Connection, Route};
use futures_util::future::try_join_all;

pub use self::bucket::{MailBucket, WAIT_BOUNDS_MS};
use crate::{Error, script};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// How long minutes are kept, in ms.
const KEEP_MINUTES: i64 = DAY;
/// How long hours are kept, in ms.
const KEEP_HOURS: i64 = 14 * DAY;

/// Counts under keys that begin with one prefix. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MailHistory {
    connection: Connection,
    key: String,
}

/// Size of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryStep {
    /// A minute, for 24 hours.
    #[default]
    Minute,
    /// An hour, for 14 days.
    Hour,
}

impl HistoryStep {
    /// Length of a bucket in ms.
    pub const fn millis(self) -> i64 {
        match self {
            Self::Minute => MINUTE,
            Self::Hour => HOUR,
        }
    }

    /// How long buckets are kept, in ms.
    pub const fn kept(self) -> i64 {
        match self {
            Self::Minute => KEEP_MINUTES,
            Self::Hour => KEEP_HOURS,
        }
    }

    /// Length of what one hash holds, in ms.
    const fn page(self) -> i64 {
        match self {
            Self::Minute => HOUR,
            Self::Hour => DAY,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Minute => 'm',
            Self::Hour => 'h',
        }
    }
}

impl MailHistory {
    /// Counts under keys that begin with `key`, such as `mail:{history}`: in a cluster it needs a hash tag.
    pub fn new(connection: Connection, key: impl Into<String>) -> Self {
        Self { connection, key: key.into() }
    }

    /// Adds to the minute and to the hour of a moment.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer: it may have been added.
    pub async fn add(&self, at: Timestamp, counts: &MailBucket) -> Result<(), Error> {
        let steps = [HistoryStep::Minute, HistoryStep::Hour];
        let keys = steps.map(|step| self.page_of(step, at.as_millis()));
        let mut args = vec![counts.to_string().into()];
        for step in steps {
            args.push((at.as_millis().rem_euclid(step.page()) / step.millis()).to_string().into());
            args.push((step.kept() + 2 * step.page()).to_string().into());
        }
        Ok(self.connection.eval(&script::HISTORY, &[&keys[0], &keys[1]], args).await?)
    }

    /// Returns the buckets in which something happened, from `since` until `now`, oldest first.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn read(
        &self,
        step: HistoryStep,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(Timestamp, MailBucket)>, Error> {
        let first = since.as_millis().max(now.as_millis() - step.kept()).div_euclid(step.page());
        let pages = first..=now.as_millis().div_euclid(step.page());
        let read = pages.map(|page| self.read_page(step, page * step.page()));
        let mut buckets: Vec<_> = try_join_all(read).await?.into_iter().flatten().collect();
        let oldest = Timestamp::from_millis(since.as_millis().max(now.as_millis() - step.kept()) - step.millis());
        buckets.retain(|(at, _)| *at > oldest && *at <= now);
        buckets.sort_by_key(|(at, _)| *at);
        Ok(buckets)
    }

    /// Returns the sum of the last minutes before `now`.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn recent(&self, minutes: u32, now: Timestamp) -> Result<MailBucket, Error> {
        let since = Timestamp::from_millis(now.as_millis() - i64::from(minutes) * MINUTE);
        let mut sum = MailBucket::default();
        for (_, bucket) in self.read(HistoryStep::Minute, since, now).await? {
            sum.add(&bucket);
        }
        Ok(sum)
    }

    async fn read_page(&self, step: HistoryStep, start: i64) -> Result<Vec<(Timestamp, MailBucket)>, Error> {
        let key = self.page_of(step, start);
        let args = vec![key.as_str().into()];
        let stored: HashMap<String, String> = self.connection.command("HGETALL", Route::Key(&key), args).await?;
        let bucket = |(field, text): (String, String)| {
            let at = start + field.parse::<i64>().ok()? * step.millis();
            Some((Timestamp::from_millis(at), MailBucket::parse(&text)?))
        };
        Ok(stored.into_iter().filter_map(bucket).collect())
    }

    fn page_of(&self, step: HistoryStep, at: i64) -> String {
        format!("{}:{}:{}", self.key, step.letter(), at.div_euclid(step.page()))
    }
}
