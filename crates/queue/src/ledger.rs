//! What is known of a job's effect on the outside world, such as a mail: written before it and after it.
//!
//! A job can be run twice: its worker may die between the effect and the note that it is done. The ledger tells the next
//! worker. It outlives the job and stands outside the queue's keys, so nothing that cleans the queue takes it away.

use std::time::Duration;

use fred::types::ClusterHash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Connection, Error, script};

/// Entries under `<prefix><job id>`. Cheap to clone.
/// ```no_run
/// # use std::time::Duration;
/// use examhall_queue::{Connection, Effect, Entry, Ledger};
/// # async fn run(connection: Connection) -> Result<(), examhall_queue::Error> {
/// let ledger = Ledger::new(connection, "paid:", Duration::from_secs(7 * 24 * 3600));
/// let intent = |state, at| {
///     Entry { state, message_id: "order-7".into(), at, job_timestamp: None, deferrals: 0, result: "".into() }
/// };
/// if ledger.get("7").await?.is_none_or(|entry| entry.state != Effect::Accepted) {
///     ledger.put("7", &intent(Effect::Intent, 1_700_000_000_000)).await?;
///     // pay
///     ledger.put("7", &intent(Effect::Accepted, 1_700_000_000_500)).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Ledger {
    connection: Connection,
    prefix: String,
    keep: Duration,
}

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// It was about to happen: it may have.
    Intent,
    /// It has happened. No later entry replaces this one.
    Accepted,
    /// It has not happened, and will be tried again.
    Deferred,
    /// It has not happened, and will not.
    Refused,
    /// It may have happened, and an operator is to decide whether to try again.
    Held,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// What is known.
    pub state: Effect,
    /// By what name the outside world knows the effect.
    pub message_id: String,
    /// When it was written, in ms since 1970.
    pub at: i64,
    /// When the job was added, in ms since 1970, where its id is a number: those are counted anew once a queue was
    /// obliterated, and what is known of one job says nothing of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_timestamp: Option<i64>,
    /// How often it was put off without spending an attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deferrals: u32,
    /// What the job returned, where it was accepted.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
}

impl Ledger {
    /// Entries that are kept for `keep`.
    pub fn new(connection: Connection, prefix: impl Into<String>, keep: Duration) -> Self {
        Self { connection, prefix: prefix.into(), keep }
    }

    /// What is known of a job's effect; `None` too where the entry cannot be understood.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn get(&self, job_id: &str) -> Result<Option<Entry>, Error> {
        let answer = self.connection.command("GET", ClusterHash::FirstKey, vec![self.key(job_id).into()]).await?;
        let text: Option<String> = answer.convert()?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Writes an entry; `false` where the job's effect is known to have happened, which nothing replaces.
    ///
    /// # Errors
    /// [`Error::Redis`]: it may have been written or not.
    pub async fn put(&self, job_id: &str, entry: &Entry) -> Result<bool, Error> {
        let added = entry.job_timestamp.map(|at| at.to_string()).unwrap_or_default();
        let keep = self.keep.as_secs().max(1).to_string();
        let args = vec![serde_json::to_string(entry)?.into(), keep.into(), added.into()];
        Ok(self.connection.eval(&script::LEDGER, &self.key(job_id), args).await?.convert::<i64>()? == 1)
    }

    fn key(&self, job_id: &str) -> String {
        format!("{}{job_id}", self.prefix)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
