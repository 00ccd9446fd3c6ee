//! Many keys at once: one round trip to Redis, one query to the database.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use examhall_core::CacheKey;
use futures_util::future::join_all;
use tokio::sync::{Notify, oneshot};

use crate::{Cache, Cached, Fresh, ReadError, Source, connection::turns, verbs::to_load};

/// How long loads that are due wait for those of which it is not known yet.
const GATHER: Duration = Duration::from_millis(30);

type Answer<K> = Result<Option<Fresh<K>>, ReadError>;

impl Cache {
    /// As [`get_or_load`](Self::get_or_load) for many keys; answers in their order. `load` gets the keys that are not
    /// cached, and gives what it finds of them, in any order. It runs once, unless somebody else who was loading one of
    /// the keys has given up.
    ///
    /// # Errors
    /// As of [`get_or_load`](Self::get_or_load).
    pub async fn get_many_or_load<K, E, F>(
        &self,
        keys: &[K],
        load: impl Fn(Vec<K>) -> F + Send + Sync + 'static,
    ) -> Result<Vec<(Option<Cached<K>>, Source)>, ReadError>
    where
        K: CacheKey + PartialEq,
        E: std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<Vec<(K, Fresh<K>)>, E>> + Send + 'static,
    {
        let load = move |keys| {
            let found = load(keys);
            async move { found.await.map_err(|error| ReadError::Load(Arc::new(error))) }
        };
        let batch = Arc::new(Batch {
            load,
            due: Mutex::new(Vec::new()),
            undecided: AtomicUsize::new(keys.len()),
            decided: Notify::new(),
        });
        let reads = keys.iter().map(|key| {
            let (ticket, key_to_load) = (Ticket(Arc::clone(&batch)), key.clone());
            self.get_or(key, move || to_load(async move { ticket.load(key_to_load).await }))
        });
        join_all(reads).await.into_iter().collect()
    }
}

/// Loads that are done together.
struct Batch<K: CacheKey, L> {
    load: L,
    due: Mutex<Vec<(K, oneshot::Sender<Answer<K>>)>>,
    /// Keys of which it is not known yet whether they must be loaded.
    undecided: AtomicUsize,
    decided: Notify,
}

/// A key's place in a batch: it is dropped unused where the key was cached.
struct Ticket<K: CacheKey, L>(Arc<Batch<K, L>>);

impl<K: CacheKey, L> Drop for Ticket<K, L> {
    fn drop(&mut self) {
        if self.0.undecided.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.decided.notify_one();
        }
    }
}

impl<K, L, F> Ticket<K, L>
where
    K: CacheKey + PartialEq,
    L: Fn(Vec<K>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Vec<(K, Fresh<K>)>, ReadError>> + Send,
{
    async fn load(self, key: K) -> Answer<K> {
        let (sender, answer) = oneshot::channel();
        let batch = Arc::clone(&self.0);
        let is_first = {
            let mut due = batch.due.lock().unwrap_or_else(PoisonError::into_inner);
            due.push((key, sender));
            due.len() == 1
        };
        drop(self); // decided
        if is_first {
            batch.run().await;
        }
        answer.await.unwrap_or_else(|_| Err(ReadError::Load(Arc::new(crate::error::Panicked))))
    }
}

impl<K, L, F> Batch<K, L>
where
    K: CacheKey + PartialEq,
    L: Fn(Vec<K>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Vec<(K, Fresh<K>)>, ReadError>> + Send,
{
    async fn run(&self) {
        if self.undecided.load(Ordering::SeqCst) > 0 {
            // Whoever is late is loading elsewhere, or will be the first of the next run.
            tokio::select! {
                () = self.decided.notified() => {}
                () = turns(GATHER) => {}
            }
        }
        let due = std::mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner));
        let (keys, senders): (Vec<K>, Vec<_>) = due.into_iter().unzip();
        let mut found = (self.load)(keys.clone()).await;
        for (key, sender) in keys.iter().zip(senders) {
            let answer = match &mut found {
                Ok(found) => Ok(found.iter().position(|(of, _)| of == key).map(|at| found.swap_remove(at).1)),
                Err(error) => Err(error.clone()),
            };
            drop(sender.send(answer)); // nobody waits where the load took too long
        }
    }
}
