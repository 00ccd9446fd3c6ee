//! The delivery ledger: what is known of a mail's delivery, written before it and after it.

mod doubt;

use std::time::Duration;

use examhall_core::EmailJob;
use examhall_redis::{Connection, Route};
use futures_util::future::{join, try_join_all};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::doubt::Doubt;
use crate::{Error, report::RecipientReport, script};

/// Entries under `<prefix><job id>`. Cheap to clone.
///
/// Two workers may believe that a job is theirs. So an intent is written by compare-and-swap: only if nothing has been
/// written since the entry was read, and one of the two is refused.
/// ```no_run
/// # use std::time::Duration;
/// use examhall_delivery::{DeliveryState, Ledger, LedgerEntry};
/// # async fn run(connection: examhall_redis::Connection) -> Result<(), examhall_delivery::Error> {
/// let ledger = Ledger::new(connection, "mail:sent:", Duration::from_secs(7 * 24 * 3600));
/// let entry = |state, at| LedgerEntry { state, message_id: "<m-7@x.example>".into(), at, ..LedgerEntry::default() };
/// let known = ledger.read("m-7").await?;
/// if known.entry().is_none_or(|entry| entry.state != DeliveryState::Accepted)
///     && ledger.replace("m-7", &known, &entry(DeliveryState::Intent, 1_700_000_000_000)).await?.is_some()
/// {
///     // send
///     ledger.put("m-7", &entry(DeliveryState::Accepted, 1_700_000_000_500)).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Ledger {
    connection: Connection,
    prefix: String,
    retention: Duration,
}

/// State of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeliveryState {
    /// It was about to happen: it may have.
    #[default]
    Intent,
    /// It has happened.
    Accepted,
    /// It has not happened, and will be tried again.
    Deferred,
    /// It has not happened, and will not.
    Refused,
    /// It may have happened, and an operator decides whether to try again.
    Held,
    /// It has happened, and came back: the mail was not delivered to each of its recipients.
    Bounced,
    /// It has happened, and a recipient has reported it as spam.
    Complained,
}

impl DeliveryState {
    /// Returns whether a server has accepted the mail, whatever became of it then.
    pub const fn was_accepted(self) -> bool {
        matches!(self, Self::Accepted | Self::Bounced | Self::Complained)
    }

    /// Returns what became of a mail after it was accepted.
    pub const fn feedback(self) -> Option<&'static str> {
        match self {
            Self::Bounced => Some("bounced"),
            Self::Complained => Some("complained"),
            _ => None,
        }
    }
}

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    /// State of the delivery.
    pub state: DeliveryState,
    /// Name by which the outside world knows the effect: a mail's `Message-ID`.
    pub message_id: String,
    /// Time of writing, in ms since 1970.
    pub at: i64,
    /// Time at which the job was added, in ms since 1970, unless its id names only one effect: BullMQ lets an id be used
    /// again once its job was removed, and an entry of the earlier job says nothing of the later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_timestamp: Option<i64>,
    /// Time that the effect bears, in ms since 1970: a mail's `Date`. Further attempts keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<i64>,
    /// Whether it may have happened in an earlier run, whatever became of this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_doubt: bool,
    /// Number of deferrals that spent no attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deferrals: u32,
    /// Number of times the job had lost its worker when this was written, where that matters.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stalls: u32,
    /// What the job returned if the mail was accepted; or the operator who decided.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// What was reported of the mail after it was accepted, each kind once for a recipient.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<RecipientReport>,
}

/// An entry as it was read or written: the token of [`Ledger::replace`]'s compare-and-swap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerVersion(String);

/// Result of an entry whose mail an operator has removed.
const REMOVED: &str = "removed by an operator";

impl LedgerEntry {
    /// Returns whether an operator has removed the mail: it is not sent any more, even if it comes back to the queue.
    pub fn is_removed(&self) -> bool {
        self.state == DeliveryState::Refused && self.result == REMOVED
    }
}

impl LedgerVersion {
    /// Version of an entry once it was written.
    ///
    /// # Errors
    /// Returns [`Error::Json`] if the entry cannot be written.
    pub fn of(entry: &LedgerEntry) -> Result<Self, Error> {
        Ok(Self(serde_json::to_string(entry)?))
    }

    /// Returns the entry; `None` too if it cannot be understood.
    pub fn entry(&self) -> Option<LedgerEntry> {
        serde_json::from_str(&self.0).ok()
    }
}

impl Ledger {
    /// Ledger whose entries are kept for `retention`; those of mails that are held or in doubt at least as long as the job of a
    /// failed mail, since an operator decides.
    pub fn new(connection: Connection, prefix: impl Into<String>, retention: Duration) -> Self {
        Self { connection, prefix: prefix.into(), retention }
    }

    /// Returns what is known of a delivery; `None` too if the entry cannot be understood.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn get(&self, job_id: &str) -> Result<Option<LedgerEntry>, Error> {
        Ok(self.read(job_id).await?.entry())
    }

    /// Reads an entry for [`replace`](Self::replace). A key of another type is an entry that cannot be understood: it
    /// must not stop a caller that reads many at once.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn read(&self, job_id: &str) -> Result<LedgerVersion, Error> {
        match self.connection.get(&self.key(job_id)).await {
            Err(error) if error.code() == Some("WRONGTYPE") => Ok(LedgerVersion::default()),
            found => Ok(LedgerVersion(found?.unwrap_or_default())),
        }
    }

    /// Writes an entry if `known` is still the one that is stored, and returns the new version; `None` if another worker
    /// has written meanwhile.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer: it may have been written or not.
    pub async fn replace(
        &self,
        job_id: &str,
        known: &LedgerVersion,
        entry: &LedgerEntry,
    ) -> Result<Option<LedgerVersion>, Error> {
        let written = LedgerVersion::of(entry)?;
        let args = vec![written.0.as_str().into(), self.seconds(entry).to_string().into(), known.0.as_str().into()];
        let key = self.key(job_id);
        let keys = [key.as_str()];
        let writing = self.connection.eval::<i64>(&script::LEDGER, &keys, args);
        let is_written = self.with_index(job_id, entry, writing).await?;
        Ok((is_written == 1).then_some(written))
    }

    /// Writes an entry whatever is stored: what has happened has.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer: it may have been written or not.
    pub async fn put(&self, job_id: &str, entry: &LedgerEntry) -> Result<(), Error> {
        let key = self.key(job_id);
        let writing = self.connection.set(&key, serde_json::to_string(entry)?, self.seconds(entry));
        self.with_index(job_id, entry, writing).await
    }

    /// Writes an entry, and brings the index of doubts up to date for a mail that is held or in doubt, or was. Both are sent
    /// at once: what the caller sends next comes after the entry. A mail without doubts costs nothing.
    async fn with_index<T>(
        &self,
        job_id: &str,
        entry: &LedgerEntry,
        writing: impl Future<Output = Result<T, examhall_redis::Error>>,
    ) -> Result<T, Error> {
        if entry.state != DeliveryState::Held && !entry.in_doubt {
            return Ok(writing.await?);
        }
        // Only operators look at the index: a mail must not be sent again since it is missing there.
        let (written, _indexed) = join(writing, self.index(job_id, entry)).await;
        Ok(written?)
    }

    async fn index(&self, job_id: &str, entry: &LedgerEntry) -> Result<(), Error> {
        let doubt = Doubt::of(entry);
        if let Some(doubt) = doubt {
            doubt.add(&self.connection, job_id, entry.at, entry.at - self.doubtful_seconds() * 1000).await?;
        }
        for other in Doubt::ALL.into_iter().filter(|one| Some(*one) != doubt) {
            other.remove(&self.connection, job_id).await?;
        }
        Ok(())
    }

    /// Notes that a mail is in doubt: its attempt has ended, `at` ms since 1970, with its intent as the youngest entry.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn mark_in_doubt(&self, job_id: &str, at: i64) -> Result<(), Error> {
        let (key, seconds) = (self.key(job_id), self.doubtful_seconds());
        let args = vec![key.as_str().into(), seconds.to_string().into()];
        self.connection.command::<i64>("EXPIRE", Route::Key(&key), args).await?;
        Doubt::InDoubt.add(&self.connection, job_id, at, at - seconds * 1000).await
    }

    /// Takes a mail out of the indexes: its job was removed, and there is nothing left to decide.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn forget_doubt(&self, job_id: &str) -> Result<(), Error> {
        for doubt in Doubt::ALL {
            doubt.remove(&self.connection, job_id).await?;
        }
        Ok(())
    }

    /// Returns up to `count` mails that are held or in doubt, after the first `skip`, the youngest first. Those that are not any
    /// more are left out, and forgotten: a page may have fewer.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn doubtful(&self, doubt: Doubt, skip: u32, count: u32) -> Result<Vec<(String, LedgerEntry)>, Error> {
        let ids = doubt.list(&self.connection, skip, count).await?;
        let entries = try_join_all(ids.iter().map(|id| self.get(id))).await?;
        let mut found = Vec::new();
        for (id, entry) in ids.into_iter().zip(entries) {
            let holds = |entry: &LedgerEntry| {
                Doubt::of(entry) == Some(doubt) || (doubt == Doubt::InDoubt && entry.state == DeliveryState::Intent)
            };
            match entry.filter(holds) {
                Some(entry) => found.push((id, entry)),
                None => doubt.remove(&self.connection, &id).await?,
            }
        }
        Ok(found)
    }

    /// Counts the mails that are held or in doubt.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn count_doubtful(&self, doubt: Doubt) -> Result<u64, Error> {
        doubt.count(&self.connection).await
    }

    /// Records that a mail is not sent any more, unless its outcome is recorded: who finds its job gone must not take it for
    /// lost.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer: it may have been written or not.
    pub async fn put_removed(&self, job_id: &str, at: i64) -> Result<(), Error> {
        loop {
            let known = self.read(job_id).await?;
            let last =
                known.entry().unwrap_or(LedgerEntry { state: DeliveryState::Deferred, ..LedgerEntry::default() });
            if last.state.was_accepted() || matches!(last.state, DeliveryState::Refused | DeliveryState::Held) {
                return Ok(());
            }
            let in_doubt = last.in_doubt || last.state == DeliveryState::Intent;
            let result = Value::from(REMOVED);
            let removed = LedgerEntry { state: DeliveryState::Refused, at, in_doubt, result, ..last };
            if self.replace(job_id, &known, &removed).await?.is_some() {
                return Ok(());
            }
        }
    }

    fn seconds(&self, entry: &LedgerEntry) -> i64 {
        if Doubt::of(entry).is_some() { self.doubtful_seconds() } else { whole_seconds(self.retention) }
    }

    fn doubtful_seconds(&self) -> i64 {
        whole_seconds(self.retention.max(EmailJob::KEEP_FAILED))
    }

    fn key(&self, job_id: &str) -> String {
        format!("{}{job_id}", self.prefix)
    }
}

fn whole_seconds(time: Duration) -> i64 {
    time.as_secs().max(1).try_into().unwrap_or(i64::MAX)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
