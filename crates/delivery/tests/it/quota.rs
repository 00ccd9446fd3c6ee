use std::time::Duration;

use examhall_delivery::{Claim, Quota, RateLimiter};
use examhall_testkit::Redis;

use crate::connect;

fn window(key: &str, count: u32, period: Duration, cost: u32) -> Claim {
    Claim { key: key.to_owned(), quota: Quota { count, period, burst: None }, cost, queues: false }
}

fn is_free(waits: &[Duration]) -> bool {
    waits.iter().all(Duration::is_zero)
}

#[tokio::test]
async fn nothing_is_taken_unless_all_limits_allow_it() {
    let redis = Redis::start().await;
    let limiter = RateLimiter::new(connect(&redis).await, "rate:");
    let (hour, day) = (Duration::from_hours(1), Duration::from_hours(24));
    let is_about = |wait: Duration, period: Duration| wait > period * 9 / 10 && wait <= period + period / 60;
    let claims = [window("3/h", 3, hour, 1), window("2/d", 2, day, 1)];
    for _ in 0..2 {
        assert!(is_free(&limiter.take_all("mail", &claims, false).await.expect("asked")));
    }
    let waits = limiter.take_all("mail", &claims, false).await.expect("asked");
    assert!(waits[0].is_zero() && is_about(waits[1], day), "{waits:?}");
    assert!(is_free(&limiter.take_all("mail", &claims[..1], false).await.expect("asked")), "the hour has one left");
    let waits = limiter.take_all("mail", &claims[..1], false).await.expect("asked");
    assert!(is_about(waits[0], hour), "{waits:?}");
    let shown = limiter.waits("mail").await.expect("read");
    assert_eq!(shown.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["2/d", "3/h"]);
    assert!(is_free(&limiter.take_all("other", &claims, false).await.expect("asked")), "another group");
}

#[tokio::test]
async fn window_never_has_more_than_its_count() {
    let redis = Redis::start().await;
    let limiter = RateLimiter::new(connect(&redis).await, "rate:");
    let period = Duration::from_millis(400);
    let claim = [window("4", 4, period, 2)];
    let mut taken = Vec::new();
    while taken.len() < 5 {
        let asked = std::time::Instant::now();
        let waits = limiter.take_all("mail", &claim, false).await.expect("asked");
        if is_free(&waits) {
            taken.push((asked, std::time::Instant::now()));
        } else {
            tokio::time::sleep(waits[0]).await; // the time that the limiter itself has named
        }
    }
    for three in taken.windows(3) {
        assert!(three[2].1 - three[0].0 >= period, "each takes two: {taken:?}");
    }
    let large =
        limiter.take_all("large", &[window("2/h", 2, Duration::from_hours(1), 50)], false).await.expect("asked");
    assert!(is_free(&large), "more than the limit can be taken once");
}

#[tokio::test]
async fn those_sent_away_get_a_turn_each_unless_urgent() {
    let redis = Redis::start().await;
    let limiter = RateLimiter::new(connect(&redis).await, "rate:");
    let quota = Quota { count: 60, period: Duration::from_hours(1), burst: Some(1) };
    let claim = [Claim { key: "gmail.example".to_owned(), quota, cost: 1, queues: true }];
    let take = async |at_once| limiter.take_all("mail", &claim, at_once).await.expect("asked")[0].as_secs_f64() / 60.0;
    assert!(take(false).await < f64::EPSILON);
    for turn in 1..=3 {
        let wait = take(false).await;
        assert!((wait - f64::from(turn)).abs() < 0.2, "turn {turn}: {wait} minutes");
    }
    let urgent = take(true).await;
    assert!(urgent > 0.8 && urgent <= 1.0, "the next free one: {urgent} minutes");
    let shown = limiter.waits("mail").await.expect("read");
    assert!(shown.len() == 1 && shown[0].1 <= Duration::from_mins(4), "{shown:?}");
}
