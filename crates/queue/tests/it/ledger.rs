use std::time::Duration;

use examhall_queue::{Blocklist, Effect, Entry, Ledger, Standing};
use examhall_testkit::Redis;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::connect;

fn entry(state: Effect) -> Entry {
    Entry { state, message_id: "<m-1@x.example>".into(), at: 7, ..Entry::default() }
}

#[tokio::test]
async fn an_entry_is_read_as_it_was_written_and_kept_for_its_time() {
    let redis = Redis::start().await;
    let ledger = Ledger::new(connect(&redis).await, "mail:sent:", Duration::from_hours(7 * 24));
    assert_eq!(ledger.get("m-1").await.expect("read"), None);
    let known = ledger.read("m-1").await.expect("read");
    let written = ledger.replace("m-1", &known, &entry(Effect::Intent)).await.expect("written");
    assert_eq!(written, Some(Standing::of(&entry(Effect::Intent)).expect("JSON")));
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
    let mut known = vec![ledger.read("m-1").await.expect("read")];
    for state in [Effect::Intent, Effect::Deferred, Effect::Held] {
        let written = ledger.replace("m-1", &known[known.len() - 1], &entry(state)).await.expect("answered");
        known.push(written.expect("written"));
    }
    ledger.put("m-1", &entry(Effect::Accepted)).await.expect("written");
    for (known, state) in known.iter().zip([Effect::Intent, Effect::Deferred, Effect::Refused, Effect::Held]) {
        assert_eq!(ledger.replace("m-1", known, &entry(state)).await.expect("answered"), None);
    }
    assert_eq!(ledger.get("m-1").await.expect("read").expect("there").state, Effect::Accepted);
}

#[tokio::test]
async fn of_two_who_are_about_to_do_the_same_one_is_told_no() {
    let redis = Redis::start().await;
    let ledger = Ledger::new(connect(&redis).await, "mail:sent:", Duration::from_mins(1));
    let known = ledger.read("m-1").await.expect("read");
    let intents: Vec<_> = (0..10).map(|at| Entry { at, ..entry(Effect::Intent) }).collect();
    let written = join_all(intents.iter().map(|intent| ledger.replace("m-1", &known, intent))).await;
    assert_eq!(written.into_iter().filter(|written| matches!(written, Ok(Some(_)))).count(), 1);
}

#[tokio::test]
async fn an_entry_that_nobody_understands_is_none_and_can_be_replaced() {
    let redis = Redis::start().await;
    let ledger = Ledger::new(connect(&redis).await, "mail:sent:", Duration::from_mins(1));
    redis.cmd::<()>("SET mail:sent:m-1 rubbish").await;
    let known = ledger.read("m-1").await.expect("read");
    assert_eq!(known.entry(), None);
    assert!(ledger.replace("m-1", &known, &entry(Effect::Intent)).await.expect("written").is_some());
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
    for (cause, expected) in [("m-1", 1), ("m-2", 2), ("m-2", 2), ("m-3", 3)] {
        assert_eq!(list.strike("ada@x.example", cause, window).await.expect("counted"), expected);
    }
    assert!(redis.cmd::<i64>("TTL mail:suppressed:strikes:ada@x.example").await > 604_000);
    list.remove("ada@x.example").await.expect("removed");
    assert_eq!(list.strike("ada@x.example", "m-4", window).await.expect("counted"), 1);
}
