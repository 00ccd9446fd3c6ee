use std::time::Duration;

use examhall_core::Timestamp;
use examhall_delivery::{
    Added, ConnectionLeases, DeliveryState, FailedMail, FailureSignature, Failures, Ledger, LedgerEntry, MailBucket,
    MailHistory, NewSuppression, SuppressionCause, SuppressionPolicy, Suppressions,
};
use examhall_redis::Connection;
use examhall_testkit::RedisCluster;

#[tokio::test]
async fn every_key_finds_its_server_in_a_cluster() {
    let cluster = RedisCluster::start(3).await;
    let connection = Connection::open(&cluster.url()).expect("a good URL");
    connection.ready().await.expect("connected");
    let ledger = Ledger::new(connection.clone(), "mail:sent:", Duration::from_mins(1));
    let entry = |n| LedgerEntry { state: DeliveryState::Accepted, message_id: n, at: 1, ..LedgerEntry::default() };
    for n in (0..20).map(|n| n.to_string()) {
        let known = ledger.read(&n).await.expect("read");
        assert!(ledger.replace(&n, &known, &LedgerEntry::default()).await.expect("written").is_some());
        ledger.put(&n, &entry(n.clone())).await.expect("written");
        assert_eq!(ledger.get(&n).await.expect("read"), Some(entry(n.clone())));
        let policy = SuppressionPolicy { lifetime: Duration::from_mins(1), per_minute: 1 };
        let list = Suppressions::new(connection.clone(), format!("list:{n}"), policy);
        let cause = SuppressionCause::Refused;
        let new = |address| NewSuppression { address, reason: "gone", cause, source: "mail.example", job_id: "m-7" };
        assert_eq!(list.add(new("ada@example.com")).await.expect("added"), Added::New);
        assert_eq!(list.add(new("bob@example.com")).await.expect("added"), Added::Held { others: 1 });
        assert_eq!(list.confirm(&["ada@example.com".to_owned()]).await.expect("confirmed"), 1);
        assert_eq!(list.find(&["ada@example.com".to_owned()]).await.expect("looked for").len(), 1);
        assert_eq!(list.list().await.expect("listed").len(), 2);
        assert_eq!(list.strike("ada@example.com", "m-1", Duration::from_mins(1)).await.expect("counted"), 1);
        assert!(list.remove("ada@example.com").await.expect("removed"));
        let failures = Failures::new(connection.clone(), format!("{{failures{n}}}"), Duration::from_mins(1));
        let failed = FailedMail { job_id: n.clone(), signature: FailureSignature::of_reason("expired"), at: 1 };
        failures.record(&[failed]).await.expect("recorded");
        assert_eq!(failures.groups(0, 9).await.expect("read").len(), 1);
        let history = MailHistory::new(connection.clone(), format!("{{history{n}}}"));
        let (at, counts) = (Timestamp::from_millis(1), MailBucket { failed: 1, ..MailBucket::default() });
        history.add(at, &counts).await.expect("added");
        assert_eq!(history.recent(10, at).await.expect("read"), counts);
        let leases = ConnectionLeases::new(connection.clone(), format!("places:{n}"), 1, Duration::from_mins(1));
        assert!(leases.take("a").await.expect("asked") && !leases.take("b").await.expect("asked"));
    }
}
