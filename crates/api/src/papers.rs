//! Answer keys in memory, ready to grade: at the end of an exam thousands submit the same paper.

use std::{collections::HashSet, sync::Arc, time::Duration};

use examhall_core::ExamId;
use examhall_store::{Error, PreparedPaper, Store};
use moka::sync::Cache;
use tokio::sync::Mutex;

/// Papers kept at once.
const CAPACITY: u64 = 200;
/// How long one is kept. Grading asks for a version and is never wrong; what else reads a paper may be this old.
const LIFE: Duration = Duration::from_mins(1);

/// Answer keys in memory, one version for each exam.
pub(crate) struct Papers {
    kept: Cache<ExamId, Arc<PreparedPaper>>,
    /// One load at a time of each exam (single flight): callers that wait find what the one before has loaded.
    loading: Cache<ExamId, Arc<Mutex<()>>>,
}

impl Papers {
    pub(crate) fn new() -> Self {
        let kept = Cache::builder().max_capacity(CAPACITY).time_to_live(LIFE).build();
        Self { kept, loading: Cache::builder().max_capacity(CAPACITY).time_to_idle(LIFE).build() }
    }

    /// The paper of an exam at this version, if it is in memory.
    pub(crate) fn at(&self, exam: ExamId, version: i64) -> Option<Arc<PreparedPaper>> {
        self.kept.get(&exam).filter(|paper| paper.version == version)
    }

    /// The paper of an exam, in memory or loaded, at `version` or a later one; at any that is kept where that is absent.
    pub(crate) async fn load(
        &self,
        store: &Store,
        exam: ExamId,
        version: Option<i64>,
    ) -> Result<Arc<PreparedPaper>, Error> {
        let kept = || self.kept.get(&exam).filter(|paper| version.is_none_or(|version| version <= paper.version));
        if let Some(paper) = kept() {
            return Ok(paper);
        }
        let loading = self.loading.get_with(exam, Arc::default);
        let _turn = loading.lock().await;
        if let Some(paper) = kept() {
            return Ok(paper);
        }
        let paper = Arc::new(PreparedPaper::from(store.questions.paper(exam).await?));
        metrics::counter!("papers_loaded_total").increment(1);
        self.kept.insert(exam, Arc::clone(&paper));
        Ok(paper)
    }

    /// Loads the papers that are missing; returns whether there were any, and what kept the others from being loaded.
    pub(crate) async fn load_all(&self, store: &Store, missing: HashSet<(ExamId, i64)>) -> (bool, Option<Error>) {
        let (mut any, mut failed) = (false, None);
        for (exam, version) in missing {
            match self.load(store, exam, Some(version)).await {
                Ok(_) => any = true,
                Err(error) => failed = Some(error),
            }
        }
        (any, failed)
    }
}
