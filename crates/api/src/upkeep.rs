//! Keeps the cache true and warm: reports every commit to it, also those whose process died before it could, and
//! of exams that are about to open.

use std::{sync::Arc, time::Duration};

use examhall_cache::{Cache, JournalEntry};
use examhall_core::{ExamAccess, ExamId, Timestamp};
use examhall_store::{CommitHook, CommitOutcome, Error, JournalRow, Store};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    auth::revocations::REVOCATION_LIFE,
    cache_keys::{ExamKey, QuestionSheetKey},
    loaders::{load_exam, load_sheet},
    state::{State, now},
};

/// How often it looks after what others left undone, and from what age on it is left undone.
const ROUND: Duration = Duration::from_secs(1);
/// How long processed commits are kept: longer than any value is cached, for a Redis that goes back to an earlier state.
const REMEMBERED: Duration = Duration::from_hours(25);
/// Commits taken to the cache at a time.
const BATCH: u64 = 100;
/// How often it looks for exams that are about to open.
const WARM_ROUND: Duration = Duration::from_secs(5);
/// How often old commits, expired tokens and sessions are deleted.
const PRUNE_ROUND: Duration = Duration::from_hours(1);
/// Exams that open in one moment are loaded over this time.
const SPREAD: Duration = Duration::from_secs(20);
/// Exams loaded at a time.
const WARMED_AT_ONCE: usize = 4;

/// Reports commits to the cache.
struct Listener {
    store: Store,
    cache: Cache,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the cache")
    }
}

#[async_trait::async_trait]
impl CommitHook for Listener {
    async fn before(&self, commit: Uuid, keys: &[String]) {
        self.cache.before_commit(commit, keys).await;
    }

    async fn after(&self, commit: Uuid, keys: &[String], outcome: CommitOutcome) -> bool {
        let delivered = match outcome {
            CommitOutcome::Committed => self.cache.after_commit(commit, keys).await,
            CommitOutcome::Unknown => self.cache.after_unknown_commit(keys).await,
        };
        if delivered {
            warm_again(&self.store, &self.cache, keys);
        }
        delivered
    }
}

/// Makes store and cache know of each other.
pub(crate) fn introduce(store: &Store, cache: &Cache) {
    store.on_commit(Arc::new(Listener { store: store.clone(), cache: cache.clone() }));
    let store = store.clone();
    cache.follow(move |after, limit| {
        let store = store.clone();
        async move {
            let rows = store.invalidations.since(after, limit as u64).await.ok()?;
            Some(rows.into_iter().map(to_entry).collect())
        }
    });
}

fn to_entry(row: JournalRow) -> JournalEntry {
    JournalEntry { seq: row.seq, commit: row.commit, keys: row.keys, age: row.age }
}

/// Looks after what others left undone, until `stop`.
pub(crate) async fn run(state: Arc<State>, stop: CancellationToken) {
    let taking_over = every(ROUND, &stop, || take_over(&state));
    let warming = every(WARM_ROUND, &stop, || warm_opening(&state));
    let pruning = every(PRUNE_ROUND, &stop, || state.store.invalidations.prune(REMEMBERED, now()));
    let pruning_accounts = every(PRUNE_ROUND, &stop, || prune_accounts(&state));
    tokio::join!(taking_over, warming, pruning, pruning_accounts);
}

async fn every<F>(pause: Duration, stop: &CancellationToken, work: impl Fn() -> F)
where
    F: Future<Output = Result<(), Error>>,
{
    loop {
        if let Err(error) = work().await {
            tracing::debug!(%error, "the cache is not looked after for now");
        }
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Deletes what accounts do not need any more. Several processes may do it at once.
async fn prune_accounts(state: &State) -> Result<(), Error> {
    let deleted = state.store.accounts.prune(now()).await?;
    tracing::debug!(deleted, "expired tokens and sessions are deleted");
    state.store.accounts.prune_unverified(now()).await?;
    state.store.prune_revocations(REVOCATION_LIFE * 2).await?;
    Ok(())
}

/// Reports commits that the cache has not processed.
async fn take_over(state: &State) -> Result<(), Error> {
    let overdue = state.store.invalidations.overdue(ROUND, BATCH, now()).await?;
    let mut delivered = Vec::new();
    for invalidation in overdue {
        if state.cache.replay(invalidation.commit, &invalidation.keys).await {
            warm_again(&state.store, &state.cache, &invalidation.keys);
            delivered.push(invalidation.commit);
        }
    }
    if delivered.is_empty() {
        return Ok(());
    }
    tracing::info!(commits = delivered.len(), "Commits taken to the cache");
    state.store.invalidations.mark_cleared(&delivered, now()).await
}

/// Loads exams that open within the next minute, not all in one moment.
async fn warm_opening(state: &State) -> Result<(), Error> {
    let now = now();
    let mut opening = state.store.exams.opening_within(ExamAccess::WARM_BEFORE, now).await?;
    opening.retain(|(exam, opens_at)| warms_at(*exam, *opens_at) <= now);
    for some in opening.chunks(WARMED_AT_ONCE) {
        join_all(some.iter().map(|(exam, _)| warm(state.store.clone(), state.cache.clone(), *exam))).await;
    }
    Ok(())
}

/// When an exam that opens at `opens_at` is loaded.
pub(crate) fn warms_at(exam: ExamId, opens_at: Timestamp) -> Timestamp {
    opens_at.minus(ExamAccess::WARM_BEFORE).plus(spread(exam))
}

/// An exam's own part of [`SPREAD`], the same in every process.
fn spread(exam: ExamId) -> Duration {
    let part = exam.0.as_u128() % SPREAD.as_millis();
    Duration::from_millis(u64::try_from(part).unwrap_or(0))
}

/// Loads what a commit has removed of exams that are open, or about to, before thousands ask for it at once.
fn warm_again(store: &Store, cache: &Cache, keys: &[String]) {
    let exams = keys.iter().filter_map(|key| Some(ExamId(key.strip_prefix("exam:")?.parse().ok()?)));
    for exam in exams {
        tokio::spawn(warm(store.clone(), cache.clone(), exam));
    }
}

/// Loads an exam and its sheet, if they are to stay in the cache and do not.
pub(crate) async fn warm(store: Store, cache: Cache, exam: ExamId) {
    let Ok(found) = store.exams.get(exam).await else { return }; // gone; or tried again, as long as it has not opened
    let Some(pin) = found.value.access().pinned_for(now()) else { return };
    let lasting = pin.saturating_sub(ExamAccess::PINNED_AFTER);
    let (for_exam, for_sheet) = (store.clone(), store);
    let (exam_key, sheet_key) = (ExamKey(exam), QuestionSheetKey(exam));
    let (one, other) = tokio::join!(
        cache.warm(&exam_key, lasting, move || load_exam(for_exam, exam)),
        cache.warm(&sheet_key, lasting, move || load_sheet(for_sheet, exam)),
    );
    if one == Ok(true) || other == Ok(true) {
        tracing::info!(exam_id = %exam, "Exam warmed");
    }
}
