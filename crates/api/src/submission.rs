//! Handing attempts in: by the student, or by the sweeper once their time is over.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use examhall_core::{Attempt, AttemptId, ExamId, ExamResult};
use examhall_store::{Error, Paper};
use tokio_util::sync::CancellationToken;

use crate::{
    mail::{Letter, ResultNews},
    state::{State, now},
};

/// How often attempts are looked for whose time is over.
const POLL: Duration = Duration::from_secs(1);
/// Attempts handed in at a time.
const BATCH: u64 = 100;

/// Hands an attempt in, once: gives its result, and queues the mail that tells it.
pub(crate) async fn submit(state: &State, attempt: &Attempt) -> Result<ExamResult, Error> {
    let paper = state.store.questions.paper(attempt.exam_id).await?.value;
    submit_with(state, attempt, &paper).await
}

async fn submit_with(state: &State, attempt: &Attempt, paper: &Paper) -> Result<ExamResult, Error> {
    let at = now();
    let result = state.store.attempts.submit(attempt.id, paper, at, |submission| {
        let news = ResultNews::new(&submission.name, &paper.exam.title, &submission.result);
        state.mailroom.envelope(submission.email.clone(), &Letter::Result(news), at)
    });
    let result = result.await?;
    state.nudge.notify_one();
    Ok(result)
}

/// Hands in what students left open, until `stop`. Several processes may do it at once: an attempt is graded once.
pub(crate) async fn sweep(state: Arc<State>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = sweep_all(&state, &stop).await {
            tracing::warn!(%error, "Attempts stay open for now");
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// One that cannot be handed in holds up no other: only a database that is away ends the round.
async fn sweep_all(state: &State, stop: &CancellationToken) -> Result<(), Error> {
    let mut stuck = Stuck::default();
    while !stop.is_cancelled() {
        let overdue = state.store.attempts.overdue(stuck.count, BATCH, now()).await?;
        sweep_batch(state, &overdue, &mut stuck).await?;
        if (overdue.len() as u64) < BATCH {
            break;
        }
    }
    if let Some((attempt, error)) = stuck.first {
        tracing::error!(attempts = stuck.count, attempt_id = %attempt, %error, "Attempts cannot be handed in");
    }
    Ok(())
}

/// Attempts that cannot be handed in, and why the first of them cannot.
#[derive(Default)]
struct Stuck {
    count: u64,
    first: Option<(AttemptId, Error)>,
}

async fn sweep_batch(state: &State, overdue: &[Attempt], stuck: &mut Stuck) -> Result<(), Error> {
    let mut papers: HashMap<ExamId, Paper> = HashMap::new(); // an exam's attempts tend to end together
    for attempt in overdue {
        match hand_in(state, attempt, &mut papers).await {
            Ok(()) => tracing::info!(attempt_id = %attempt.id, "Attempt handed in at its deadline"),
            Err(error @ (Error::Unavailable(_) | Error::ReadOnly)) => return Err(error),
            Err(error) => {
                stuck.count += 1;
                stuck.first.get_or_insert((attempt.id, error));
            }
        }
    }
    Ok(())
}

async fn hand_in(state: &State, attempt: &Attempt, papers: &mut HashMap<ExamId, Paper>) -> Result<(), Error> {
    let paper = match papers.entry(attempt.exam_id) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(state.store.questions.paper(attempt.exam_id).await?.value),
    };
    submit_with(state, attempt, paper).await?;
    Ok(())
}
