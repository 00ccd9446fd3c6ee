//! Reads of many keys: one round trip to Redis, one query to the database (batched loading).

use std::{future::Future, sync::Arc};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    Cache, CacheKey, Cached, Fresh, ReadError, Source,
    cache::Inner,
    gather::{Gathered, Undecided},
    keys::KeyNames,
    nested::{self, LoadId},
    permits::Permit,
    request::ReadRequest,
};

type Answer<K> = Result<Option<Fresh<K>>, ReadError>;

impl Cache {
    /// As [`get_or_load`](Self::get_or_load) for many keys; returns values in the order of the keys. `load` receives the
    /// keys that are not cached, and returns the values it finds, in any order. It runs once, unless another load of one
    /// of the keys was given up. Any number of keys takes one round trip to Redis, and without Redis one load.
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
            self.inner.checked_groups(key, &self.inner.name(key))?;
        }
        let load = move |keys| {
            let found = load(keys);
            async move { found.await.map_err(ReadError::loader) }
        };
        let batch = Arc::new(Batch {
            cache: Arc::clone(&self.inner),
            is_nested: nested::running().is_some(),
            load,
            due: Mutex::new(Vec::new()),
            undecided: Undecided::new(keys.len()),
        });
        let reads = keys.iter().zip(Gathered::slots(keys.len())).map(|(key, gathered)| {
            let (slot, key_to_load) = (BatchSlot(Arc::clone(&batch)), key.clone());
            let load = async move { slot.load(key_to_load).await };
            self.get_or(key, move |key: &KeyNames| ReadRequest::of::<K>(key, self.options, load).with(gathered))
        });
        join_all(reads).await.into_iter().collect()
    }
}

/// Keys that are loaded together.
struct Batch<K: CacheKey, L> {
    cache: Arc<Inner>,
    /// Whether a loader waits for it.
    is_nested: bool,
    load: L,
    due: Mutex<Vec<Due<K>>>,
    /// Number of keys of which it is not known yet whether they must be loaded.
    undecided: Undecided,
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
        self.0.undecided.decide_one();
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
        self.undecided.settle().await; // a late key is being loaded elsewhere, or will be the first of the next run
        let due = std::mem::take(&mut *self.due.lock());
        let loads = due.iter().filter_map(|due| due.load.as_deref()).flatten().cloned().collect();
        let keys: Vec<K> = due.iter().map(|due| due.key.clone()).collect();
        let mut found = match self.permit().await {
            Ok(_permit) => nested::run(loads, (self.load)(keys)).await,
            Err(crowded) => Err(crowded),
        };
        for Due { key, answer, .. } in due {
            let loaded = match &mut found {
                Ok(found) => Ok(found.iter().position(|(of, _)| *of == key).map(|at| found.swap_remove(at).1)),
                Err(error) => Err(error.clone()),
            };
            drop(answer.send(loaded)); // the receiver is gone if the load took too long
        }
    }

    /// Waits for one permit for all keys of the call.
    async fn permit(&self) -> Result<Permit, ReadError> {
        if self.is_nested {
            return Ok(Permit::of_many());
        }
        let servers = &self.cache.servers;
        let is_away = !servers.is_none() && !servers.all().iter().any(|redis| redis.is_well());
        self.cache.permits.wait_for_many(is_away).await
    }
}
