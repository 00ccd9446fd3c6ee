use examhall_core::{Circuit, EmailJob, MailerStatus, Pause, ProviderStatus, RateUse, Timestamp};
use examhall_delivery::{Fleet, PauseNote};
use examhall_testkit::Redis;

use crate::connect;

fn mailer(id: &str, version: &str) -> MailerStatus {
    let rates = vec![RateUse { limit: "14/s".to_owned(), used: 3, allowed: 14 }];
    let provider = ProviderStatus {
        circuit: Circuit::Open,
        since: Some(Timestamp::from_millis(1_000)),
        failure: Some("throttled".to_owned()),
        reply: Some("451 4.7.1".to_owned()),
        rates,
        ..ProviderStatus::closed("mail.example.com:587")
    };
    MailerStatus {
        id: id.to_owned(),
        host: format!("host of {id}"),
        version: version.to_owned(),
        started_at: Timestamp::from_millis(5),
        seen_at: Timestamp::from_millis(0),
        slots: 5,
        busy: 2,
        providers: vec![provider, ProviderStatus::closed("file:data/mail")],
    }
}

#[tokio::test]
async fn heartbeat_is_read_as_written_until_it_expires() {
    let redis = Redis::start().await;
    let fleet = Fleet::new(connect(&redis).await, EmailJob::FLEET_KEY);
    assert_eq!(fleet.mailers().await.expect("read"), []);
    for id in ["b", "a"] {
        fleet.beat(&mailer(id, "1.0.0")).await.expect("written");
    }
    let mut found = fleet.mailers().await.expect("read");
    let seen = found[0].seen_at.as_millis();
    assert!(seen > 1_700_000_000_000, "by Redis's clock: {seen}");
    for one in &mut found {
        one.seen_at = Timestamp::from_millis(0);
    }
    assert_eq!(found, [mailer("a", "1.0.0"), mailer("b", "1.0.0")]);
    let lives: i64 = redis.cmd("PTTL mail:{mailers}:a").await;
    assert!((1..=15_000).contains(&lives), "{lives}");

    redis.cmd::<()>("ZADD mail:{mailers} 1 a").await; // its last heartbeat is long ago
    fleet.leave("b").await.expect("left");
    assert_eq!(fleet.mailers().await.expect("read"), []);
    redis.cmd::<()>("HSET mail:{mailers}:c providers rubbish").await;
    redis.cmd::<()>("ZADD mail:{mailers} 9999999999999 c").await;
    assert_eq!(fleet.mailers().await.expect("read"), [], "what another program wrote is left out");
}

#[tokio::test]
async fn new_version_is_marked_once_in_a_rollout() {
    let redis = Redis::start().await;
    let fleet = Fleet::new(connect(&redis).await, EmailJob::FLEET_KEY);
    for (id, version) in [("a1", "1"), ("a2", "1"), ("b1", "2"), ("b1", "2"), ("a3", "1"), ("b2", "2")] {
        fleet.beat(&mailer(id, version)).await.expect("written");
    }
    for id in ["a1", "a2", "a3"] {
        fleet.leave(id).await.expect("left");
    }
    fleet.beat(&mailer("b3", "2")).await.expect("written");
    fleet.beat(&mailer("c1", "1")).await.expect("written"); // it was rolled back
    let deploys = fleet.deploys(Timestamp::from_millis(0)).await.expect("read");
    assert_eq!(deploys.iter().map(|one| one.version.as_str()).collect::<Vec<_>>(), ["1", "2", "1"]);
    assert_eq!(fleet.deploys(Timestamp::from_millis(i64::MAX)).await.expect("read"), []);
}

#[tokio::test]
async fn note_of_a_pause_is_empty_once_cleared() {
    let redis = Redis::start().await;
    let note = PauseNote::new(connect(&redis).await, EmailJob::PAUSE_KEY);
    assert_eq!(note.read().await.expect("read"), Pause::default());
    let by = |by: &str| Pause { by: Some(by.to_owned()), at: Some(Timestamp::from_millis(7)), reason: None };
    note.write(&by("Ada")).await.expect("written");
    assert_eq!(note.read().await.expect("read"), by("Ada"));
    note.clear().await.expect("cleared");
    assert_eq!(note.read().await.expect("read"), Pause::default());
}
