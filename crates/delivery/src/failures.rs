//! Failed mails, grouped by what failed.
//!
//! A group has its counts, a sample, and the ids of its jobs, so that an operator can retry or remove exactly these. A job is
//! in the group of its last failure only.

mod signature;

use std::time::Duration;

use examhall_core::Timestamp;
use examhall_redis::{Connection, Route};

pub use self::signature::FailureSignature;
use crate::{Error, script};

/// Most groups; the one that was met longest ago is forgotten first.
const MOST_GROUPS: u32 = 500;
/// Mails that one script records or forgets.
const BATCH: usize = 500;
/// Mails of a group that are looked at together.
const PAGE: u32 = 500;

/// Groups of failed mails. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Failures {
    connection: Connection,
    key: String,
    retention: Duration,
}

/// A mail that failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedMail {
    /// Its job.
    pub job_id: String,
    /// What failed.
    pub signature: FailureSignature,
    /// When, in ms since 1970.
    pub at: i64,
}

/// Mails that failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureGroup {
    /// Its id, made of the signature.
    pub id: String,
    /// What failed.
    pub signature: FailureSignature,
    /// Mails that have failed so since the group is known, those that were retried or removed since then included.
    pub count: u64,
    /// Mails that are in the group now.
    pub jobs: u64,
    /// The first failure.
    pub first_at: Timestamp,
    /// The last failure.
    pub last_at: Timestamp,
    /// Job of the last failure.
    pub sample: String,
}

impl Failures {
    /// Groups under keys that begin with `key`, such as `mail:{failures}`: in a cluster it needs a hash tag. A mail leaves its
    /// group after `retention`.
    pub fn new(connection: Connection, key: impl Into<String>, retention: Duration) -> Self {
        Self { connection, key: key.into(), retention }
    }

    /// Records mails that failed.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer: some may have been recorded. To record a mail again counts it again.
    pub async fn record(&self, failed: &[FailedMail]) -> Result<(), Error> {
        for some in failed.chunks(BATCH) {
            let retention = self.retention.as_millis().to_string();
            let mut args = vec![retention.into(), MOST_GROUPS.to_string().into()];
            for FailedMail { job_id, signature, at } in some {
                let fields = serde_json::to_string(signature)?;
                args.extend([signature.id().into(), job_id.as_str().into(), at.to_string().into(), fields.into()]);
            }
            self.connection.eval::<i64>(&script::FAILURES, &[&self.key], args).await?;
        }
        Ok(())
    }

    /// Returns up to `count` groups after the first `skip`, the one that was met last first.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn groups(&self, skip: u32, count: u32) -> Result<Vec<FailureGroup>, Error> {
        let last = i64::from(skip) + i64::from(count) - 1;
        let args = vec![self.key.as_str().into(), skip.to_string().into(), last.to_string().into()];
        let ids: Vec<String> = match count {
            0 => Vec::new(),
            _ => self.connection.command("ZREVRANGE", Route::Key(&self.key), args).await?,
        };
        self.read(&ids).await
    }

    /// Returns a group, if there is one of this id.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn group(&self, id: &str) -> Result<Option<FailureGroup>, Error> {
        Ok(self.read(&[id.to_owned()]).await?.pop())
    }

    async fn read(&self, ids: &[String]) -> Result<Vec<FailureGroup>, Error> {
        let args = ids.iter().map(|id| id.as_str().into()).collect();
        let found: Vec<Vec<String>> = self.connection.eval(&script::FAILURE_GROUPS, &[&self.key], args).await?;
        Ok(found.into_iter().filter_map(group).collect())
    }

    /// Returns the jobs of a group, up to `count` after the first `skip`, the one that failed first first.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn jobs(&self, id: &str, skip: u32, count: u32) -> Result<Vec<String>, Error> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let key = format!("{}:{id}:jobs", self.key);
        let last = i64::from(skip) + i64::from(count) - 1;
        let args = vec![key.as_str().into(), skip.to_string().into(), last.to_string().into()];
        Ok(self.connection.command("ZRANGE", Route::Key(&key), args).await?)
    }

    /// Takes jobs out of their groups that are not failed any more: another program may have retried or removed them.
    /// `gone` returns these of some jobs.
    ///
    /// # Errors
    /// Returns the error of `gone`, or [`Error::Redis`] if Redis does not answer.
    pub async fn refresh<E: From<Error>, F: Future<Output = Result<Vec<String>, E>>>(
        &self,
        gone: impl Fn(Vec<String>) -> F,
    ) -> Result<(), E> {
        for group in self.groups(0, MOST_GROUPS).await? {
            let mut skip = 0;
            loop {
                let jobs = self.jobs(&group.id, skip, PAGE).await?;
                let found = u32::try_from(jobs.len()).unwrap_or(PAGE);
                let gone = if jobs.is_empty() { Vec::new() } else { gone(jobs).await? };
                self.forget(&gone).await?;
                if found < PAGE {
                    break;
                }
                skip += found.saturating_sub(u32::try_from(gone.len()).unwrap_or(found));
            }
        }
        Ok(())
    }

    /// Takes jobs out of their groups: they were retried or removed.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn forget(&self, jobs: &[String]) -> Result<(), Error> {
        for some in jobs.chunks(BATCH) {
            let args = some.iter().map(|id| id.as_str().into()).collect();
            self.connection.eval::<i64>(&script::FAILURES_FORGET, &[&self.key], args).await?;
        }
        Ok(())
    }
}

fn group(words: Vec<String>) -> Option<FailureGroup> {
    let [id, fields, count, first, last, sample, jobs] = <[String; 7]>::try_from(words).ok()?;
    let time = |ms: String| Some(Timestamp::from_millis(ms.parse().ok()?));
    Some(FailureGroup {
        id,
        signature: serde_json::from_str(&fields).ok()?,
        count: count.parse().ok()?,
        jobs: jobs.parse().ok()?,
        first_at: time(first)?,
        last_at: time(last)?,
        sample,
    })
}
