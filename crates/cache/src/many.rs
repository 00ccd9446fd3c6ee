//! Reads of many keys: one round trip to Redis, one query to the database (batched loading).

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::{
    Cache, CacheKey, Cached, Fresh, ReadError, Source,
    connection::busy_aware_sleep,
    nested::{self, LoadId},
    request::to_load,
};

/// How long due loads wait for keys of which it is not known yet whether they are cached.
const GATHER: Duration = Duration::from_millis(30);

type Answer<K> = Result<Option<Fresh<K>>, ReadError>;

impl Cache {
    /// As [`get_or_load`](Self::get_or_load) for many keys; returns values in the order of the keys. `load` receives the
    /// keys that are not cached, and returns the values it finds, in any order. It runs once, unless another load of one
    /// of the keys was given up.
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn get_many_or_load<K, E, F>(
        &self,
        keys: &[K],
        load: impl Fn(Vec<K>) -> F + Send + Sync + 'static,
    ) -> Result<Vec<(Option<Cached<K>>, Source)>, ReadError>
    where
        K: CacheKey + PartialEq,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: Future<Output = Result<Vec<(K, Fresh<K>)>, E>> + Send + 'static,
    {
        for key in keys {
            self.0.spaces.check_key(&self.0.name(key))?;
        }
        let load = move |keys| {
            let found = load(keys);
            async move { found.await.map_err(ReadError::loader) }
        };
        let batch = Arc::new(Batch {
            load,
            due: Mutex::new(Vec::new()),
            undecided: AtomicUsize::new(keys.len()),
            decided: Notify::new(),
        });
        let reads = keys.iter().map(|key| {
            let (slot, key_to_load) = (BatchSlot(Arc::clone(&batch)), key.clone());
            self.get_or(key, move || to_load(async move { slot.load(key_to_load).await }))
        });
        join_all(reads).await.into_iter().collect()
    }
}

/// Keys that are loaded together.
struct Batch<K: CacheKey, L> {
    load: L,
    due: Mutex<Vec<Due<K>>>,
    /// Number of keys of which it is not known yet whether they must be loaded.
    undecided: AtomicUsize,
    decided: Notify,
}

/// A key that must be loaded.
struct Due<K: CacheKey> {
    key: K,
    /// Its load.
    load: Option<Arc<[LoadId]>>,
    answer: oneshot::Sender<Answer<K>>,
}

/// A key's place in a batch; dropped unused if the key is cached.
struct BatchSlot<K: CacheKey, L>(Arc<Batch<K, L>>);

impl<K: CacheKey, L> Drop for BatchSlot<K, L> {
    fn drop(&mut self) {
        if self.0.undecided.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.decided.notify_one();
        }
    }
}

impl<K, L, F> BatchSlot<K, L>
where
    K: CacheKey + PartialEq,
    L: Fn(Vec<K>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Vec<(K, Fresh<K>)>, ReadError>> + Send,
{
    async fn load(self, key: K) -> Answer<K> {
        let (to_answer, answer) = oneshot::channel();
        let batch = Arc::clone(&self.0);
        let is_first = {
            let mut due = batch.due.lock();
            due.push(Due { key, load: nested::running(), answer: to_answer });
            due.len() == 1
        };
        drop(self); // decided
        if is_first {
            batch.run().await;
        }
        answer.await.unwrap_or_else(|_| Err(ReadError::Panicked))
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
            // A late key is being loaded elsewhere, or will be the first of the next run.
            tokio::select! {
                () = self.decided.notified() => {}
                () = busy_aware_sleep(GATHER) => {}
            }
        }
        let due = std::mem::take(&mut *self.due.lock());
        let loads = due.iter().filter_map(|due| due.load.as_deref()).flatten().cloned().collect();
        let keys: Vec<K> = due.iter().map(|due| due.key.clone()).collect();
        let mut found = nested::run(loads, (self.load)(keys)).await;
        for Due { key, answer, .. } in due {
            let loaded = match &mut found {
                Ok(found) => Ok(found.iter().position(|(of, _)| *of == key).map(|at| found.swap_remove(at).1)),
                Err(error) => Err(error.clone()),
            };
            drop(answer.send(loaded)); // the receiver is gone if the load took too long
        }
    }
}
