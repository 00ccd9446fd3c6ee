//! What operators see of a cache.

use examhall_cache::{Error, Location, Trust};
use examhall_testkit::eventually;

use super::*;

async fn locate(cache: &Cache) -> Location {
    cache.locate(&KEY).await.expect("Redis answers")
}

#[tokio::test]
async fn status_and_locations_follow_redis() {
    let mut redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::new());
    let status = cache.status();
    assert!(status.is_live && status.unconfirmed == 0 && status.servers.len() == 1, "{status:?}");
    assert_eq!((status.servers[0].trust, status.servers[0].is_circuit_open), (Trust::Trusted, false));
    let location = locate(&cache).await;
    assert_eq!((location.in_memory, location.in_redis), (false, None));

    read(&cache, &row).await;
    let location = eventually("both levels", TIMEOUT, async || {
        read(&cache, &row).await;
        Some(locate(&cache).await).filter(|location| location.in_memory)
    })
    .await;
    let remaining = location.in_redis.expect("it is there");
    assert!(remaining.exceeds(Duration::from_mins(50)) && !remaining.exceeds(Duration::from_hours(1)), "{remaining:?}");
    assert_eq!(row.loads(), 1, "to look loads nothing");
    let _: i64 = redis.cmd(&format!("PERSIST exam:{}", KEY.0)).await;
    assert!(locate(&cache).await.in_redis.is_some_and(|remaining| remaining.exceeds(Duration::MAX)), "it has no end");

    let before = cache.status().epochs;
    redis.kill().await;
    let status = eventually("the loss", TIMEOUT, async || {
        Some(cache.status()).filter(|status| status.servers[0].trust == Trust::Lost && !status.is_live)
    })
    .await;
    assert!(matches!(cache.locate(&KEY).await, Err(Error::Bypassed)));
    assert!(status.epochs >= before && status.last_epoch.is_some(), "{status:?}");
    let alone = Cache::builder(KEY_SPACES).local_only().expect("good options");
    assert_eq!(alone.status().servers, []);
    read(&alone, &row).await;
    assert!(locate(&alone).await.in_memory);
}
