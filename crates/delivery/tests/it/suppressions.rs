use std::time::Duration;

use examhall_delivery::Suppressions;
use examhall_testkit::Redis;

use crate::connect;

#[tokio::test]
async fn a_suppressed_address_is_found_until_it_is_removed() {
    let redis = Redis::start().await;
    let list = Suppressions::new(connect(&redis).await, "mail:suppressed");
    assert!(list.add("ada@x.example", "550 5.1.1 no such user").await.expect("added"));
    assert!(!list.add("ada@x.example", "later").await.expect("answered"), "it keeps its first reason");
    let names = ["bob@x.example".to_owned(), "ada@x.example".to_owned()];
    let found = list.find(&names).await.expect("read");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].address.as_str(), found[0].reason.as_str()), ("ada@x.example", "550 5.1.1 no such user"));
    assert!(found[0].since > 0);
    assert_eq!(list.list().await.expect("read"), found);
    assert!(list.remove("ada@x.example").await.expect("removed") && !list.remove("ada@x.example").await.expect("x"));
    assert!(list.find(&names).await.expect("read").is_empty());
}

#[tokio::test]
async fn strikes_are_counted_once_per_cause_and_removed() {
    let redis = Redis::start().await;
    let list = Suppressions::new(connect(&redis).await, "mail:suppressed");
    let window = Duration::from_hours(7 * 24);
    for (cause, expected) in [("m-1", 1), ("m-2", 2), ("m-2", 2), ("m-3", 3)] {
        assert_eq!(list.strike("ada@x.example", cause, window).await.expect("counted"), expected);
    }
    assert!(redis.cmd::<i64>("TTL mail:suppressed:strikes:ada@x.example").await > 604_000);
    list.remove("ada@x.example").await.expect("removed");
    assert_eq!(list.strike("ada@x.example", "m-4", window).await.expect("counted"), 1);
}
