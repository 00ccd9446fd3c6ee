//! The note in the ledger that a mail is about to be sent.

use examhall_queue::{Entry, Job, Ledger, Standing};
use tokio::sync::OnceCell;

use crate::{end::End, payload::Payload};

/// Written once, however many servers are asked to take the mail.
pub(crate) struct Intent<'a> {
    job: &'a Job<Payload>,
    ledger: &'a Ledger,
    known: &'a Standing,
    entry: Entry,
    noted: OnceCell<Result<Standing, End>>,
}

impl<'a> Intent<'a> {
    /// One that replaces what is `known`.
    pub(crate) fn new(job: &'a Job<Payload>, ledger: &'a Ledger, known: &'a Standing, entry: Entry) -> Self {
        Self { job, ledger, known, entry, noted: OnceCell::new() }
    }

    /// Writes it, unless that was tried before.
    ///
    /// # Errors
    /// How the attempt ends instead: nothing may be sent.
    pub(crate) async fn note(&self) -> Result<(), End> {
        self.noted.get_or_init(|| self.write()).await.as_ref().map(drop).map_err(Clone::clone)
    }

    /// What stands in the ledger, as far as this worker knows.
    pub(crate) fn standing(&self) -> &Standing {
        self.noted.get().and_then(|noted| noted.as_ref().ok()).unwrap_or(self.known)
    }

    /// Whether this worker has written it.
    pub(crate) fn is_noted(&self) -> bool {
        matches!(self.noted.get(), Some(Ok(_)))
    }

    async fn write(&self) -> Result<Standing, End> {
        let written = if self.job.claim.is_lost() {
            Ok(None)
        } else {
            self.ledger.replace(&self.job.id, self.known, &self.entry).await
        };
        match written {
            Ok(Some(standing)) => Ok(standing),
            Ok(None) => {
                tracing::warn!(job_id = self.job.id, "Another worker may have the mail: not sent by this one");
                Err(End::Returned)
            }
            Err(error) => Err(End::redis_trouble(&error)),
        }
    }
}
