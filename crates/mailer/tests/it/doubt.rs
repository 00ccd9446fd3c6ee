//! Mails of which nobody knows whether they were delivered.

use std::time::Duration;

use examhall_queue::{Attempts, Effect, Entry, Ledger};
use examhall_testkit::{Action, Phase};
use serde_json::{Value, json};

use crate::{Post, reply};

fn mail(class: &str) -> Value {
    json!({"to": "ada@example.com", "subject": "x", "html": "", "class": class})
}

async fn note(post: &Post, id: &str, state: Effect, result: Value) {
    let ledger = Ledger::new(post.queue.connection().clone(), "mail:sent:", Duration::from_mins(1));
    let entry = Entry { state, message_id: "<x@y>".to_owned(), at: 1, job_timestamp: None, deferrals: 0, result };
    ledger.put(id, &entry).await.expect("written");
}

#[tokio::test]
async fn a_job_whose_mail_was_accepted_before_is_completed_without_sending() {
    let post = Post::start().await;
    let id = post.add(json!("ada@example.com")).await;
    let result = json!({"messageId": "<x@y>", "response": "250 ok"});
    note(&post, &id, Effect::Accepted, result.clone()).await;
    assert_eq!(post.drain().await.sent, 1);
    assert_eq!((post.returned(&id).await, post.world.smtp.received().len()), (result, 0));
}

#[tokio::test]
async fn a_mail_whose_id_was_anothers_before_the_queue_was_obliterated_is_sent() {
    let post = Post::start().await;
    let first = post.add(json!("ada@example.com")).await;
    assert_eq!(post.drain().await.sent, 1);
    post.queue.pause().await.expect("paused");
    post.queue.obliterate(true).await.expect("obliterated");
    assert_eq!(post.add(json!("bob@example.com")).await, first, "ids are counted anew");
    assert_eq!(post.drain().await.sent, 1);
    let to: Vec<_> = post.world.smtp.received().into_iter().map(|mail| mail.to[0].clone()).collect();
    assert_eq!(to, ["ada@example.com", "bob@example.com"]);
}

#[tokio::test]
async fn where_mails_in_doubt_are_held_verification_and_reset_are_sent_all_the_same() {
    let post = Post::start_set(&[("MAIL_IN_DOUBT", "hold")]).await;
    let mut ids = Vec::new();
    for class in ["verification", "reset", "result", "other"] {
        let id = post.add_data(mail(class)).await;
        note(&post, &id, Effect::Intent, Value::Null).await;
        ids.push(id);
    }
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (2, 2));
    let reason = post.reason(&ids[2]).await;
    assert!(reason.starts_with("held: it may have been delivered before"), "{reason}");

    post.queue.retry_failed(Some("held"), Attempts::Reset).await.expect("retried");
    assert_eq!(post.drain().await.sent, 2, "an operator has decided");
}

#[tokio::test]
async fn a_mail_that_was_not_answered_is_held_where_that_is_asked_for() {
    let post = Post::start_set(&[("MAIL_IN_DOUBT", "hold")]).await;
    post.world.smtp.behave(|phase, _| if phase == Phase::Dot { Action::KeepAndClose } else { Action::Proceed });
    let id = post.add_data(mail("result")).await;
    let drain = post.drain().await;
    assert_eq!((drain.failed, drain.ambiguous, post.world.smtp.received().len()), (1, 1, 1));
    assert!(post.reason(&id).await.starts_with("held: "));
}

#[tokio::test]
async fn by_default_a_mail_in_doubt_is_sent_again() {
    let post = Post::start().await;
    let id = post.add_data(mail("result")).await;
    note(&post, &id, Effect::Intent, Value::Null).await;
    assert_eq!(post.drain().await.sent, 1);
}

#[tokio::test]
async fn a_refusal_leaves_no_doubt() {
    let post = Post::start_set(&[("MAIL_IN_DOUBT", "hold")]).await;
    let dots = std::sync::atomic::AtomicU32::new(0);
    post.world.smtp.behave(move |phase, _| {
        let first = phase == Phase::Dot && dots.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        if first { reply("451 4.3.0 later") } else { Action::Proceed }
    });
    post.add_data(mail("result")).await;
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (1, 0), "it was tried again and not held");
}
