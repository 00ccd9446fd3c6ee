//! Mails in doubt: it is unknown whether they were delivered.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use examhall_delivery::{DeliveryState, Doubt, Ledger, LedgerEntry};
use examhall_queue::{Attempts, JobOptions};
use examhall_testkit::{Action, Phase, Process, Proxy, eventually};
use serde_json::{Value, json};

use crate::{Post, SHORT_LOCKS, TIMEOUT, at, reply};

fn mail(class: &str) -> Value {
    json!({"to": "ada@example.com", "subject": "x", "html": "", "class": class})
}

async fn note(post: &Post, id: &str, state: DeliveryState, result: Value) {
    let ledger = Ledger::new(post.queue.connection().clone(), "mail:sent:", Duration::from_mins(1));
    let entry = LedgerEntry { state, message_id: "<x@y>".to_owned(), at: 1, result, ..LedgerEntry::default() };
    ledger.put(id, &entry).await.expect("written");
}

#[tokio::test]
async fn job_of_an_accepted_mail_completes_without_sending() {
    let post = Post::start().await;
    let id = post.add(json!("ada@example.com")).await;
    let result = json!({"messageId": "<x@y>", "response": "250 ok"});
    note(&post, &id, DeliveryState::Accepted, result.clone()).await;
    assert_eq!(post.drain().await.sent, 1);
    assert_eq!((post.returned(&id).await, post.world.smtp.received().len()), (result, 0));
}

#[tokio::test]
async fn mail_with_a_reused_id_is_sent_after_obliterate() {
    let post = Post::start().await;
    let first = post.add(json!("ada@example.com")).await;
    assert_eq!(post.drain().await.sent, 1);
    post.queue.pause().await.expect("paused");
    post.queue.obliterate(true).await.expect("obliterated");
    assert_eq!(post.add(json!("bob@example.com")).await, first, "ids start again");
    assert_eq!(post.drain().await.sent, 1);
    let to: Vec<_> = post.world.smtp.received().into_iter().map(|mail| mail.to[0].clone()).collect();
    assert_eq!(to, ["ada@example.com", "bob@example.com"]);
}

#[tokio::test]
async fn hold_in_doubt_still_sends_verification_and_reset() {
    let post = Post::start_set(&[("MAIL_IN_DOUBT", "hold")]).await;
    let mut ids = Vec::new();
    for class in ["verification", "reset", "result", "invitation", "other"] {
        let id = post.add_data(mail(class)).await;
        note(&post, &id, DeliveryState::Intent, Value::Null).await;
        ids.push(id);
    }
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (2, 3));
    let reason = post.reason(&ids[2]).await;
    assert!(reason.starts_with("held: it may have been delivered before"), "{reason}");

    post.queue.retry_failed(Some("held"), Attempts::Reset).await.expect("retried");
    assert_eq!(post.drain().await.sent, 3, "an operator released them");
}

#[tokio::test]
async fn hold_in_doubt_holds_a_mail_without_a_reply() {
    let post = Post::start_set(&[("MAIL_IN_DOUBT", "hold")]).await;
    post.world.smtp.behave(at(Phase::EndOfData, Action::KeepAndClose));
    let id = post.add_data(mail("result")).await;
    let drain = post.drain().await;
    assert_eq!((drain.failed, drain.ambiguous, post.world.smtp.received().len()), (1, 1, 1));
    assert!(post.reason(&id).await.starts_with("held: "));
    let ledger = Ledger::new(post.queue.connection().clone(), "mail:sent:", Duration::from_mins(1));
    let held = ledger.doubtful(Doubt::Held, 0, 10).await.expect("read");
    assert_eq!(held.iter().map(|(held, _)| held).collect::<Vec<_>>(), [&id], "an operator finds it");
}

#[tokio::test]
async fn mail_in_doubt_is_sent_again_by_default() {
    let post = Post::start().await;
    let id = post.add_data(mail("result")).await;
    note(&post, &id, DeliveryState::Intent, Value::Null).await;
    assert_eq!(post.drain().await.sent, 1);
}

#[tokio::test]
async fn refused_mail_is_not_in_doubt() {
    let post = Post::start_set(&[("MAIL_IN_DOUBT", "hold")]).await;
    let dots = AtomicU32::new(0);
    post.world.smtp.behave(move |phase, _| {
        let first = phase == Phase::EndOfData && dots.fetch_add(1, Ordering::SeqCst) == 0;
        if first { reply("451 4.3.0 later") } else { Action::Proceed }
    });
    post.add_data(mail("result")).await;
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (1, 0), "it was retried and not held");
}

#[tokio::test]
async fn mail_in_doubt_stays_in_doubt_after_a_refusal() {
    let post = Post::start().await;
    let dots = AtomicU32::new(0);
    post.world.smtp.behave(move |phase, _| match phase {
        Phase::EndOfData => match dots.fetch_add(1, Ordering::SeqCst) {
            0 => Action::KeepAndClose,
            1 => reply("451 4.3.0 later"),
            _ => reply("554 5.6.0 no"),
        },
        _ => Action::Proceed,
    });
    let id = post.add_data(mail("result")).await;
    assert_eq!(post.drain().await.failed, 1);
    assert_eq!(post.reason(&id).await, "554 5.6.0 no; an earlier try may have been delivered");
    let known: String = post.world.redis.cmd(&format!("GET mail:sent:{id}")).await;
    assert!(known.contains(r#""state":"refused""#) && known.contains(r#""inDoubt":true"#), "{known}");
}

#[tokio::test]
async fn held_mail_stays_held_when_its_worker_dies_again() {
    let post = Post::start_set(&[("MAIL_IN_DOUBT", "hold")]).await;
    let id = post.add_data(mail("result")).await;
    note(&post, &id, DeliveryState::Held, Value::Null).await; // its worker died before the job had failed
    post.world.redis.command::<i64>(&["HSET", &format!("bull:email:{id}"), "stc", "1"]).await;
    assert_eq!(post.drain().await.failed, 1);
    assert!(post.reason(&id).await.starts_with("held: "));
    post.queue.retry_failed(Some("held"), Attempts::Reset).await.expect("retried");
    assert_eq!(post.drain().await.sent, 1);
}

/// Adds a job that stalled too often: it fails without running.
async fn given_up(post: &Post) -> String {
    let id = post.add_data(mail("result")).await;
    let key = format!("bull:email:{id}");
    post.world.redis.command::<i64>(&["HSET", &key, "defa", "job stalled more than allowable limit"]).await;
    id
}

#[tokio::test]
async fn stalled_job_completes_if_its_mail_was_accepted() {
    let post = Post::start().await;
    let (sent, in_doubt, not_sent) = (given_up(&post).await, given_up(&post).await, given_up(&post).await);
    note(&post, &sent, DeliveryState::Accepted, json!({"response": "250 ok"})).await;
    note(&post, &in_doubt, DeliveryState::Intent, Value::Null).await;
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed, post.world.smtp.received().len()), (1, 2, 0));
    assert_eq!(post.returned(&sent).await, json!({"response": "250 ok"}));
    let stalled = "job stalled more than allowable limit";
    assert_eq!(post.reason(&in_doubt).await, format!("{stalled}: it may have been delivered"));
    assert_eq!(post.reason(&not_sent).await, stalled);
}

/// Runs `interfere` while an envelope is in flight; returns how often the mail was sent.
async fn sent_while(settings: &[(&str, &str)], interfere: impl AsyncFnOnce(&Post, &str, &Process)) -> usize {
    let post = Post::start_set(settings).await;
    post.world.smtp.behave(at(Phase::Rcpt, Action::Hang));
    let id = post.add_data(mail("result")).await;
    let mailer = post.world.mailer(&[]);
    post.world.smtp.wait_for_command("RCPT").await;
    interfere(&post, &id, &mailer).await;
    post.world.smtp.behave(|_, _| Action::Proceed);
    post.world.smtp.wait_for_command("DATA").await; // it is pipelined
    post.add(json!("bob@example.com")).await;
    let to = |mail: &examhall_testkit::Received| mail.to[0].clone();
    eventually("the next mail", TIMEOUT, async || {
        post.world.smtp.received().iter().any(|mail| to(mail) == "bob@example.com").then_some(())
    })
    .await;
    post.world.smtp.received().iter().filter(|mail| to(mail) == "ada@example.com").count()
}

#[tokio::test]
async fn worker_that_lost_a_job_does_not_send_its_mail() {
    let lost = sent_while(&SHORT_LOCKS, async |post, id, mailer| {
        post.world.redis.command::<String>(&["SET", &format!("bull:email:{id}:lock"), "another"]).await;
        post.world.redis.command::<i64>(&["LREM", "bull:email:active", "0", id]).await;
        mailer.line("Lock lost").await; // noticed when the lock is renewed
    });
    assert_eq!(lost.await, 0);
    assert_eq!(sent_while(&[], async |_, _, _| {}).await, 1, "without interference it is sent");
}

#[tokio::test]
async fn second_worker_to_write_the_intent_does_not_send() {
    // With this setting the intent is written after the envelope.
    let hold = [("MAIL_IN_DOUBT", "hold")];
    let second = sent_while(&hold, async |post, id, _| note(post, id, DeliveryState::Intent, Value::Null).await);
    assert_eq!(second.await, 0);
    assert_eq!(sent_while(&hold, async |_, _, _| {}).await, 1, "without interference it is sent");
}

/// Delays the reply to an intent by `span`, with mails in doubt held: this mail must not be held.
async fn assert_sent_with_delayed_intent(span: Duration, lock: &str) {
    let lock = [("QUEUE_LOCK_MS", lock), ("QUEUE_STALLED_INTERVAL_MS", lock)];
    let mut post = Post::start_set(&[&lock[..], &[("MAIL_IN_DOUBT", "hold")]].concat()).await;
    post.add_data(mail("result")).await;
    assert_eq!(post.drain().await.sent, 1, "now Redis has the scripts");
    let proxy = Proxy::start(post.world.redis.port()).await;
    post.world.set("REDIS_URL", &format!("redis://127.0.0.1:{}", proxy.port()));
    post.world.smtp.behave(at(Phase::Data, Action::Hang));
    let id = post.add_data(mail("result")).await;
    let mailer = post.world.mailer(&[]);
    eventually("DATA", TIMEOUT, async || (post.world.smtp.count("DATA") == 2).then_some(())).await;
    proxy.hold();
    post.world.smtp.behave(|_, _| Action::Proceed);
    eventually("the intent", TIMEOUT, async || {
        let known: Option<String> = post.world.redis.cmd(&format!("GET mail:sent:{id}")).await;
        known.filter(|known| known.contains("intent"))
    })
    .await;
    tokio::time::sleep(span).await; // the delay under test
    proxy.release();
    let ended = async || Some(post.counts().await).filter(|counts| counts.completed + counts.failed == 2);
    let counts = eventually("the job to end", TIMEOUT, ended).await;
    assert_eq!((counts.completed, post.world.smtp.received().len()), (2, 2), "{}", mailer.output());
}

#[tokio::test]
async fn mail_with_a_late_intent_reply_is_not_in_doubt() {
    assert_sent_with_delayed_intent(Duration::from_secs(3), "30000").await;
}

#[tokio::test]
async fn mail_whose_lock_expires_during_intent_is_not_in_doubt() {
    assert_sent_with_delayed_intent(Duration::from_millis(1_500), "1000").await;
}

#[tokio::test]
async fn a_removed_mail_that_comes_back_is_not_sent() {
    let post = Post::start().await;
    let mail = || json!({"to": "ada@example.com", "subject": "x", "html": ""});
    let options = || JobOptions::default().job_id("m-7");
    let id = post.add_with(mail(), options()).await;
    assert!(post.world.mailer(&["queue", "remove", &id]).exit(TIMEOUT).await.success());
    // A relay that had asked the ledger before adds the job once more.
    post.add_with(mail(), options()).await;
    assert_eq!(post.drain().await.failed, 1);
    assert_eq!(post.reason(&id).await, "removed: by an operator");
    assert!(post.world.smtp.received().is_empty());
}

#[tokio::test]
async fn a_job_that_is_given_up_cannot_be_sent_by_a_frozen_mailer() {
    let holds = ("MAIL_IN_DOUBT", "hold"); // then the intent is written after the envelope
    let post = Post::start_set(&[&SHORT_LOCKS[..], &[holds]].concat()).await;
    let id = post.add(json!("ada@example.com")).await;
    let mut mailer = post.mailer_hanging_at(Phase::Rcpt).await;
    mailer.freeze();
    post.world.redis.cmd::<i64>(&format!("HSET bull:email:{id} stc 99")).await; // its workers were lost before
    let other = post.world.mailer(&[]);
    let failed = async || (post.counts().await.failed == 1).then_some(());
    eventually("the job given up", TIMEOUT, failed).await;
    let known: String = post.world.redis.cmd(&format!("GET mail:sent:{id}")).await;
    assert!(known.contains("refused"), "{known}");
    post.world.smtp.behave(|_, _| Action::Proceed);
    mailer.thaw();
    mailer.line("not sent by this one").await;
    assert!(post.world.smtp.received().is_empty());
    mailer.kill().await;
    drop(other);
}
