//! Mailboxes that do not exist, are full, or greylist.

use std::time::Duration;

use examhall_queue::Attempts;
use examhall_testkit::{Action, Phase, eventually};
use serde_json::{Value, json};

use crate::{Post, TIMEOUT, at, metrics::metric_is, now, reply};

async fn post_where_rcpt_says(text: &'static str) -> Post {
    let post = Post::start().await;
    post.world.smtp.behave(at(Phase::Rcpt, reply(text)));
    post
}

/// Returns the minutes until the only delayed job is due.
async fn due_in(post: &Post) -> i64 {
    let due = post.counts().await.next_due.expect("a delayed job");
    (due - now() + 59_000) / 60_000
}

#[tokio::test]
async fn nonexistent_address_is_tried_once_and_suppressed() {
    let post = post_where_rcpt_says("550 5.1.1 no such user").await;
    let first = post.add(json!("Nobody@example.com")).await;
    assert_eq!(post.drain().await.failed, 1);
    assert_eq!(post.reason(&first).await, "550 5.1.1 no such user");
    let connections = post.world.smtp.count("EHLO");

    let second = post.add(json!("nobody@example.com")).await;
    assert_eq!(post.drain().await.failed, 1);
    assert_eq!(post.reason(&second).await, "suppressed: 550 5.1.1 no such user");
    assert_eq!(post.world.smtp.count("EHLO"), connections, "no connection for it");
}

#[tokio::test]
async fn suppressed_recipient_does_not_affect_the_others() {
    let post = Post::start().await;
    post.world
        .redis
        .command::<i64>(&["HSET", "mail:suppressed", "nobody@example.com", r#"{"reason":"x","since":1}"#])
        .await;
    let id = post.add(json!(["nobody@example.com", "ada@example.com"])).await;
    assert_eq!(post.drain().await.sent, 1);
    let returned = post.returned(&id).await;
    assert_eq!(
        (&returned["accepted"], &returned["rejected"]),
        (&json!(["ada@example.com"]), &json!(["nobody@example.com"]))
    );
    assert_eq!(post.world.smtp.received()[0].to, ["ada@example.com"]);
}

#[tokio::test]
async fn greylisting_backs_off_and_spends_no_attempt() {
    let post = post_where_rcpt_says("450 4.2.0 greylisted, come back later").await;
    let id = post.add(json!("ada@example.com")).await;
    for minutes in [5, 15, 30, 60, 60] {
        let drain = post.drain().await;
        assert_eq!((drain.retried_later, drain.failed), (1, 0));
        assert_eq!(due_in(&post).await, minutes);
        assert_eq!(post.job(&id).await.get("atm").map_or("0", String::as_str), "0");
        post.queue.promote(&id).await.expect("promoted");
    }
    post.world.smtp.behave(|_, _| Action::Proceed);
    assert_eq!(post.drain().await.sent, 1);
}

#[tokio::test]
async fn greylisted_mail_fails_when_it_expires() {
    let post = post_where_rcpt_says("450 4.2.0 greylisted").await;
    let in_two_minutes = examhall_core::Timestamp::from_millis(now() + 120_000).to_string();
    let data = json!({"to": "ada@example.com", "subject": "x", "html": "", "expiresAt": in_two_minutes});
    post.add_data(data.clone()).await;
    assert_eq!(post.drain().await.retried_later, 1);
    assert!(due_in(&post).await <= 2, "not after 5 minutes, when it has expired");

    let in_a_moment = examhall_core::Timestamp::from_millis(now() + 1_500).to_string();
    let mut data = data;
    data["expiresAt"] = json!(in_a_moment);
    let id = post.add_data(data).await;
    let drain = post.drain().await;
    assert_eq!((drain.failed, post.reason(&id).await.as_str()), (1, "expired"));
}

#[tokio::test]
async fn mail_that_expires_during_an_outage_is_counted() {
    let post = Post::start_set(&[("SMTP_PROBE_MS", "200")]).await;
    post.world.smtp.behave(at(Phase::Greeting, Action::Close));
    let mailer = post.world.mailer(&[]);
    post.add(json!("ada@example.com")).await;
    mailer.line("Provider's circuit is open").await;
    let end = now() + 1_000;
    let expires_at = examhall_core::Timestamp::from_millis(end);
    let reset = json!({"to": "bob@example.com", "subject": "x", "html": "", "class": "reset", "expiresAt": expires_at});
    let reset = post.add_data(reset).await;
    eventually("its end", TIMEOUT, async || (now() > end).then_some(())).await;
    post.world.smtp.behave(|_, _| Action::Proceed);
    post.completed(1).await;
    metric_is(&mailer, "mailer_attempts_total{outcome=\"expired\"}", 1.0).await;
    assert_eq!(post.reason(&reset).await, "expired");
    let to: Vec<_> = post.world.smtp.received().into_iter().map(|mail| mail.to[0].clone()).collect();
    assert_eq!(to, ["ada@example.com"]);
}

#[tokio::test]
async fn mail_that_no_server_took_for_a_day_expires() {
    let post = post_where_rcpt_says("450 4.2.0 greylisted").await;
    let id = post.add(json!("ada@example.com")).await;
    let yesterday = (now() - 25 * 3_600_000).to_string();
    post.world.redis.command::<i64>(&["HSET", &format!("bull:email:{id}"), "timestamp", &yesterday]).await;
    let drain = post.drain().await;
    assert_eq!((drain.failed, post.reason(&id).await.as_str()), (1, "expired"));
}

#[tokio::test]
async fn retry_by_an_operator_gives_a_mail_another_day() {
    let post = post_where_rcpt_says("450 4.2.0 greylisted").await;
    let id = post.add(json!("ada@example.com")).await;
    let (key, yesterday) = (format!("bull:email:{id}"), (now() - 25 * 3_600_000).to_string());
    post.world.redis.command::<i64>(&["HSET", &key, "timestamp", &yesterday]).await;
    assert_eq!(post.drain().await.failed, 1);
    for attempts in [Attempts::Reset, Attempts::Keep] {
        post.queue.retry(&id, attempts).await.expect("retried");
        let drain = post.drain().await;
        assert_eq!((drain.failed, drain.retried_later), (0, 1));
        post.world.redis.command::<i64>(&["HSET", &key, "retriedOn", &yesterday]).await;
        post.queue.promote(&id).await.expect("promoted");
        let drain = post.drain().await;
        assert_eq!((drain.failed, post.reason(&id).await.as_str()), (1, "expired"), "the new lifetime ends, too");
    }
    assert_eq!(post.queue.retry_failed(None, Attempts::Reset).await.expect("retried"), 1);
    assert_eq!(post.drain().await.retried_later, 1);
}

#[tokio::test]
async fn mailbox_full_three_times_a_week_is_suppressed() {
    let post = post_where_rcpt_says("552 5.2.2 mailbox full").await;
    for expected in ["552 5.2.2 mailbox full", "552 5.2.2 mailbox full", "552 5.2.2 mailbox full", "suppressed: "] {
        let id = post.add(json!("ada@example.com")).await;
        assert_eq!(post.drain().await.failed, 1);
        assert!(post.reason(&id).await.starts_with(expected), "{}", post.reason(&id).await);
    }
}

#[tokio::test]
async fn policy_refusal_does_not_suppress_the_address() {
    let post = post_where_rcpt_says("550 5.7.1 your mail looks like spam").await;
    post.add(json!("ada@example.com")).await;
    assert_eq!(post.drain().await.failed, 1);
    assert_eq!(post.world.redis.cmd::<i64>("EXISTS mail:suppressed").await, 0);
}

#[tokio::test]
async fn accepted_mail_stays_in_the_ledger_for_a_week() {
    let post = Post::start().await;
    let id = post.add(json!("ada@example.com")).await;
    assert_eq!(post.drain().await.sent, 1);
    let text: String = post.world.redis.command(&["GET", &format!("mail:sent:{id}")]).await;
    let entry: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&entry["state"], &entry["result"]), (&json!("accepted"), &post.returned(&id).await));
    let lifetime: i64 = post.world.redis.command(&["TTL", &format!("mail:sent:{id}")]).await;
    assert!(Duration::from_secs(lifetime.unsigned_abs()) > Duration::from_hours(6 * 24));
}

#[tokio::test]
async fn mail_that_expires_during_the_envelope_is_not_sent() {
    let post = Post::start().await;
    let end = now() + 5_000;
    post.world.smtp.behave(move |phase, _| {
        let until_expired = Duration::from_millis((end + 200 - now()).try_into().unwrap_or(0));
        if phase == Phase::Rcpt { Action::Wait(until_expired) } else { Action::Proceed }
    });
    let expires_at = examhall_core::Timestamp::from_millis(end).to_string();
    let id = post
        .add_data(
            json!({"to": "ada@example.com", "subject": "x", "html": "", "class": "reset", "expiresAt": expires_at}),
        )
        .await;
    let drain = post.drain().await;
    assert_eq!((drain.failed, post.reason(&id).await.as_str()), (1, "expired"));
    assert_eq!((post.world.smtp.count("DATA"), post.world.smtp.received().len()), (1, 0));
    let known: String = post.world.redis.cmd(&format!("GET mail:sent:{id}")).await;
    assert!(known.contains("deferred"), "the ledger knows that it was not sent: {known}");
}

#[tokio::test]
async fn full_mailbox_is_suppressed_after_three_mails_not_tries() {
    let post = Post::start().await;
    post.world.smtp.behave(|phase, line| match phase {
        Phase::Rcpt if line.contains("full@") => reply("552 5.2.2 mailbox full"),
        Phase::Rcpt => reply("450 4.5.0 later"),
        Phase::EndOfData => reply("552 5.2.2 mailbox full"),
        _ => Action::Proceed,
    });
    post.add(json!(["full@example.com", "ada@example.com"])).await;
    assert_eq!(post.drain().await.failed, 1, "three attempts");
    assert_eq!(post.world.redis.cmd::<i64>("HLEN mail:suppressed").await, 0);
    post.add(json!("full@example.com")).await;
    assert_eq!(post.drain().await.failed, 1);
    assert_eq!(post.world.redis.cmd::<i64>("HLEN mail:suppressed").await, 0);
    post.world.smtp.behave(at(Phase::EndOfData, reply("552 5.2.2 mailbox full")));
    post.add(json!("full@example.com")).await;
    assert_eq!(post.drain().await.failed, 1, "refused after the message");
    assert_eq!(post.world.redis.cmd::<i64>("HEXISTS mail:suppressed full@example.com").await, 1);
}
