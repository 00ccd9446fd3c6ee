//! Finds out what became of mails that were queued, and queues those again that Redis has lost.

use std::{sync::Arc, time::Duration};

use examhall_core::EmailJob;
use examhall_queue::{Event, Position, State as JobState};
use examhall_store::{MailOutcome, Page};
use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    relay::{job_of, known, row_of},
    state::{State, now},
};

/// How often it is looked what waits.
const ROUND: Duration = Duration::from_secs(1);
/// After how many rounds it looks: what Redis loses is queued again within [`AGE`] and 20 s, and delivered within 90 s.
const LOOK: u64 = 20;
/// How long a mail has been queued before it is asked after.
const AGE: Duration = Duration::from_mins(1);
/// Mails asked after at a time.
const CHUNK: u64 = 200;
/// How long what became of a mail is kept; a request with the same `Idempotency-Key` finds it until then. A failed one is
/// kept as long as its job, [`EmailJob::KEEP_FAILED`].
const KEEP: Duration = Duration::from_hours(24);

/// How long outcomes are gathered before they are noted together.
const GATHER: Duration = Duration::from_millis(200);

/// Records outcomes of mails from the queue's events, until `stop`. The reconciler finds what is missed.
pub(crate) async fn listen(state: Arc<State>, stop: CancellationToken) {
    let listening = async {
        let mut events = loop {
            match state.queue.events(Position::Now).await {
                Ok(events) => break events,
                Err(error) => tracing::debug!(%error, "Events cannot be read yet"),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        loop {
            let mut ended = vec![events.next().await.1];
            let until = tokio::time::Instant::now() + GATHER;
            while let Ok((_, event)) = tokio::time::timeout_at(until, events.next()).await {
                ended.push(event);
            }
            state.changes.send_modify(|count| *count = count.wrapping_add(1));
            if let Err(error) = note(&state, &ended).await {
                tracing::warn!(%error, "What became of mails is found out later");
            }
        }
    };
    stop.run_until_cancelled(listening).await;
}

async fn note(state: &State, events: &[Event]) -> Result<(), examhall_store::Error> {
    for outcome in [MailOutcome::Sent, MailOutcome::Failed, MailOutcome::Removed] {
        let ids = events.iter().filter_map(|event| match (event, outcome) {
            (Event::Completed { id, .. }, MailOutcome::Sent)
            | (Event::Failed { id, .. }, MailOutcome::Failed)
            | (Event::Removed { id }, MailOutcome::Removed) => row_of(id),
            _ => None,
        });
        let ids: Vec<Uuid> = ids.collect();
        for ids in ids.chunks(500) {
            state.store.outbox.close(ids, outcome, now()).await?;
        }
    }
    // After the failures: those that failed and were retried at once.
    let retried = events.iter().filter_map(|event| match event {
        Event::Waiting { id, prev: Some(prev) } if prev == "failed" => row_of(id),
        _ => None,
    });
    let retried: Vec<Uuid> = retried.collect();
    for ids in retried.chunks(500) {
        state.store.outbox.mark_retried(ids, now()).await?;
    }
    Ok(())
}

/// Goes through the open mails again and again, until `stop`.
pub(crate) async fn run(state: Arc<State>, stop: CancellationToken) {
    let mut rounds: u64 = 0;
    while stop.run_until_cancelled(tokio::time::sleep(ROUND)).await.is_some() {
        rounds += 1;
        if let Err(error) = count(&state).await {
            tracing::debug!(%error, "what waits is looked at later");
        }
        if !rounds.is_multiple_of(LOOK) {
            continue;
        }
        if let Err(error) = reconcile(&state, AGE).await {
            tracing::warn!(%error, "Open mails are asked after later");
        }
        if let Err(error) = prune(&state).await {
            tracing::warn!(%error, "Old rows are deleted later");
        }
    }
}

/// Asks the queue after every mail that was queued more than `age` ago.
pub(crate) async fn reconcile(state: &State, age: Duration) -> anyhow::Result<()> {
    let young = now().minus(age)..now();
    let mut page = Page { limit: CHUNK, after: None };
    loop {
        let open = state.store.outbox.open(page, young.clone()).await?;
        // An answer that does not come stops the round: whether the queue has lost a job must be known.
        let fates = fates(state, &open.items).await?;
        let of = |wanted: Fate| -> Vec<Uuid> {
            let both = open.items.iter().zip(&fates);
            both.filter(|(_, fate)| **fate == wanted).map(|(id, _)| *id).collect()
        };
        for (fate, outcome) in [(Fate::Sent, MailOutcome::Sent), (Fate::Failed, MailOutcome::Failed)] {
            state.store.outbox.close(&of(fate), outcome, now()).await?;
        }
        let lost = of(Fate::Lost);
        if !lost.is_empty() {
            for id in &lost {
                tracing::info!(job_id = job_of(*id), "Mail queued again");
            }
            // What is left of them would block their ids.
            state.queue.remove_orphaned(&lost.iter().map(|id| job_of(*id)).collect::<Vec<_>>()).await?;
            state.store.outbox.reopen(&lost).await?;
            metrics::counter!("mail_outbox_requeued_total").increment(lost.len() as u64);
            tracing::warn!(mails = lost.len(), "Redis has lost mails: they are queued again");
            state.wake.notify_one();
        }
        page.after = open.next;
        if page.after.is_none() {
            return Ok(());
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is in the queue.
    Open,
    Sent,
    Failed,
    /// It is not in the queue, and did not end there as far as anybody knows.
    Lost,
}

/// Asks the queue first: who ends a job writes into the ledger before.
async fn fates(state: &State, ids: &[Uuid]) -> anyhow::Result<Vec<Fate>> {
    let jobs: Vec<String> = ids.iter().map(|id| job_of(*id)).collect();
    let states = state.queue.states(&jobs).await?;
    try_join_all(ids.iter().zip(states).map(async |(id, job)| {
        Ok(match job {
            Some(JobState::Completed) => Fate::Sent,
            Some(JobState::Failed) => Fate::Failed,
            Some(_) => Fate::Open,
            None => match known(state, *id).await? {
                Some(MailOutcome::Sent) => Fate::Sent,
                Some(MailOutcome::Failed | MailOutcome::Removed) => Fate::Failed,
                None => Fate::Lost,
            },
        })
    }))
    .await
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 mails, or waits that long")]
async fn count(state: &State) -> Result<(), examhall_store::Error> {
    let waiting = state.store.outbox.backlog().await?;
    let age = waiting.oldest.map_or(0, |oldest| now().as_millis() - oldest.as_millis()).max(0); // a clock was set back
    metrics::gauge!("mail_outbox_waiting").set(waiting.mails as f64);
    metrics::gauge!("mailer_outbox_oldest_seconds").set(age as f64 / 1000.0);
    Ok(())
}

async fn prune(state: &State) -> Result<(), examhall_store::Error> {
    state.store.outbox.prune(now().minus(KEEP), now().minus(EmailJob::KEEP_FAILED)).await?;
    Ok(())
}
