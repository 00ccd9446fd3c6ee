//! Copies of mails that were sent, by an operator's decision.

use examhall_core::{EmailJob, Timestamp};
use examhall_queue::{Backoff, Error, JobOptions, NewJob, Queue, Retention, State};

use crate::payload::Payload;

/// What an operator asked for would do nothing, or harm.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

/// Adds a copy of a mail that was sent, and returns its job's id.
pub(crate) async fn resend(queue: &Queue<Payload>, id: &str) -> anyhow::Result<String> {
    let job = queue.get(id).await?.ok_or_else(|| Error::NotFound(id.to_owned()))?;
    if job.state != State::Completed {
        return Err(Refused(format!("{id} was not sent: `mailer queue retry` and `promote` are for such mails")).into());
    }
    let copy = EmailJob::copy_of(&job.data, Timestamp::from_millis(queue.now_ms()));
    let copy = copy.map_err(|error| Refused(format!("{id} cannot be sent once more: {error}")))?;
    let options = JobOptions::default()
        .priority(job.priority)
        .attempts(job.options.retry.attempts.max(1))
        .backoff(Backoff::exponential(EmailJob::BACKOFF))
        .remove_on_complete(Retention::age(EmailJob::KEEP_COMPLETED))
        .remove_on_fail(Retention::age(EmailJob::KEEP_FAILED));
    Ok(queue.typed::<EmailJob>().add(NewJob::new(EmailJob::NAME, copy).options(options)).await?)
}

/// Refuses to retry a mail that was sent: the ledger would complete its job at once.
pub(crate) async fn check_not_sent(queue: &Queue<Payload>, id: &str) -> anyhow::Result<()> {
    if queue.get(id).await?.is_some_and(|job| job.state == State::Completed) {
        let advice = format!("{id} was sent: a retry would send nothing; `mailer queue resend {id}` sends a copy");
        return Err(Refused(advice).into());
    }
    Ok(())
}
