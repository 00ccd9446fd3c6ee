use std::time::Duration;

use examhall_delivery::{Permit, Rate, RateLimiter};
use examhall_testkit::Redis;

use crate::connect;

#[tokio::test]
async fn a_burst_passes_and_the_next_waits() {
    let redis = Redis::start().await;
    let limiter = RateLimiter::new(connect(&redis).await, "limit:");
    let rate = Rate::per(3, Duration::from_mins(3));
    for _ in 0..3 {
        assert_eq!(limiter.take("a", rate).await.expect("asked"), Permit::Granted);
    }
    let Permit::After(wait) = limiter.take("a", rate).await.expect("asked") else { panic!("the fourth passed") };
    assert!(wait > Duration::from_secs(50) && wait <= Duration::from_mins(1), "{wait:?}");
    assert_eq!(limiter.take("b", rate).await.expect("asked"), Permit::Granted, "another key");
}

#[tokio::test]
async fn two_processes_share_one_limit() {
    let redis = Redis::start().await;
    let (one, other) =
        (RateLimiter::new(connect(&redis).await, "limit:"), RateLimiter::new(connect(&redis).await, "limit:"));
    let rate = Rate { burst: 1, interval: Duration::from_secs(3) };
    assert_eq!(one.take("a", rate).await.expect("asked"), Permit::Granted);
    let Permit::After(wait) = other.take("a", rate).await.expect("asked") else { panic!("the second passed") };
    tokio::time::sleep(wait).await; // the time that the limiter itself has named: not a moment more is needed
    assert_eq!(other.take("a", rate).await.expect("asked"), Permit::Granted);
    let lives: i64 = redis.cmd("PTTL limit:a").await;
    let is_forgotten = lives == -2; // where the machine has let that time pass
    assert!(is_forgotten || (1..=3001).contains(&lives), "forgotten once the bucket is full: {lives}");
}
