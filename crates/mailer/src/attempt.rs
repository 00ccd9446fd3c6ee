//! One attempt to send a mail, and what stands of it in the ledger.

use std::time::SystemTime;

use examhall_delivery::{DeliveryState, Ledger, LedgerEntry, LedgerVersion};
use examhall_queue::Job;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{end::End, message::Prepared, payload::Payload};

/// An attempt. Its intent is written once, however many servers are asked to take the mail.
pub(crate) struct Attempt<'a> {
    pub(crate) job: &'a Job<Payload>,
    pub(crate) mail: &'a Prepared,
    /// How often the mail was put off without spending an attempt.
    pub(crate) deferrals: u32,
    /// Whether an earlier one may have delivered the mail.
    pub(crate) in_doubt: bool,
    ledger: &'a Ledger,
    known: LedgerVersion,
    intent: OnceCell<Noted>,
}

/// What the ledger says since the intent was written, or may say, and why nothing may be sent all the same.
struct Noted {
    standing: LedgerVersion,
    instead: Option<End>,
}

impl<'a> Attempt<'a> {
    /// One that begins with what is `known`.
    pub(crate) fn new(job: &'a Job<Payload>, mail: &'a Prepared, ledger: &'a Ledger, known: LedgerVersion) -> Self {
        let last = known.entry().filter(|entry| is_of(job, entry));
        let deferrals = last.as_ref().map_or(0, |entry| entry.deferrals);
        let in_doubt = last.as_ref().is_some_and(is_in_doubt);
        Self { job, mail, deferrals, in_doubt, ledger, known, intent: OnceCell::new() }
    }

    /// What the ledger said of the job as the attempt began.
    pub(crate) fn known(&self) -> Option<LedgerEntry> {
        self.known.entry().filter(|entry| is_of(self.job, entry))
    }

    /// An entry of it.
    pub(crate) fn entry(&self, state: DeliveryState) -> LedgerEntry {
        LedgerEntry {
            state,
            message_id: self.mail.message_id.clone(),
            at: now(),
            job_timestamp: self.mail.job_timestamp,
            in_doubt: self.in_doubt,
            deferrals: self.deferrals,
            stalls: 0,
            result: Value::Null,
        }
    }

    /// Notes that the mail is about to be sent, unless that was tried before.
    ///
    /// # Errors
    /// How the attempt ends instead: nothing may be sent.
    pub(crate) async fn note_intent(&self) -> Result<(), End> {
        self.intent.get_or_init(|| self.write_intent()).await.instead.clone().map_or(Ok(()), Err)
    }

    /// Whether that is noted, or may be.
    pub(crate) fn is_intent_noted(&self) -> bool {
        *self.standing() != self.known
    }

    /// What stands in the ledger, as far as this worker knows.
    pub(crate) fn standing(&self) -> &LedgerVersion {
        self.intent.get().map_or(&self.known, |noted| &noted.standing)
    }

    async fn write_intent(&self) -> Noted {
        let intent = self.entry(DeliveryState::Intent);
        let written = if self.job.claim.is_lost() {
            Ok(None)
        } else {
            self.ledger.replace(&self.job.id, &self.known, &intent).await
        };
        match written {
            Ok(Some(standing)) => Noted { standing, instead: None },
            Ok(None) => {
                tracing::warn!(job_id = self.job.id, "Another worker may have the mail: not sent by this one");
                Noted { standing: self.known.clone(), instead: Some(End::Returned) }
            }
            // It may have been written, and its answer lost or late.
            Err(error) => Noted {
                standing: LedgerVersion::of(&intent).unwrap_or_else(|_| self.known.clone()),
                instead: Some(End::redis_trouble(&error)),
            },
        }
    }
}

/// Whether an entry is of this very job: ids that are numbers are counted anew once a queue was obliterated.
pub(crate) fn is_of(job: &Job<Payload>, entry: &LedgerEntry) -> bool {
    entry.job_timestamp.is_none_or(|then| then == job.timestamp)
}

/// Whether nobody knows if the mail was delivered, then or before.
pub(crate) fn is_in_doubt(entry: &LedgerEntry) -> bool {
    entry.in_doubt || matches!(entry.state, DeliveryState::Intent | DeliveryState::Held)
}

/// In ms since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
