//! What this process knows of the journal of changes: a list that is committed with each change (a transactional outbox).

use std::{pin::Pin, sync::OnceLock, time::Duration};

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
    /// Creates an unread one, whose commits are settled from that age on.
    pub(crate) fn new(settling: Duration) -> Self {
        Self { source: OnceLock::new(), changes: RwLock::new(Changes::new(settling)) }
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

    /// Reads what is new, and reports the keys of each page at once: nothing is learned without being reported, even if a
    /// later page does not come. Returns whether the source has answered.
    pub(crate) async fn read(&self, mut changed: impl FnMut(Vec<String>)) -> bool {
        let Some(source) = self.source.get() else { return true };
        let mut after = self.settled();
        loop {
            let page = tokio::time::timeout(TIMEOUT, source(after, PAGE)).await;
            let Ok(Some(page)) = page else { return false };
            let (length, last) = (page.len(), page.last().map(|entry| entry.seq));
            let keys = self.changes.write().learn(page);
            changed(keys);
            match last {
                Some(last) if length >= PAGE => after = last,
                _ => return true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_read_is_reported_even_if_the_rest_does_not_come() {
        let journal = Journal::new(Duration::from_secs(15));
        let entry = |seq: i64| JournalEntry {
            seq,
            commit: uuid::Uuid::from_u128(seq.unsigned_abs().into()),
            keys: vec![format!("exam:{seq}")],
            age: Duration::ZERO,
        };
        let source: ReadPage = Box::new(move |after, limit| {
            let page = (after == 0).then(|| (1..).take(limit).map(entry).collect());
            Box::pin(std::future::ready(page))
        });
        assert!(journal.source.set(source).is_ok());
        let mut reported = Vec::new();
        assert!(!journal.read(|keys| reported.extend(keys)).await, "there is no second page");
        assert_eq!((reported.len(), reported[PAGE - 1].as_str()), (PAGE, "exam:5000"));
        reported.clear();
        assert!(!journal.read(|keys| reported.extend(keys)).await);
        assert!(reported.is_empty(), "each once");
    }
}
