use std::time::Duration;

use examhall_delivery::{DeliveryState, Doubt, Ledger, LedgerEntry, LedgerVersion};
use examhall_testkit::Redis;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::connect;

fn entry(state: DeliveryState) -> LedgerEntry {
    LedgerEntry { state, message_id: "<m-1@x.example>".into(), at: 7, ..LedgerEntry::default() }
}

#[tokio::test]
async fn an_entry_is_read_as_written_and_kept_for_its_retention() {
    let redis = Redis::start().await;
    let ledger = Ledger::new(connect(&redis).await, "mail:sent:", Duration::from_hours(7 * 24));
    assert_eq!(ledger.get("m-1").await.expect("read"), None);
    let known = ledger.read("m-1").await.expect("read");
    let written = ledger.replace("m-1", &known, &entry(DeliveryState::Intent)).await.expect("written");
    assert_eq!(written, Some(LedgerVersion::of(&entry(DeliveryState::Intent)).expect("JSON")));
    assert_eq!(ledger.get("m-1").await.expect("read"), Some(entry(DeliveryState::Intent)));
    let text: String = redis.cmd("GET mail:sent:m-1").await;
    let wire = json!({"state": "intent", "messageId": "<m-1@x.example>", "at": 7});
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), wire);
    let lives: i64 = redis.cmd("TTL mail:sent:m-1").await;
    assert!((604_700..=604_800).contains(&lives), "{lives}");
}

#[tokio::test]
async fn nothing_replaces_an_accepted_delivery() {
    let redis = Redis::start().await;
    let ledger = Ledger::new(connect(&redis).await, "mail:sent:", Duration::from_mins(1));
    let mut known = vec![ledger.read("m-1").await.expect("read")];
    for state in [DeliveryState::Intent, DeliveryState::Deferred, DeliveryState::Held] {
        let written = ledger.replace("m-1", &known[known.len() - 1], &entry(state)).await.expect("answered");
        known.push(written.expect("written"));
    }
    ledger.put("m-1", &entry(DeliveryState::Accepted)).await.expect("written");
    for (known, state) in
        known.iter().zip([DeliveryState::Intent, DeliveryState::Deferred, DeliveryState::Refused, DeliveryState::Held])
    {
        assert_eq!(ledger.replace("m-1", known, &entry(state)).await.expect("answered"), None);
    }
    assert_eq!(ledger.get("m-1").await.expect("read").expect("there").state, DeliveryState::Accepted);
}

#[tokio::test]
async fn only_one_of_two_intents_is_written() {
    let redis = Redis::start().await;
    let ledger = Ledger::new(connect(&redis).await, "mail:sent:", Duration::from_mins(1));
    let known = ledger.read("m-1").await.expect("read");
    let intents: Vec<_> = (0..10).map(|at| LedgerEntry { at, ..entry(DeliveryState::Intent) }).collect();
    let written = join_all(intents.iter().map(|intent| ledger.replace("m-1", &known, intent))).await;
    assert_eq!(written.into_iter().filter(|written| matches!(written, Ok(Some(_)))).count(), 1);
}

#[tokio::test]
async fn an_unreadable_entry_is_none_and_can_be_replaced() {
    let redis = Redis::start().await;
    let ledger = Ledger::new(connect(&redis).await, "mail:sent:", Duration::from_mins(1));
    redis.cmd::<()>("SET mail:sent:m-1 rubbish").await;
    let known = ledger.read("m-1").await.expect("read");
    assert_eq!(known.entry(), None);
    assert!(ledger.replace("m-1", &known, &entry(DeliveryState::Intent)).await.expect("written").is_some());
}

#[tokio::test]
async fn held_and_doubtful_mails_are_indexed_until_decided() {
    let redis = Redis::start().await;
    let ledger = Ledger::new(connect(&redis).await, "mail:sent:", Duration::from_hours(1));
    let doubtful = async |doubt| {
        let found = ledger.doubtful(doubt, 0, 10).await.expect("read");
        found.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    let put = async |id: &str, entry: LedgerEntry| ledger.put(id, &entry).await.expect("written");
    let in_doubt = |state| LedgerEntry { in_doubt: true, ..entry(state) };
    put("m-1", entry(DeliveryState::Held)).await;
    put("m-2", in_doubt(DeliveryState::Deferred)).await;
    put("m-3", entry(DeliveryState::Intent)).await;
    ledger.mark_in_doubt("m-3", 9).await.expect("marked");
    put("m-4", entry(DeliveryState::Accepted)).await;
    assert_eq!(doubtful(Doubt::Held).await, ["m-1"]);
    assert_eq!(doubtful(Doubt::InDoubt).await, ["m-3", "m-2"]);
    assert_eq!(ledger.count_doubtful(Doubt::InDoubt).await.expect("counted"), 2);
    for (id, days) in [("m-1", 30), ("m-2", 30), ("m-3", 30), ("m-4", 0)] {
        let seconds: i64 = redis.cmd(&format!("TTL mail:sent:{id}")).await;
        assert_eq!(seconds.div_euclid(24 * 3600) + i64::from(seconds % (24 * 3600) > 7200), days, "{id}: {seconds}");
    }

    put("m-1", in_doubt(DeliveryState::Accepted)).await; // released
    ledger.put_removed("m-2", 10).await.expect("removed");
    put("m-3", entry(DeliveryState::Accepted)).await; // its index is left to the next reader
    assert_eq!(doubtful(Doubt::Held).await, [""; 0]);
    assert_eq!(doubtful(Doubt::InDoubt).await, [""; 0]);
    let known = ledger.read("m-3").await.expect("read");
    ledger.replace("m-3", &known, &entry(DeliveryState::Held)).await.expect("answered").expect("written");
    assert_eq!(doubtful(Doubt::Held).await, ["m-3"]);
    ledger.forget_doubt("m-3").await.expect("forgotten");
    assert_eq!(doubtful(Doubt::Held).await, [""; 0]);
    let keys: Vec<String> = redis.cmd("KEYS mail:*in*").await;
    assert_eq!(keys, [""; 0]);
}

#[tokio::test]
async fn entry_is_written_even_if_it_cannot_be_indexed() {
    let redis = Redis::start().await;
    let ledger = Ledger::new(connect(&redis).await, "mail:sent:", Duration::from_hours(1));
    let (held, in_doubt) =
        (entry(DeliveryState::Held), LedgerEntry { in_doubt: true, ..entry(DeliveryState::Accepted) });
    ledger.put("m-1", &held).await.expect("written");
    let indexes: Vec<String> = redis.cmd("KEYS mail:*").await;
    for index in indexes.iter().filter(|key| !key.starts_with("mail:sent:")) {
        redis.cmd::<String>(&format!("SET {index} another-program")).await;
    }
    assert!(ledger.doubtful(Doubt::Held, 0, 10).await.is_err(), "the index is damaged");
    ledger.put("m-2", &held).await.expect("written");
    ledger.put("m-2", &in_doubt).await.expect("written");
    let known = ledger.read("m-2").await.expect("read");
    assert_eq!(known.entry(), Some(in_doubt));
    assert!(ledger.replace("m-2", &known, &held).await.expect("answered").is_some());
}
