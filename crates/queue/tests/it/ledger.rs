use std::time::Duration;

use examhall_queue::{Blocklist, Effect, Entry, Ledger};
use examhall_testkit::Redis;
use serde_json::{Value, json};

use crate::connect;

fn entry(state: Effect) -> Entry {
    Entry { state, message_id: "<m-1@x.example>".into(), at: 7, job_timestamp: None, deferrals: 0, result: Value::Null }
}

#[tokio::test]
async fn an_entry_is_read_as_it_was_written_and_kept_for_its_time() {
    let redis = Redis::start().await;
    let ledger = Ledger::new(connect(&redis).await, "mail:sent:", Duration::from_hours(7 * 24));
    assert_eq!(ledger.get("m-1").await.expect("read"), None);
    assert!(ledger.put("m-1", &entry(Effect::Intent)).await.expect("written"));
    assert_eq!(ledger.get("m-1").await.expect("read"), Some(entry(Effect::Intent)));
    let text: String = redis.cmd("GET mail:sent:m-1").await;
    let wire = json!({"state": "intent", "messageId": "<m-1@x.example>", "at": 7});
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), wire);
    let lives: i64 = redis.cmd("TTL mail:sent:m-1").await;
    assert!((604_700..=604_800).contains(&lives), "{lives}");
}

#[tokio::test]
async fn nothing_replaces_what_has_happened() {
    let redis = Redis::start().await;
    let ledger = Ledger::new(connect(&redis).await, "mail:sent:", Duration::from_mins(1));
    for state in [Effect::Intent, Effect::Deferred, Effect::Held, Effect::Accepted] {
        assert!(ledger.put("m-1", &entry(state)).await.expect("written"));
    }
    for state in [Effect::Intent, Effect::Deferred, Effect::Refused] {
        assert!(!ledger.put("m-1", &entry(state)).await.expect("answered"));
    }
    assert_eq!(ledger.get("m-1").await.expect("read").expect("there").state, Effect::Accepted);
}

#[tokio::test]
async fn an_entry_that_nobody_understands_is_none_and_can_be_replaced() {
    let redis = Redis::start().await;
    let ledger = Ledger::new(connect(&redis).await, "mail:sent:", Duration::from_mins(1));
    redis.cmd::<()>("SET mail:sent:m-1 rubbish").await;
    assert_eq!(ledger.get("m-1").await.expect("read"), None);
    assert!(ledger.put("m-1", &entry(Effect::Intent)).await.expect("written"));
}

#[tokio::test]
async fn a_blocked_name_is_found_until_it_is_taken_off() {
    let redis = Redis::start().await;
    let list = Blocklist::new(connect(&redis).await, "mail:suppressed");
    assert!(list.add("ada@x.example", "550 5.1.1 no such user").await.expect("added"));
    assert!(!list.add("ada@x.example", "later").await.expect("answered"), "it keeps its first reason");
    let names = ["bob@x.example".to_owned(), "ada@x.example".to_owned()];
    let found = list.find(&names).await.expect("read");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), found[0].reason.as_str()), ("ada@x.example", "550 5.1.1 no such user"));
    assert!(found[0].since > 0);
    assert_eq!(list.list().await.expect("read"), found);
    assert!(list.remove("ada@x.example").await.expect("removed") && !list.remove("ada@x.example").await.expect("x"));
    assert!(list.find(&names).await.expect("read").is_empty());
}

#[tokio::test]
async fn strikes_are_counted_for_a_while_and_forgotten_with_the_name() {
    let redis = Redis::start().await;
    let list = Blocklist::new(connect(&redis).await, "mail:suppressed");
    let window = Duration::from_hours(7 * 24);
    for expected in 1..=3 {
        assert_eq!(list.strike("ada@x.example", window).await.expect("counted"), expected);
    }
    assert!(redis.cmd::<i64>("TTL mail:suppressed:strikes:ada@x.example").await > 604_000);
    list.remove("ada@x.example").await.expect("removed");
    assert_eq!(list.strike("ada@x.example", window).await.expect("counted"), 1);
}
