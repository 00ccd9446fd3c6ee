//! What the cache must forget after a change. A key that is missing here is served old until its life ends.

use examhall_core::{CacheKey, ExamId, ExamKey, ProfileKey, QuestionId, QuestionKey, QuestionSheetKey, UserId};

use crate::state::State;

/// After a change of an exam.
pub(crate) async fn exam(state: &State, id: ExamId) {
    forget(state, &ExamKey(id)).await;
    forget(state, &QuestionSheetKey(id)).await;
}

/// After a change of an exam's questions: the exam's version has changed too.
pub(crate) async fn questions(state: &State, id: ExamId, touched: &[QuestionId]) {
    exam(state, id).await;
    for question in touched {
        forget(state, &QuestionKey(*question)).await;
    }
}

/// After a change of an account.
pub(crate) async fn profile(state: &State, id: UserId) {
    forget(state, &ProfileKey(id)).await;
}

async fn forget<K: CacheKey>(state: &State, key: &K) {
    if let Err(error) = state.cache.delete(key).await {
        metrics::counter!("cache_invalidations_total", "result" => "failed").increment(1);
        tracing::error!(key = key.redis_key(), %error, "Cache not invalidated");
    }
}
