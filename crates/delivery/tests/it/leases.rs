use std::time::Duration;

use examhall_delivery::ConnectionLeases;
use examhall_testkit::{Redis, eventually};

use crate::connect;

#[tokio::test]
async fn no_more_leases_are_taken_than_there_are() {
    let redis = Redis::start().await;
    let leases = ConnectionLeases::new(connect(&redis).await, "places", 2, Duration::from_mins(1));
    assert!(leases.take("a").await.expect("asked") && leases.take("b").await.expect("asked"));
    assert!(leases.take("a").await.expect("asked"), "it has one");
    assert!(!leases.take("c").await.expect("asked"));
    leases.release("a").await.expect("released");
    assert!(leases.take("c").await.expect("asked") && !leases.take("a").await.expect("asked"));
}

#[tokio::test]
async fn the_lease_of_a_vanished_holder_becomes_free() {
    let redis = Redis::start().await;
    let leases = ConnectionLeases::new(connect(&redis).await, "places", 1, Duration::from_millis(300));
    assert!(leases.take("a").await.expect("asked"));
    eventually("a free place", Duration::from_secs(10), async || leases.take("b").await.expect("asked").then_some(()))
        .await;
}
