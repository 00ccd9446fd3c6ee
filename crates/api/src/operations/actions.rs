//! Actions on mails.

use examhall_store::MailOutcome;

use crate::{
    http::problem::Problem,
    relay::row_of,
    state::{State, now},
};

/// Removes a mail from outbox and queue.
///
/// # Errors
/// 404 where there is none, 409 where a mailer has it.
pub(crate) async fn remove(state: &State, id: &str) -> Result<(), Problem> {
    // Its row first: if this process dies in between, the mail is not taken for lost and queued again.
    let row = row_of(id);
    let is_closed = match row {
        Some(row) => state.store.outbox.close(&[row], MailOutcome::Removed, now()).await? > 0,
        None => false,
    };
    match state.queue.remove(id).await {
        Ok(()) => {}
        // It was in the outbox alone.
        Err(examhall_queue::Error::NotFound(_)) if is_closed => {}
        Err(error) => {
            if let Some(row) = row.filter(|_| is_closed) {
                state.store.outbox.undo_removal(row).await?; // a mailer has it
            }
            return Err(error.into());
        }
    }
    if row.is_some() {
        // Else a relay that has claimed it would queue it, and a reconciler would take it for lost.
        state.ledger.put_removed(id, now().as_millis()).await?;
    }
    Ok(())
}
