//! Has one failed mail tried again, wherever it is still known.

use examhall_delivery::{DeliveryState, LedgerEntry};
use examhall_queue::Attempts;
use examhall_store::MailOutcome;

use crate::{
    http::problem::Problem,
    relay::row_of,
    state::{State, now},
};

/// Has a failed mail tried again; one whose job Redis has lost is queued from its row.
///
/// # Errors
/// Where it has not failed, or Redis or the database is away.
pub(crate) async fn retry_mail(state: &State, job_id: &str) -> Result<(), Problem> {
    let retried = state.queue.retry(job_id, Attempts::Reset).await.map_err(Problem::from);
    match retried {
        Err(problem) if problem.is_about_state() && queue_failed(state, job_id).await? => Ok(()),
        retried => retried,
    }
}

/// Queues a failed mail once more whose job Redis has lost. Returns whether it is such a mail.
async fn queue_failed(state: &State, job_id: &str) -> Result<bool, Problem> {
    let outbox = &state.store.outbox;
    let Some(row) = row_of(job_id) else { return Ok(false) };
    let has_failed = outbox.get(row).await?.is_some_and(|record| record.outcome == Some(MailOutcome::Failed));
    if !has_failed || state.queue.get(job_id).await?.is_some() {
        return Ok(false);
    }
    forget_refusal(state, job_id).await?;
    outbox.mark_retried(&[row], now()).await?;
    // The ledger may be lost with the job: it may be sent twice, and nobody else can say so.
    tracing::info!(job_id, "Mail queued again");
    outbox.reopen(&[row]).await?;
    state.wake.notify_one();
    Ok(true)
}

/// Has the ledger say that a mail is to be tried again which it says has ended unsent: a relay queues no such mail.
async fn forget_refusal(state: &State, job_id: &str) -> Result<(), Problem> {
    let known = state.ledger.read(job_id).await?;
    let Some(entry) = known.entry() else { return Ok(()) };
    if matches!(entry.state, DeliveryState::Refused | DeliveryState::Held) && !entry.is_removed() {
        let in_doubt = entry.in_doubt || entry.state == DeliveryState::Held;
        let deferred = LedgerEntry { state: DeliveryState::Deferred, in_doubt, ..entry };
        state.ledger.replace(job_id, &known, &deferred).await?; // where another has written meanwhile, it knows better
    }
    Ok(())
}
