use std::time::Duration;

use examhall_delivery::{Added, NewSuppression, SuppressionCause, SuppressionCursor, SuppressionPolicy, Suppressions};
use examhall_testkit::Redis;

use crate::connect;

const ADA: NewSuppression<'static> = NewSuppression {
    address: "ada@x.example",
    reason: "550 5.1.1 no such user",
    cause: SuppressionCause::Refused,
    source: "mail.example:25",
    job_id: "m-7",
};
const POLICY: SuppressionPolicy = SuppressionPolicy { lifetime: Duration::from_hours(90 * 24), per_minute: 3 };

async fn list(redis: &Redis) -> Suppressions {
    Suppressions::new(connect(redis).await, "mail:suppressed", POLICY)
}

#[tokio::test]
async fn a_suppressed_address_is_found_until_it_is_removed() {
    let redis = Redis::start().await;
    let list = list(&redis).await;
    assert_eq!(list.add(ADA).await.expect("added"), Added::New);
    let later = NewSuppression { reason: "later", ..ADA };
    assert_eq!(list.add(later).await.expect("answered"), Added::Known, "it keeps its first reason");
    let names = ["bob@x.example".to_owned(), "ada@x.example".to_owned()];
    let found = list.find(&names).await.expect("read");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].address.as_str(), found[0].reason.as_str()), ("ada@x.example", "550 5.1.1 no such user"));
    assert!(found[0].since > 0 && found[0].seen >= found[0].since);
    assert_eq!(found[0].until, Some(found[0].seen + 90 * 24 * 3600 * 1000));
    assert_eq!(list.list().await.expect("read"), found);
    assert!(list.remove("ada@x.example").await.expect("removed") && !list.remove("ada@x.example").await.expect("x"));
    assert!(list.find(&names).await.expect("read").is_empty());
}

#[tokio::test]
async fn entries_end_unless_an_operator_made_them() {
    let redis = Redis::start().await;
    let list = list(&redis).await;
    let old = r#"{"reason":"x","since":1,"cause":"refused"}"#;
    redis.command::<i64>(&["HSET", "mail:suppressed", "ada@x.example", old, "bob@x.example", old]).await;
    let names = ["ada@x.example".to_owned()];
    assert!(list.find(&names).await.expect("read").is_empty());
    assert!(!list.remove("bob@x.example").await.expect("answered"), "it had ended");
    assert_eq!(list.add(ADA).await.expect("added"), Added::New, "the old one does not count");
    assert_eq!(list.find(&names).await.expect("read").len(), 1);
    let operator = NewSuppression { cause: SuppressionCause::Operator, reason: "asked for it", ..ADA };
    assert_eq!(list.add(operator).await.expect("added"), Added::New, "an operator's decision counts more");
    assert_eq!(list.add(ADA).await.expect("answered"), Added::Known);
    let found = list.find(&names).await.expect("read");
    assert_eq!((found[0].until, found[0].reason.as_str()), (None, "asked for it"));
    redis.command::<i64>(&["HSET", "mail:suppressed", "bob@x.example", old, "eve@x.example", "rubbish"]).await;
    let listed: Vec<_> = list.list().await.expect("read").into_iter().map(|one| one.address).collect();
    assert_eq!(listed, ["eve@x.example", "ada@x.example"]);
    assert_eq!(redis.cmd::<i64>("HLEN mail:suppressed").await, 2, "what has ended is forgotten");
}

#[tokio::test]
async fn too_many_of_one_source_are_held_until_confirmed() {
    let redis = Redis::start().await;
    let list = list(&redis).await;
    let names: Vec<_> = (0..5).map(|n| format!("s{n}@x.example")).collect();
    let mut added = Vec::new();
    for address in &names {
        added.push(list.add(NewSuppression { address, ..ADA }).await.expect("added"));
    }
    let held = |others| Added::Held { others };
    assert_eq!(added, [Added::New, Added::New, Added::New, held(3), held(0)]);
    assert!(list.find(&names).await.expect("read").is_empty(), "those before the limit are doubtful, too");
    assert!(list.list().await.expect("read").iter().all(|one| one.is_held));
    let other = NewSuppression { address: "bob@x.example", source: "ses", ..ADA };
    assert_eq!(list.add(other).await.expect("added"), Added::New, "another source");
    let operator = NewSuppression { address: &names[4], cause: SuppressionCause::Operator, ..ADA };
    assert_eq!(list.add(operator).await.expect("added"), Added::New);
    assert_eq!(list.add(NewSuppression { address: &names[0], ..ADA }).await.expect("answered"), Added::Known);
    assert_eq!(list.confirm(&names[..2]).await.expect("confirmed"), 2);
    let found: Vec<_> = list.find(&names).await.expect("read").into_iter().map(|one| one.address).collect();
    assert_eq!(found, ["s0@x.example", "s1@x.example", "s4@x.example"]);
    let ttl: i64 = redis.cmd("PTTL mail:suppressed:recent:mail.example:25").await;
    assert!((1..=60_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_list_of_any_length_is_read_in_parts() {
    let redis = Redis::start().await;
    let list = list(&redis).await;
    let time = Duration::from_secs(10);
    let all = async |wanted: usize| {
        let (mut found, mut from) = (Vec::new(), Some(SuppressionCursor::default()));
        while let Some(at) = from {
            let page = list.page(at, wanted, time, |one| !one.address.starts_with('x')).await.expect("read");
            assert!(page.items.len() <= wanted);
            found.extend(page.items.into_iter().map(|one| one.address));
            from = page.next;
        }
        found
    };
    assert_eq!(all(5).await, [""; 0]);
    let add = async |name: &str, since: usize| {
        let entry = format!(r#"{{"reason":"x","cause":"operator","since":{since}}}"#);
        redis.command::<i64>(&["HSET", "mail:suppressed", name, &entry]).await;
    };
    for n in 0..7 {
        add(&format!("s{n}@x.example"), n).await;
    }
    redis
        .command::<i64>(&["HSET", "mail:suppressed", "old@x.example", r#"{"reason":"x","cause":"refused","since":1}"#])
        .await;
    let newest_first: Vec<_> = (0..7).rev().map(|n| format!("s{n}@x.example")).collect();
    for wanted in [1, 3, 7, 100] {
        assert_eq!(all(wanted).await, newest_first, "{wanted} a page");
    }
    assert_eq!(redis.cmd::<i64>("HLEN mail:suppressed").await, 7, "what has ended is forgotten");
    for n in 7..3000 {
        add(&format!("s{n}@x.example"), n).await;
    }
    let mut found = all(100).await;
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 3000);
    let none = list.page(SuppressionCursor::default(), 5, Duration::ZERO, |_| false).await.expect("read");
    assert!(none.items.is_empty() && none.next.is_some() && none.looked_at < 3000, "a part of it is looked at");
}

#[tokio::test]
async fn strikes_are_counted_once_per_cause_and_removed() {
    let redis = Redis::start().await;
    let list = list(&redis).await;
    let window = Duration::from_hours(7 * 24);
    for (cause, expected) in [("m-1", 1), ("m-2", 2), ("m-2", 2), ("m-3", 3)] {
        assert_eq!(list.strike("ada@x.example", cause, window).await.expect("counted"), expected);
    }
    assert!(redis.cmd::<i64>("TTL mail:suppressed:strikes:ada@x.example").await > 604_000);
    list.remove("ada@x.example").await.expect("removed");
    assert_eq!(list.strike("ada@x.example", "m-4", window).await.expect("counted"), 1);
}
