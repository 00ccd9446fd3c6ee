//! A change that two processes read before and after: `cargo run --example change -- redis://127.0.0.1:6379`
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{convert::Infallible, error::Error, sync::Arc};

use examhall_cache::{Cache, CacheKey, Fresh, Life};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

#[derive(Serialize, Deserialize)]
struct Customer {
    name: String,
}

/// `customer:{id}`.
#[derive(Clone, Copy)]
struct CustomerKey(u64);

impl CacheKey for CustomerKey {
    type Value = Customer;
    type Head = ();
    const LIFE: Life = Life::hours(1);

    fn redis_key(&self) -> String {
        format!("customer:{}", self.0)
    }
}

/// A table with one row, version and name; a change is atomic.
#[derive(Clone)]
struct Table(Arc<Mutex<(i64, String)>>);

impl Table {
    fn read(&self) -> Fresh<CustomerKey> {
        let (version, name) = self.0.lock().clone();
        Fresh::new(version, (), Customer { name })
    }

    fn commit(&self, name: &str) {
        let mut row = self.0.lock();
        *row = (row.0 + 1, name.to_owned());
    }
}

/// Changes the row, and removes its old value from all caches.
async fn rename(cache: &Cache, table: &Table, key: CustomerKey, name: &str) -> Result<(), examhall_cache::Error> {
    // Within the transaction, alongside the change, goes a row with the keys: the cache outbox.
    let invalidation = cache.invalidation(&[key]).await?;
    table.commit(name);
    if invalidation.committed().await {
        // No process that Redis reaches has the old value any more: the row of the outbox may be deleted.
    }
    Ok(())
}

async fn name(cache: &Cache, table: &Table, key: CustomerKey) -> Result<String, Box<dyn Error>> {
    let table = table.clone();
    let load = move || async move { Ok::<_, Infallible>(Some(table.read())) };
    let (customer, source) = cache.get_or_load(&key, load).await?;
    Ok(format!("{} ({source:?})", customer.ok_or("nobody")?.value()?.name))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let (one, other) = (
        Cache::builder(["customer:"]).prefix("example-").open(&url)?,
        Cache::builder(["customer:"]).prefix("example-").open(&url)?,
    ); // as in two processes
    one.ready().await?;
    other.ready().await?;
    let table = Table(Arc::new(Mutex::new((1, "Ada".to_owned()))));
    let key = CustomerKey(7);
    one.delete(&key).await?; // what an earlier run has left

    // A reader of the other process has read the row, and is slow to store it.
    let ((has_read, was_read), (go_on, goes_on)) = (oneshot::channel(), oneshot::channel::<()>());
    let slow = tokio::spawn({
        let (other, table) = (other.clone(), table.clone());
        async move {
            let load = move || async move {
                let old = table.read();
                let _ = has_read.send(());
                let _ = goes_on.await;
                Ok::<_, Infallible>(Some(old))
            };
            other.get_or_load(&key, load).await
        }
    });
    was_read.await?;
    rename(&one, &table, key, "Grace").await?;
    let _ = go_on.send(());
    let (old, _) = slow.await??;
    println!("asked before the change: {}", old.ok_or("nobody")?.value()?.name);
    println!("the same process afterwards: {}", name(&other, &table, key).await?);
    println!("the one that changed it: {}", name(&one, &table, key).await?);

    // A process that dies between the commit and `committed` leaves its row in the outbox. Another one finds it.
    let invalidation = one.invalidation(&[key]).await?;
    let commit = invalidation.commit();
    std::mem::forget(invalidation);
    table.commit("Joan");
    other.replay(commit, &[key.redis_key()]).await;
    println!("after a death: {}", name(&other, &table, key).await?);
    Ok(())
}
