//! A change that two processes read before and after: `cargo run --example change -- redis://127.0.0.1:6379`
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{convert::Infallible, error::Error, sync::Arc};

use examhall_cache::{Cache, Fresh};
use examhall_core::{CacheKey, KEY_SPACES, Profile, ProfileKey, Role, UserId};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use uuid::Uuid;

/// A table with one row, version and name; a change is atomic.
#[derive(Clone)]
struct Table(Arc<Mutex<(i64, String)>>);

impl Table {
    fn read(&self, key: ProfileKey) -> Fresh<ProfileKey> {
        let (version, name) = self.0.lock().clone();
        Fresh { version, head: (), value: Profile { id: key.0, name, role: Role::Student }, pin: None }
    }

    fn commit(&self, name: &str) {
        let mut row = self.0.lock();
        *row = (row.0 + 1, name.to_owned());
    }
}

/// Changes the row, and removes its old value from all caches.
async fn rename(cache: &Cache, table: &Table, key: ProfileKey, name: &str) {
    let (commit, keys) = (Uuid::new_v4(), [key.redis_key()]);
    // Within the transaction, alongside the change, goes a row that names the commit and its keys: the cache outbox.
    cache.before_commit(commit, &keys).await;
    table.commit(name);
    if cache.after_commit(commit, &keys).await {
        // No process that Redis reaches has the old value any more: the row of the outbox may be deleted.
    }
}

async fn name(cache: &Cache, table: &Table, key: ProfileKey) -> Result<String, Box<dyn Error>> {
    let table = table.clone();
    let load = move || async move { Ok::<_, Infallible>(Some(table.read(key))) };
    let (profile, source) = cache.get_or_load(&key, load).await?;
    Ok(format!("{} ({source:?})", profile.ok_or("nobody")?.value()?.name))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let (one, other) = (
        Cache::builder(KEY_SPACES).prefix("example-").open(&url)?,
        Cache::builder(KEY_SPACES).prefix("example-").open(&url)?,
    ); // as in two processes
    one.ready().await?;
    other.ready().await?;
    let table = Table(Arc::new(Mutex::new((1, "Ada".to_owned()))));
    let key = ProfileKey(UserId("018f4e3a-0000-7000-8000-000000000002".parse()?));
    one.delete(&key).await?; // what an earlier run has left

    // A reader of the other process has read the row, and is slow to store it.
    let ((has_read, was_read), (go_on, goes_on)) = (oneshot::channel(), oneshot::channel::<()>());
    let slow = tokio::spawn({
        let (other, table) = (other.clone(), table.clone());
        async move {
            let load = move || async move {
                let old = table.read(key);
                let _ = has_read.send(());
                let _ = goes_on.await;
                Ok::<_, Infallible>(Some(old))
            };
            other.get_or_load(&key, load).await
        }
    });
    was_read.await?;
    rename(&one, &table, key, "Grace").await;
    let _ = go_on.send(());
    let (old, _) = slow.await??;
    println!("asked before the change: {}", old.ok_or("nobody")?.value()?.name);
    println!("the same process afterwards: {}", name(&other, &table, key).await?);
    println!("the one that changed it: {}", name(&one, &table, key).await?);

    // A process that dies between the commit and `after_commit` leaves its row in the outbox. Another one finds it.
    one.before_commit(Uuid::new_v4(), &[key.redis_key()]).await;
    table.commit("Joan");
    other.replay(&[key.redis_key()]).await;
    println!("after a death: {}", name(&other, &table, key).await?);
    Ok(())
}
