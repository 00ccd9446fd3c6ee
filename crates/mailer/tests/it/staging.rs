//! Staging: mails are redirected or withheld, and the mailer says so.

use examhall_core::EmailJob;
use examhall_delivery::{DeliveryState, Ledger};
use examhall_queue::Connection;
use serde_json::json;

use crate::{Post, TIMEOUT, metrics::metric_is};

const ALLOW: (&str, &str) = ("MAIL_ALLOW", "School.example, Ada@BÜCHER.example");

#[tokio::test]
async fn all_mails_go_to_one_address_that_sees_whom_they_were_for() {
    let post = Post::start_set(&[("MAIL_REDIRECT_TO", "QA <qa@school.example>")]).await;
    let (to, cc) = (json!("Zoë <zoe@example.com>, bob@example.com"), json!("carl@example.com"));
    let id = post.add_data(json!({"to": to, "cc": cc, "bcc": "dora@example.com", "subject": "x", "html": "x"})).await;
    let mut mailer = post.world.mailer(&["--once"]);
    assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(0), "{}", mailer.output());
    let mail = post.world.smtp.wait_for(1).await.remove(0);
    assert_eq!((mail.to, post.world.smtp.count("RCPT")), (vec!["qa@school.example".to_owned()], 1));
    let mail = post.world.smtp.received().remove(0);
    assert_eq!(mail.header("To").as_deref(), Some("QA <qa@school.example>"));
    assert_eq!(mail.header("Cc"), None);
    let original = |name: &str| mail.header(name).unwrap_or_default();
    assert!(original("X-Original-To").contains("<zoe@example.com>, bob@example.com"), "{}", mail.message);
    assert_eq!(
        (original("X-Original-Cc"), original("X-Original-Bcc")),
        ("carl@example.com".into(), "dora@example.com".into())
    );
    assert_eq!(post.returned(&id).await["accepted"], json!(["qa@school.example"]));
    let output = mailer.output();
    assert!(output.contains("STAGING") && output.contains("MAIL_REDIRECT_TO") && !output.contains("qa@"), "{output}");
}

#[tokio::test]
async fn mails_to_others_than_those_allowed_are_withheld() {
    let post = Post::start_set(&[ALLOW]).await;
    let withheld = post.add(json!("bob@example.com")).await;
    let hidden = post.add_data(json!({"to": "a@b.example", "bcc": "c@d.example", "subject": "x", "html": ""})).await;
    let allowed = post.add(json!("ADA@xn--bcher-kva.example")).await;
    let mixed =
        json!({"to": "bob@example.com", "cc": "zoe@SCHOOL.example", "bcc": "x@y.example", "subject": "x", "html": ""});
    let mixed = post.add_data(mixed).await;
    let mailer = post.world.mailer(&[]);
    mailer.line("STAGING").await;
    post.completed(2).await;
    metric_is(&mailer, "mailer_attempts_total{outcome=\"withheld\"}", 2.0).await;
    let mut reached: Vec<_> = post.world.smtp.received().into_iter().flat_map(|mail| mail.to).collect();
    reached.sort();
    assert_eq!(reached, ["ADA@xn--bcher-kva.example", "zoe@school.example"]);
    assert_eq!(post.world.smtp.count("RCPT"), 2, "nobody else was named");
    assert_eq!(post.returned(&mixed).await["rejected"], json!(["bob@example.com", "x@y.example"]));
    assert_eq!(post.returned(&allowed).await["rejected"], json!([]));
    let connection = Connection::open(&post.world.redis.url()).expect("a good URL");
    connection.ready().await.expect("connected");
    let ledger = Ledger::new(connection, EmailJob::LEDGER_PREFIX, EmailJob::KEEP_LEDGER);
    for id in [&withheld, &hidden] {
        assert!(post.reason(id).await.starts_with("withheld: "), "{}", post.reason(id).await);
        let entry = ledger.get(id).await.expect("read").expect("an entry");
        assert_eq!((entry.state, entry.result), (DeliveryState::Refused, json!("withheld")));
    }
    let output = mailer.output();
    assert!(!output.contains("@example.com") && !output.contains("b.example"), "no address is logged: {output}");
}

#[tokio::test]
async fn withheld_mail_is_sent_by_a_retry_once_it_is_allowed() {
    let mut post = Post::start_set(&[ALLOW]).await;
    let id = post.add(json!("bob@example.com")).await;
    assert_eq!(post.drain().await.failed, 1);
    post.world.set("MAIL_ALLOW", "example.com");
    let mut retry = post.world.mailer(&["queue", "retry", &id]);
    assert!(retry.exit(TIMEOUT).await.success(), "{}", retry.output());
    assert_eq!(post.drain().await.sent, 1);
    // Commands without the queue obey it, too.
    let mut test = post.world.mailer(&["send-test", "--to", "zoe@other.example"]);
    assert!(!test.exit(TIMEOUT).await.success() && test.output().contains("withheld"), "{}", test.output());
    let mut check = post.world.mailer(&["check"]);
    check.exit(TIMEOUT).await;
    assert!(check.output().contains("warning  staging"), "{}", check.output());
    assert_eq!(post.world.smtp.received().len(), 1);
    for (name, value) in [("MAIL_ALLOW", "no domain"), ("MAIL_REDIRECT_TO", "nobody")] {
        post.world.set(name, value);
        let mut mailer = post.world.mailer(&[]);
        assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(78), "{}", mailer.output());
        assert!(mailer.output().contains(name), "{}", mailer.output());
        post.world.set(name, "example.com");
    }
}
