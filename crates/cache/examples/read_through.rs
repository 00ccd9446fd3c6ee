//! A thousand read through the cache at once: `cargo run --example read_through -- redis://127.0.0.1:6379`
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{
    convert::Infallible,
    error::Error,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use examhall_cache::{Cache, Fresh};
use examhall_core::{CacheKey, ExamId, KEY_SPACES, Life};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

/// How many have submitted an exam.
#[derive(Serialize, Deserialize)]
struct Turnout {
    handed_in: u32,
}

/// `exam:{id}:turnout`.
#[derive(Clone, PartialEq)]
struct TurnoutKey(ExamId);

impl CacheKey for TurnoutKey {
    type Value = Turnout; // what is sent, as JSON
    type Head = (); // what decides who may see it, and is never sent
    const LIFE: Life = Life {
        hard: Duration::from_mins(10),
        soft: Some(Duration::from_mins(1)), // from then on read again in the background, and served meanwhile
        local: Duration::from_secs(10),
        stale_on_error: Duration::from_mins(1), // the last minute is for a database that does not answer
    };

    fn redis_key(&self) -> String {
        format!("exam:{}:turnout", self.0)
    }
}

/// A query, as of a database.
async fn count(key: TurnoutKey) -> Result<Option<Fresh<TurnoutKey>>, Infallible> {
    static QUERIES: AtomicU32 = AtomicU32::new(0);
    println!("query {} for {}", QUERIES.fetch_add(1, Ordering::Relaxed) + 1, key.redis_key());
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(Some(Fresh { version: 7, head: (), value: Turnout { handed_in: 118 }, pin: None }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let cache = Cache::builder(KEY_SPACES).prefix("example-").open(&url)?; // every key in Redis begins so
    cache.ready().await?; // not needed: without Redis it loads, and keeps what it has for 2 s

    let key = TurnoutKey(ExamId("018f4e3a-0000-7000-8000-000000000001".parse()?));
    cache.delete(&key).await?; // what an earlier run has left
    let readers = (0..1000).map(|_| {
        let wanted = key.clone();
        cache.get_or_load(&key, move || count(wanted))
    });
    let read = join_all(readers).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    println!("{} have read", read.len());

    let wanted = key.clone();
    let (turnout, source) = cache.get_or_load(&key, move || count(wanted)).await?;
    let turnout = turnout.ok_or("there is no such exam")?;
    println!("{source:?}: {} with ETag \"{}\"", std::str::from_utf8(turnout.body())?, turnout.version());
    println!("as a value: {}", turnout.value()?.handed_in);
    Ok(())
}
