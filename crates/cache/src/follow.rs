//! Follows the journal of changes once a second, which bounds what Redis may forget, and what its messages may miss; and
//! restores the trust in a Redis that was replaced.

use std::time::Duration;

use futures_util::future::join_all;

use crate::{Cache, Event, cache::Inner, changes::JournalEntry, journal::ReadPage, trust::Trust};

/// First and longest pause between attempts to verify a Redis that was replaced.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);

impl Cache {
    /// Follows a journal of the changes that any process commits: `read` returns up to that many entries with numbers above
    /// the given one, in order, whether or not the cache was notified of them; `None` if that is unknown for the moment.
    /// It must reach back as far as the longest life of a value. Only the first call counts.
    ///
    /// It is read once a second, and whenever Redis was replaced, before Redis is read again. With it no value is served
    /// that lacks a change, for longer than that second, even if Redis has gone back to an earlier state, or if this
    /// process and a writer are connected to two different masters.
    pub fn follow<F>(&self, read: impl Fn(i64, usize) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Option<Vec<JournalEntry>>> + Send + 'static,
    {
        let source: ReadPage = Box::new(move |after, limit| Box::pin(read(after, limit)));
        if self.inner.journal.source.set(source).is_err() {
            return tracing::warn!("the cache follows a journal already");
        }
        // Values read so far may lack changes.
        for redis in self.inner.servers.all() {
            redis.distrust();
        }
    }
}

impl Inner {
    /// Follows the journal, and restores the trust in servers that were replaced or have refused writes. Runs forever.
    pub(crate) async fn maintain_trust(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let round = async {
                self.verify().await;
                let is_trusted = self.servers.are_trusted();
                pause = if is_trusted { FIRST_PAUSE } else { (pause * 2).min(MAX_PAUSE) };
                tokio::time::sleep(if is_trusted { self.settings.journal_interval } else { pause }).await;
            };
            // A loss ends a round at once, however slow the database is: nothing that began before it restores trust.
            tokio::select! {
                biased;
                () = self.servers.health.changed() => {}
                () = round => {}
            }
        }
    }

    /// Finds out how far each server may be trusted.
    async fn verify(&self) {
        let servers = self.servers.all();
        let taken = join_all(servers.iter().map(async |redis| {
            let losses = redis.losses();
            if redis.trust() == Trust::Lost {
                if !self.repeat_recent(redis).await {
                    return None;
                }
                redis.settle(losses, Trust::Unverified);
            }
            Some((redis, losses))
        }));
        let taken: Vec<_> = taken.await.into_iter().flatten().collect();
        // While the journal cannot be read nothing can be committed to it: what was trusted stays so.
        if !taken.is_empty() && self.catch_up().await {
            for (redis, losses) in taken {
                redis.settle(losses, Trust::Trusted);
            }
        }
    }

    /// Reads the journal; what it reports is removed from memory, in case a message was missed. Returns whether the journal
    /// has answered.
    async fn catch_up(&self) -> bool {
        let changed = |keys: Vec<String>| {
            metrics::counter!("cache_journal_changes_total").increment(keys.len() as u64);
            if !keys.is_empty() {
                self.events.send(|| Event::ChangesRead { keys: keys.as_slice().into() });
            }
            for key in keys {
                self.drop_local(&self.with_prefix(&key));
            }
        };
        let is_read = self.journal.read(changed).await;
        if !is_read {
            tracing::debug!("the journal does not answer");
        }
        is_read
    }
}
