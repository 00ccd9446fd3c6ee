use std::time::Duration;

use examhall_queue::{JobOptions, Leases, State};
use examhall_testkit::{Redis, eventually};

use crate::connect;

#[tokio::test]
async fn as_many_as_there_are_places_get_one_and_the_next_when_one_is_given_back() {
    let redis = Redis::start().await;
    let leases = Leases::new(connect(&redis).await, "places", 2, Duration::from_mins(1));
    assert!(leases.take("a").await.expect("asked") && leases.take("b").await.expect("asked"));
    assert!(leases.take("a").await.expect("asked"), "it has one");
    assert!(!leases.take("c").await.expect("asked"));
    leases.release("a").await.expect("released");
    assert!(leases.take("c").await.expect("asked") && !leases.take("a").await.expect("asked"));
}

#[tokio::test]
async fn the_place_of_somebody_who_vanished_becomes_free() {
    let redis = Redis::start().await;
    let leases = Leases::new(connect(&redis).await, "places", 1, Duration::from_millis(300));
    assert!(leases.take("a").await.expect("asked"));
    eventually("a free place", Duration::from_secs(10), async || leases.take("b").await.expect("asked").then_some(()))
        .await;
}

#[tokio::test]
async fn jobs_of_the_state_that_is_wiped_lose_their_data_and_others_keep_it() {
    let bench = crate::Bench::start().await;
    let add = async || bench.add(JobOptions::default()).await;
    let (done, failed, waiting) = (add().await, add().await, add().await);
    for (set, id) in [("completed", &done), ("failed", &failed)] {
        bench.redis.cmd::<i64>(&format!("LREM bull:email:wait 1 {id}")).await;
        bench.redis.cmd::<i64>(&format!("ZADD bull:email:{set} 1 {id}")).await;
    }
    let jobs = [done.clone(), failed.clone(), waiting.clone(), "gone".to_owned()].map(|id| (id, "{}".to_owned()));
    assert_eq!(bench.queue.wipe(State::Completed, &jobs).await.expect("wiped"), std::slice::from_ref(&waiting));
    assert_eq!(bench.field(&done, "data").await.as_deref(), Some("{}"));
    assert_ne!(bench.field(&failed, "data").await.as_deref(), Some("{}"));
    assert_eq!(bench.queue.wipe(State::Failed, &jobs[1..]).await.expect("wiped"), std::slice::from_ref(&waiting));
    assert_eq!(bench.field(&failed, "data").await.as_deref(), Some("{}"));
    assert_ne!(bench.field(&waiting, "data").await.as_deref(), Some("{}"));
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:gone").await, 0);
}
