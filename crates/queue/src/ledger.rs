//! What is known of a job's effect on the outside world, such as a mail: written before it and after it.
//!
//! A job can be run twice: its worker may die between the effect and the note that it is done. The ledger tells the next
//! worker. It outlives the job and stands outside the queue's keys, so nothing that cleans the queue takes it away.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Connection, Error, script};

/// Entries under `<prefix><job id>`. Cheap to clone.
///
/// Two workers may believe that a job is theirs. So what is about to happen is written only where nothing has been
/// written since it was read: one of the two is told no.
/// ```no_run
/// # use std::time::Duration;
/// use examhall_queue::{Connection, Effect, Entry, Ledger};
/// # async fn run(connection: Connection) -> Result<(), examhall_queue::Error> {
/// let ledger = Ledger::new(connection, "paid:", Duration::from_secs(7 * 24 * 3600));
/// let entry = |state, at| Entry { state, message_id: "order-7".into(), at, ..Entry::default() };
/// let known = ledger.read("7").await?;
/// if known.entry().is_none_or(|entry| entry.state != Effect::Accepted)
///     && ledger.replace("7", &known, &entry(Effect::Intent, 1_700_000_000_000)).await?.is_some()
/// {
///     // pay
///     ledger.put("7", &entry(Effect::Accepted, 1_700_000_000_500)).await?;
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// It was about to happen: it may have.
    #[default]
    Intent,
    /// It has happened.
    Accepted,
    /// It has not happened, and will be tried again.
    Deferred,
    /// It has not happened, and will not.
    Refused,
    /// It may have happened, and an operator is to decide whether to try again.
    Held,
}

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Whether it may have happened in an earlier run, whatever became of this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_doubt: bool,
    /// How often it was put off without spending an attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deferrals: u32,
    /// How often the job had lost its worker when this was written, where that matters.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stalls: u32,
    /// What the job returned, where it was accepted; or who has decided, where it was an operator.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
}

/// What stands in the ledger for a job, as it was read or written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing(String);

impl Standing {
    /// What stands once an entry was written.
    ///
    /// # Errors
    /// [`Error::Payload`].
    pub fn of(entry: &Entry) -> Result<Self, Error> {
        Ok(Self(serde_json::to_string(entry)?))
    }

    /// The entry; `None` too where it cannot be understood.
    pub fn entry(&self) -> Option<Entry> {
        serde_json::from_str(&self.0).ok()
    }
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
        Ok(self.read(job_id).await?.entry())
    }

    /// What is known of a job's effect, for [`replace`](Self::replace). A key of another type is an entry that cannot be
    /// understood: it must not stop those who ask after many jobs at once.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn read(&self, job_id: &str) -> Result<Standing, Error> {
        match self.connection.get(&self.key(job_id)).await {
            Err(Error::Redis(error)) if error.details().starts_with("WRONGTYPE") => Ok(Standing::default()),
            found => Ok(Standing(found?.unwrap_or_default())),
        }
    }

    /// Writes an entry where `known` still stands, and gives what stands then; `None` where somebody else has written
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Redis`]: it may have been written or not.
    pub async fn replace(&self, job_id: &str, known: &Standing, entry: &Entry) -> Result<Option<Standing>, Error> {
        let written = Standing::of(entry)?;
        let args = vec![written.0.as_str().into(), self.seconds().to_string().into(), known.0.as_str().into()];
        let answer = self.connection.eval(&script::LEDGER, &self.key(job_id), args).await?;
        Ok((answer.convert::<i64>()? == 1).then_some(written))
    }

    /// Writes an entry whatever stands there: what has happened has.
    ///
    /// # Errors
    /// [`Error::Redis`]: it may have been written or not.
    pub async fn put(&self, job_id: &str, entry: &Entry) -> Result<(), Error> {
        self.connection.set(&self.key(job_id), serde_json::to_string(entry)?, self.seconds()).await
    }

    fn seconds(&self) -> i64 {
        self.keep.as_secs().max(1).try_into().unwrap_or(i64::MAX)
    }

    fn key(&self, job_id: &str) -> String {
        format!("{}{job_id}", self.prefix)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
