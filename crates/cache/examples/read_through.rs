//! A thousand read through the cache at once: `cargo run --example read_through -- redis://127.0.0.1:6379`
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{
    convert::Infallible,
    error::Error,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use examhall_cache::{Cache, CacheKey, Fresh, Life};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

/// What customers think of a product.
#[derive(Serialize, Deserialize)]
struct Rating {
    stars: f64,
    votes: u32,
}

/// `product:{id}:rating`.
#[derive(Clone, PartialEq)]
struct RatingKey(u64);

impl CacheKey for RatingKey {
    type Value = Rating; // what is sent, as JSON
    type Head = (); // what decides who may see it, and is never sent
    const LIFE: Life = Life {
        hard: Duration::from_mins(10),
        soft: Some(Duration::from_mins(1)), // from then on read again in the background, and served meanwhile
        local: Duration::from_secs(10),
        stale_on_error: Duration::from_mins(1), // the last minute is for a database that does not answer
    };

    fn redis_key(&self) -> String {
        format!("product:{}:rating", self.0)
    }
}

/// A query, as of a database.
async fn count(key: RatingKey) -> Result<Option<Fresh<RatingKey>>, Infallible> {
    static QUERIES: AtomicU32 = AtomicU32::new(0);
    println!("query {} for {}", QUERIES.fetch_add(1, Ordering::Relaxed) + 1, key.redis_key());
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(Some(Fresh::new(7, (), Rating { stars: 4.5, votes: 118 })))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let cache = Cache::builder(["product:"]).prefix("example-").open(&url)?; // every key in Redis begins so
    cache.ready().await?; // not needed: without Redis it loads, and keeps what it has for 2 s

    let key = RatingKey(7);
    cache.delete(&key).await?; // what an earlier run has left
    let readers = (0..1000).map(|_| {
        let wanted = key.clone();
        cache.get_or_load(&key, move || count(wanted))
    });
    let read = join_all(readers).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    println!("{} have read", read.len());

    let wanted = key.clone();
    let (rating, source) = cache.get_or_load(&key, move || count(wanted)).await?;
    let rating = rating.ok_or("there is no such product")?;
    println!("{source:?}: {} with ETag \"{}\"", std::str::from_utf8(rating.body())?, rating.version());
    println!("as a value: {}", rating.value()?.votes);
    Ok(())
}
