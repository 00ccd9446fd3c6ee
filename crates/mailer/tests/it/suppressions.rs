//! Suppressions end, do not stop verifications and resets for long, and are held if a server refuses too many addresses.

use examhall_testkit::Phase;
use serde_json::json;

use crate::{Post, at, metrics::metric_is, now, operate::json_of, reply};

const HOUR: i64 = 3_600_000;

async fn suppress(post: &Post, address: &str, cause: &str, hours_ago: i64) {
    let entry =
        json!({"reason": "550 5.1.1", "since": 1, "seen": now() - hours_ago * HOUR, "cause": cause}).to_string();
    post.world.redis.command::<i64>(&["HSET", "mail:suppressed", address, &entry]).await;
}

#[tokio::test]
async fn suppressions_end_and_spare_verifications_and_resets() {
    let post = Post::start_set(&[("MAIL_SUPPRESSION_DAYS", "2")]).await;
    let (mut sent, mut stopped) = (Vec::new(), Vec::new());
    for (n, (cause, hours, class, is_sent)) in [
        ("refused", 47, "other", false),
        ("refused", 49, "other", true),
        ("bounced", 25, "result", false),
        ("bounced", 25, "invitation", false),
        ("bounced", 25, "verification", true),
        ("complained", 25, "reset", true),
        ("refused", 23, "verification", false),
        ("complained", 1, "reset", false),
        ("operator", 1000, "reset", false),
        ("operator", 1000, "other", false),
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("s{n}@example.com");
        suppress(&post, &address, cause, hours).await;
        let id = post.add_data(json!({"to": address, "subject": "x", "html": "", "class": class})).await;
        if is_sent { sent.push(address) } else { stopped.push(id) }
    }
    let mailer = post.world.mailer(&[]);
    metric_is(&mailer, "mailer_attempts_total{outcome=\"sent\"}", 3.0).await;
    metric_is(&mailer, "mailer_attempts_total{outcome=\"suppressed\"}", 7.0).await;
    metric_is(&mailer, "mailer_security_mails_suppressed_total{class=\"reset\"}", 2.0).await;
    metric_is(&mailer, "mailer_security_mails_suppressed_total{class=\"verification\"}", 1.0).await;
    let mut received: Vec<_> = post.world.smtp.received().iter().flat_map(|mail| mail.to.clone()).collect();
    received.sort();
    assert_eq!(received, sent);
    for id in &stopped {
        assert_eq!(post.reason(id).await, "suppressed: 550 5.1.1");
    }
    let said = mailer.output().matches("Verification or reset not sent: its address is suppressed").count();
    assert_eq!(said, 3, "{}", mailer.output());
}

#[tokio::test]
async fn server_that_refuses_too_many_addresses_suppresses_none() {
    let post = Post::start_set(&[("MAIL_SUPPRESSIONS_PER_MINUTE", "3")]).await;
    post.world.smtp.behave(at(Phase::Rcpt, reply("550 5.1.1 no such user")));
    post.add_many(3).await;
    assert_eq!(post.drain().await.failed, 3);
    post.add(json!("s3@example.com")).await;
    let mut mailer = post.world.mailer(&["--once"]);
    mailer.exit(crate::TIMEOUT).await;
    let alerts = mailer.output().matches("Suppressions are held").count();
    assert_eq!(alerts, 1, "{}", mailer.output());
    let listed = json_of(&post, &["suppressions", "list"]).await;
    let held = listed.as_array().expect("a list").iter().filter(|one| one["held"] == true).count();
    assert_eq!(held, 4, "{listed}");
    post.world.smtp.behave(|_, _| examhall_testkit::Action::Proceed);
    post.add_many(4).await;
    assert_eq!(post.drain().await.sent, 4, "they stop no mail");
    assert_eq!(json_of(&post, &["suppressions", "confirm", "S0@example.com"]).await, json!({"confirmed": 1}));
    assert_eq!(json_of(&post, &["suppressions", "remove", "--held"]).await, json!({"removed": 3}));
    post.add_many(2).await;
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (1, 1));
}
