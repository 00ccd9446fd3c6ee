//! What this process knows of the journal of changes: a list that is committed with each change (a transactional outbox).

use std::{collections::BTreeSet, pin::Pin, sync::OnceLock, time::Duration};

use parking_lot::RwLock;

use crate::changes::{Changes, Includes, JournalEntry};

/// Time limit of one page.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Entries read at a time.
const PAGE: usize = 5_000;

type Page = Pin<Box<dyn Future<Output = Option<Vec<JournalEntry>>> + Send>>;
pub(crate) type ReadPage = Box<dyn Fn(i64, usize) -> Page + Send + Sync>;

/// The journal as this process knows it.
pub(crate) struct Journal {
    pub(crate) source: OnceLock<ReadPage>,
    changes: RwLock<Changes>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { source: OnceLock::new(), changes: RwLock::new(Changes::new()) }
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.source.get().is_some()
    }

    /// Returns what a load that begins from now on includes at least.
    pub(crate) fn settled(&self) -> i64 {
        self.changes.read().settled()
    }

    /// Returns whether a value includes all changes that are known of its key, which has no prefix.
    pub(crate) fn is_in(&self, includes: &Includes, key: &str) -> bool {
        self.changes.read().are_in(includes, key)
    }

    /// Reads what is new; returns its keys, or `None` if the source does not answer.
    pub(crate) async fn read(&self) -> Option<BTreeSet<String>> {
        let Some(source) = self.source.get() else { return Some(BTreeSet::new()) };
        let (mut after, mut changed) = (self.settled(), BTreeSet::new());
        loop {
            let page = tokio::time::timeout(TIMEOUT, source(after, PAGE)).await.ok().flatten()?;
            let (length, last) = (page.len(), page.last().map(|entry| entry.seq));
            changed.extend(self.changes.write().learn(page));
            match last {
                Some(last) if length >= PAGE => after = last,
                _ => return Some(changed),
            }
        }
    }
}
