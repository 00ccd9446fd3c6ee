//! Reading through the cache.

use std::{convert::Infallible, time::Instant};

use examhall_cache::{Cache, Fresh};
use examhall_core::{Profile, ProfileKey, Role, UserId};
use examhall_testkit::Redis;

/// Readers at once.
const READERS: u32 = 50;

pub(crate) async fn measure(count: u32) -> anyhow::Result<()> {
    let redis = Redis::start().await;
    let cache = Cache::open(&redis.url(), "")?;
    cache.ready().await?;
    let started = Instant::now();
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move {
                for _ in 0..count / READERS {
                    let key = ProfileKey(UserId(uuid::Uuid::nil()));
                    cache.get_or_load(&key, || async { Ok::<_, Infallible>(Some(profile())) }).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for reader in readers {
        reader.await??;
    }
    crate::print("read through Redis, 50 in flight", count, started.elapsed().as_secs_f64());
    Ok(())
}

/// A value of 8 KB.
fn profile() -> Fresh<ProfileKey> {
    let value = Profile { id: UserId(uuid::Uuid::nil()), name: "x".repeat(8000), role: Role::Student };
    Fresh { version: 1, head: (), value, pin: None }
}
