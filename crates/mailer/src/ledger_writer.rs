//! Writes entries to the delivery ledger in the background (write-behind).

use std::time::{Duration, Instant};

use examhall_delivery::{Error, Ledger, LedgerEntry, LedgerVersion, MessageNames};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// Time after which a failing write is logged as an error.
const ALERT_AFTER: Duration = Duration::from_secs(30);
/// Backoff between two writes: short, so that once Redis is back an entry is written before the job is reclaimed.
const BACKOFF: Duration = Duration::from_millis(100);
/// How long a stopping mailer waits for writes, after its worker has waited for its jobs.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes entries without blocking the caller. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LedgerWriter {
    ledger: Ledger,
    names: MessageNames,
    writing: TaskTracker,
}

impl LedgerWriter {
    pub(crate) fn new(ledger: Ledger, names: MessageNames) -> Self {
        Self { ledger, names, writing: TaskTracker::new() }
    }

    /// Records a name of a mail in the background. It is tried once: without the name a bounce only suppresses its address.
    pub(crate) fn name(&self, name: String, job_id: &str) {
        let (names, job_id) = (self.names.clone(), job_id.to_owned());
        self.writing.spawn(async move {
            if let Err(error) = names.put(&name, &job_id).await {
                tracing::debug!(job_id, %error, "The mail's name could not be recorded");
            }
        });
    }

    /// Notes in the background that a mail is in doubt, for operators. It is tried once: the ledger knows it anyway.
    pub(crate) fn mark_in_doubt(&self, job_id: &str, now: i64) {
        let (ledger, job_id) = (self.ledger.clone(), job_id.to_owned());
        self.writing.spawn(async move {
            if let Err(error) = ledger.mark_in_doubt(&job_id, now).await {
                tracing::debug!(job_id, %error, "The doubt about a mail could not be noted");
            }
        });
    }

    /// Sends the entry to Redis before returning, without waiting for the reply. Redis runs later commands, such as the
    /// end of the job, after it: no job ends before its entry is written.
    ///
    /// Replaces only the `known` version, or any version if that is `None`. While Redis is unavailable the write is
    /// retried until [`finish`](Self::finish): a mail that only this process knows as accepted would be sent twice.
    pub(crate) async fn write(&self, job_id: &str, known: Option<&LedgerVersion>, entry: LedgerEntry) {
        let mut writing = Box::pin(write(self.ledger.clone(), job_id.to_owned(), known.cloned(), entry));
        tokio::select! {
            biased; // the first poll sends the command
            () = &mut writing => {}
            () = std::future::ready(()) => drop(self.writing.spawn(writing)),
        }
    }

    /// Waits until everything is written, or for the timeout.
    pub(crate) async fn finish(&self) {
        self.writing.close();
        let _ = timeout(STOP_TIMEOUT, self.writing.wait()).await; // what is left was logged as an error
    }
}

async fn write(ledger: Ledger, job_id: String, known: Option<LedgerVersion>, entry: LedgerEntry) {
    let mut alert_at = Some(Instant::now() + ALERT_AFTER);
    while let Err(error) = try_to_write(&ledger, &job_id, known.as_ref(), &entry).await {
        if alert_at.take_if(|at| *at < Instant::now()).is_some() {
            tracing::error!(job_id, %error, "Outcome could not be written to the ledger");
        }
        tokio::time::sleep(BACKOFF).await;
    }
}

async fn try_to_write(
    ledger: &Ledger,
    job_id: &str,
    known: Option<&LedgerVersion>,
    entry: &LedgerEntry,
) -> Result<(), Error> {
    match known {
        Some(known) => ledger.replace(job_id, known, entry).await.map(drop),
        None => ledger.put(job_id, entry).await,
    }
}
