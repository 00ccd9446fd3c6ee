use std::time::Duration;

use examhall_delivery::{
    DeliveryState, Error, Ledger, LedgerEntry, MessageNames, Report, ReportKind, Reports, SuppressionPolicy,
    Suppressions,
};
use examhall_testkit::Redis;
use serde_json::json;

use crate::connect;

const ID: &str = "m-018f4e3a-0000-7000-8000-000000000001";
const ACCEPTED_AT: i64 = 1_795_424_400_000;

async fn reports(redis: &Redis) -> Reports {
    let connection = connect(redis).await;
    let policy = SuppressionPolicy { lifetime: Duration::from_hours(24), per_minute: 50 };
    Reports {
        ledger: Ledger::new(connection.clone(), "mail:sent:", Duration::from_mins(1)),
        names: MessageNames::new(connection.clone(), "mail:message:", Duration::from_mins(1)),
        suppressions: Suppressions::new(connection.clone(), "mail:suppressed", policy),
        connection,
        totals: "mail:reports".to_owned(),
    }
}

fn entry(state: DeliveryState, message_id: &str) -> LedgerEntry {
    let result = json!({"accepted": ["Ada@x.example", "bob@x.example"]});
    LedgerEntry { state, message_id: message_id.to_owned(), at: ACCEPTED_AT, result, ..LedgerEntry::default() }
}

fn report(name: &str, kind: ReportKind, recipient: &str) -> Report {
    Report {
        names: vec!["unknown@x.example".to_owned(), name.to_owned()],
        recipients: vec![recipient.to_owned()],
        kind,
        reason: "550 5.1.1 no such user".to_owned(),
        source: "ses",
        at: ACCEPTED_AT + 1,
        is_trusted: true,
    }
}

#[tokio::test]
async fn a_report_ends_in_ledger_and_suppressions_once() {
    let redis = Redis::start().await;
    let reports = reports(&redis).await;
    let name = format!("{ID}@x.example");
    reports.ledger.put(ID, &entry(DeliveryState::Accepted, &format!("<{name}>"))).await.expect("written");
    let soft = report(&name, ReportKind::SoftBounce, "bob@x.example");
    let recorded = reports.record(&soft).await.expect("recorded");
    assert_eq!((recorded.job_id.as_deref(), recorded.is_new, recorded.suppressed), (Some(ID), true, 0));
    assert!(reports.suppressions.list().await.expect("read").is_empty(), "a soft bounce suppresses nobody");
    let known = reports.ledger.get(ID).await.expect("read").expect("there");
    assert_eq!((known.state, known.reports.len()), (DeliveryState::Bounced, 1));

    for (kind, state) in
        [(ReportKind::HardBounce, DeliveryState::Bounced), (ReportKind::Complaint, DeliveryState::Complained)]
    {
        for is_new in [true, false] {
            let recorded = reports.record(&report(&name, kind, "ada@x.example")).await.expect("recorded");
            assert_eq!(recorded.is_new, is_new, "{kind:?}");
            assert_eq!(reports.ledger.get(ID).await.expect("read").expect("there").state, state);
        }
    }
    let listed = reports.suppressions.list().await.expect("read");
    assert_eq!(listed.iter().map(|one| one.address.as_str()).collect::<Vec<_>>(), ["ada@x.example"]);
    let known = reports.ledger.get(ID).await.expect("read").expect("there");
    assert_eq!(known.result["accepted"][0], "Ada@x.example", "the result stays");
    assert!(known.state.was_accepted());
    let mut totals = reports.totals().await.expect("read");
    totals.sort_by(|a, b| a.kind.cmp(&b.kind));
    let totals: Vec<_> = totals.iter().map(|one| (one.source.as_str(), one.kind.as_str(), one.count)).collect();
    assert_eq!(totals, [("ses", "complaint", 1), ("ses", "hardBounce", 1), ("ses", "softBounce", 1)]);
}

#[tokio::test]
async fn a_mail_is_found_by_every_name_and_by_no_wrong_one() {
    let redis = Redis::start().await;
    let reports = reports(&redis).await;
    let counted = LedgerEntry { job_timestamp: Some(17), ..entry(DeliveryState::Accepted, "<7.17@x.example>") };
    let custom = LedgerEntry { job_timestamp: Some(18), ..entry(DeliveryState::Accepted, "<own@y.example>") };
    reports.ledger.put("7", &counted).await.expect("written");
    reports.ledger.put("user:1", &custom).await.expect("written");
    for name in ["own@y.example", "h-0123", "0102018f-1111-000000"] {
        reports.names.put(name, "user:1").await.expect("written");
    }
    for (name, job) in [
        ("<7.17@X.EXAMPLE>", Some("7")),
        ("7.17", Some("7")),
        ("7.18@x.example", None),
        ("7.17@other.example", None),
        ("<own@y.example>", Some("user:1")),
        ("h-0123", Some("user:1")),
        ("0102018f-1111-000000", Some("user:1")),
        (ID, None),
    ] {
        let recorded = reports.record(&report(name, ReportKind::SoftBounce, "ada@x.example")).await.expect("recorded");
        assert_eq!(recorded.job_id.as_deref(), job, "{name}");
    }
}

#[tokio::test]
async fn a_report_of_an_unfinished_mail_waits_or_changes_nothing() {
    let redis = Redis::start().await;
    let reports = reports(&redis).await;
    reports.ledger.put(ID, &entry(DeliveryState::Intent, &format!("<{ID}@x.example>"))).await.expect("written");
    let early = report(ID, ReportKind::HardBounce, "ada@x.example");
    assert!(matches!(reports.record(&early).await, Err(Error::InFlight)));
    let late = Report { at: ACCEPTED_AT + 60_000, ..early };
    let recorded = reports.record(&late).await.expect("recorded");
    assert_eq!((recorded.job_id.as_deref(), recorded.suppressed), (Some(ID), 1));
    let state = reports.ledger.get(ID).await.expect("read").expect("there").state;
    assert_eq!(state, DeliveryState::Intent, "it may still be sent");
}
