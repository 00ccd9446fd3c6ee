//! What keeps the cache true and warm: it hears of every commit, of those whose process died before it could say so, and
//! of exams that are about to open.

use std::{sync::Arc, time::Duration};

use examhall_cache::Cache;
use examhall_core::{ExamAccess, ExamKey, QuestionSheetKey};
use examhall_store::{CommitHook, Store};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    loaders::{load_exam, load_sheet},
    state::{State, now},
};

/// How often it looks after what others left undone, and from what age on it is left undone.
const ROUND: Duration = Duration::from_secs(1);
/// How long commits are remembered of which the cache has heard: for a Redis that was replaced by an older copy.
const REMEMBERED: Duration = Duration::from_mins(1);
/// Commits taken to the cache at a time.
const BATCH: u64 = 100;

/// Tells the cache of commits.
#[derive(Clone)]
struct Listener(Cache);

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the cache")
    }
}

#[async_trait::async_trait]
impl CommitHook for Listener {
    async fn before(&self, commit: Uuid, keys: &[String]) {
        self.0.before_commit(commit, keys).await;
    }

    async fn after(&self, commit: Uuid, keys: &[String]) -> bool {
        self.0.after_commit(commit, keys).await
    }
}

/// Makes store and cache know of each other.
pub(crate) fn introduce(store: &Store, cache: &Cache) {
    store.on_commit(Arc::new(Listener(cache.clone())));
    let store = store.clone();
    cache.ask_for_recent_keys(move || {
        let store = store.clone();
        async move { store.invalidations.recent_keys(REMEMBERED, now()).await.ok() }
    });
}

/// Looks after what others left undone, until `stop`.
pub(crate) async fn run(state: Arc<State>, stop: CancellationToken) {
    let mut rounds: u64 = 0;
    while stop.run_until_cancelled(tokio::time::sleep(ROUND)).await.is_some() {
        let done = async {
            take_over(&state).await?;
            if rounds.is_multiple_of(10) {
                warm_opening(&state).await?;
            }
            if rounds.is_multiple_of(60) {
                state.store.invalidations.prune(REMEMBERED * 2, now()).await?;
            }
            Ok::<_, examhall_store::Error>(())
        };
        if let Err(error) = done.await {
            tracing::debug!(%error, "the cache is not looked after for now");
        }
        rounds += 1;
    }
}

/// Takes commits to the cache of which it has not heard.
async fn take_over(state: &State) -> Result<(), examhall_store::Error> {
    let overdue = state.store.invalidations.overdue(ROUND, BATCH, now()).await?;
    let mut heard = Vec::new();
    for invalidation in overdue {
        if state.cache.replay(&invalidation.keys).await {
            heard.push(invalidation.commit);
        }
    }
    if heard.is_empty() {
        return Ok(());
    }
    tracing::info!(commits = heard.len(), "Commits taken to the cache");
    state.store.invalidations.mark_cleared(&heard, now()).await
}

/// Loads exams that open within the next minute.
async fn warm_opening(state: &State) -> Result<(), examhall_store::Error> {
    for (exam, opens_at) in state.store.exams.opening_within(ExamAccess::WARM_BEFORE, now()).await? {
        let (store, cache) = (state.store.clone(), state.cache.clone());
        tokio::spawn(async move {
            let (for_exam, for_sheet) = (store.clone(), store);
            let (exam_key, sheet_key) = (ExamKey(exam), QuestionSheetKey(exam));
            let (one, other) = tokio::join!(
                cache.warm(&exam_key, opens_at.as_millis(), move || load_exam(for_exam, exam)),
                cache.warm(&sheet_key, opens_at.as_millis(), move || load_sheet(for_sheet, exam)),
            );
            if one || other {
                tracing::info!(exam_id = %exam, %opens_at, "Exam warmed");
            }
        });
    }
    Ok(())
}
