//! Follows the journal of changes once a second, which bounds what Redis may forget, and what its messages may miss; and
//! restores the trust in a Redis that was replaced.

use std::time::Duration;

use crate::{Cache, cache::Inner, changes::JournalEntry, journal::ReadPage, redis::Redis, trust::Trust};

/// How often the journal is read.
const POLL: Duration = Duration::from_secs(1);
/// First and longest pause between attempts to verify a Redis that was replaced.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Interval at which a connection that is not there yet is looked for.
const CONNECT_POLL: Duration = Duration::from_millis(500);

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
        if self.0.journal.source.set(source).is_err() {
            return tracing::warn!("the cache follows a journal already");
        }
        // Values read so far may lack changes.
        if let Some(redis) = &self.0.redis {
            redis.distrust();
            self.0.pending.distrust();
        }
    }
}

impl Inner {
    /// Follows the journal, and restores the trust in a Redis that was replaced or has refused writes. Runs forever.
    pub(crate) async fn maintain_trust(&self) {
        let Some(redis) = &self.redis else { return };
        let mut events = redis.commands().link_events();
        while redis.ready().await.is_err() {
            tokio::time::sleep(CONNECT_POLL).await;
        }
        // The first connection is reported too, a little later.
        let _ = tokio::time::timeout(Duration::from_millis(20), events.reconnected()).await;
        let mut pause = FIRST_PAUSE;
        events = redis.commands().link_events();
        loop {
            let round = async {
                self.verify(redis).await;
                let is_trusted = redis.is_trusted();
                pause = if is_trusted { FIRST_PAUSE } else { (pause * 2).min(MAX_PAUSE) };
                tokio::time::sleep(if is_trusted { POLL } else { pause }).await;
            };
            // A loss ends a round at once, however slow the database is: nothing that began before it restores trust.
            tokio::select! {
                biased;
                () = events.interrupted() => {
                    events = redis.commands().link_events();
                    redis.distrust();
                }
                () = self.pending.distrusted() => redis.distrust(),
                () = round => {}
            }
        }
    }

    /// Finds out how far Redis may be trusted.
    async fn verify(&self, redis: &Redis) {
        let losses = redis.losses();
        if redis.trust() == Trust::Lost {
            if !self.repeat_recent(redis).await {
                return;
            }
            redis.settle(losses, Trust::Unverified);
        }
        // While the journal cannot be read nothing can be committed to it: what was trusted stays so.
        if self.catch_up().await {
            redis.settle(losses, Trust::Trusted);
        }
    }

    /// Reads the journal; what it reports is removed from memory, in case a message was missed. Returns whether the journal
    /// has answered.
    async fn catch_up(&self) -> bool {
        let changed = |keys: Vec<String>| {
            metrics::counter!("cache_journal_changes_total").increment(keys.len() as u64);
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
