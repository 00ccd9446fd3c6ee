//! What operators see: the answer to "Is my e-mail going out?", heartbeats, counts, groups of failed mails.

use std::sync::atomic::{AtomicBool, Ordering};

use examhall_core::{Circuit, EmailJob, Timestamp};
use examhall_delivery::{Doubt, FailureGroup, Ledger, Operations};
use examhall_mailer::DrainOptions;
use examhall_queue::{Attempts, State};
use examhall_testkit::{Action, Phase, eventually};
use serde_json::{Value, json};

use crate::{Post, TIMEOUT, at, now, operate::json_of, reply};

fn operations(post: &Post) -> Operations {
    Operations::new(post.queue.connection())
}

/// Waits until `mailer queue status` answers with a sentence that begins so; returns the answer.
async fn says(post: &Post, sentence: &str) -> Value {
    eventually(&format!("the sentence {sentence:?}"), TIMEOUT, async || {
        let status = json_of(post, &["queue", "status"]).await;
        let is_said = status["health"]["sentence"].as_str().is_some_and(|said| said.starts_with(sentence));
        is_said.then_some(status)
    })
    .await
}

#[tokio::test]
async fn status_says_whether_mails_go_out() {
    let post = Post::start().await;
    says(&post, "No mailer runs.").await;
    let mailer = post.world.mailer(&[]);
    let status = says(&post, "Yes. No mail waits.").await;
    assert_eq!((&status["health"]["level"], &status["mailers"]), (&json!("good"), &json!(1)));
    let found = operations(&post).fleet.mailers().await.expect("read");
    assert_eq!((found[0].slots, found[0].providers[0].circuit), (5, Circuit::Closed));

    post.world.smtp.behave(at(Phase::Greeting, reply("451 4.7.1 try later")));
    post.add_many(3).await;
    let status = says(&post, "Late: 127.0.0.1 answers 451 4.7.1 since ").await;
    let sentence = status["health"]["sentence"].as_str().expect("text");
    assert!(sentence.contains("; next try "), "{sentence}");
    let provider = operations(&post).fleet.mailers().await.expect("read").remove(0).providers.remove(0);
    assert_eq!((provider.circuit, provider.reason.as_deref()), (Circuit::Open, Some("451 4.7.1 at greeting")));
    assert!(
        provider.since.is_some_and(|since| now() - since.as_millis() < 120_000) && provider.next_probe_at.is_some()
    );

    let pause = ["queue", "pause", "--reason", "SPF is broken", "--by", "Ada"];
    json_of(&post, &pause).await;
    let status = says(&post, "No: paused by Ada at ").await;
    let sentence = status["health"]["sentence"].as_str().expect("text");
    assert!(sentence.ends_with(" (SPF is broken).") && status["pause"]["by"] == "Ada", "{status}");
    json_of(&post, &["queue", "resume"]).await;
    post.queue.pause().await.expect("paused by another program");
    says(&post, "No: paused.").await;
    post.queue.resume().await.expect("resumed");
    post.world.smtp.behave(|_, _| Action::Proceed);
    post.completed(3).await;
    says(&post, "Yes. No mail waits.").await;
    mailer.terminate();
    says(&post, "No mailer runs.").await;
}

async fn group_of(post: &Post, text: &str) -> FailureGroup {
    let groups = operations(post).failures.groups(0, 10).await.expect("read");
    let found = groups.iter().find(|group| group.signature.to_string() == text).cloned();
    assert!(found.is_some(), "no {text} in {groups:?}");
    found.expect("found")
}

#[tokio::test]
async fn failed_mails_are_grouped_and_counted() {
    let post = Post::start().await;
    post.world.smtp.behave(|phase, line| match phase {
        Phase::Rcpt if line.contains("gone") => reply("550 5.1.1 no such user"),
        Phase::Rcpt if line.contains("full") => reply("452 4.2.2 mailbox full"),
        Phase::Rcpt if line.contains("later") => reply("450 4.2.0 greylisted"),
        _ => Action::Proceed,
    });
    for to in ["gone1@example.com", "gone2@Example.com", "gone@x.example", "ada@example.com", "later@example.com"] {
        post.add(json!(to)).await;
    }
    let lost = post.add_data(json!({"to": "not an address", "subject": "x", "html": ""})).await;
    let unreadable = post.add_data(json!({"to": {"x": 1}, "subject": [], "html": ""})).await;
    let drained = post.drain().await;
    assert_eq!((drained.sent, drained.failed), (1, 5), "{drained:?}");

    let group = group_of(&post, "550 5.1.1 at rcpt, example.com").await;
    assert_eq!((group.count, group.jobs), (2, 2));
    assert_eq!(group_of(&post, "550 5.1.1 at rcpt, x.example").await.count, 1);
    let groups = operations(&post).failures.groups(0, 10).await.expect("read");
    for id in [&lost, &unreadable] {
        let of_it = groups.iter().filter(|group| &group.sample == id);
        assert_eq!(of_it.map(|group| group.signature.phase.is_none()).collect::<Vec<_>>(), [true], "{groups:?}");
    }
    let history = operations(&post).history.recent(10, Timestamp::from_millis(now())).await.expect("read");
    assert_eq!((history.sent, history.failed, history.deferred), (1, 5, 1));
    assert!(history.wait_ms(50).is_some_and(|wait| wait < 120_000));

    post.queue.retry(&group.sample, Attempts::Reset).await.expect("retried by another program");
    json_of(&post, &["queue", "retry-failed", "--reason", "no such user"]).await;
    assert_eq!(group_of(&post, "550 5.1.1 at rcpt, example.com").await.jobs, 0, "those that are failed count");
    assert_eq!(post.queue.counts().await.expect("read").of(State::Failed), 2);
}

#[tokio::test]
async fn mail_in_doubt_is_indexed_until_it_is_sent() {
    let post = Post::start().await;
    let connection = post.queue.connection().clone();
    let ledger = Ledger::new(connection, EmailJob::LEDGER_PREFIX, EmailJob::KEEP_LEDGER);
    let in_doubt = async || {
        let found = ledger.doubtful(Doubt::InDoubt, 0, 10).await.expect("read");
        found.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    let is_first = AtomicBool::new(true);
    post.world.smtp.behave(move |phase, _| {
        if phase == Phase::EndOfData && is_first.swap(false, Ordering::SeqCst) {
            return Action::KeepAndClose;
        }
        Action::Proceed
    });
    let id = post.add(json!("ada@example.com")).await;
    let one = DrainOptions { limit: Some(1), ..DrainOptions::default() };
    assert_eq!(post.drain_with(one).await.ambiguous, 1);
    assert_eq!(in_doubt().await, [id.as_str()]);
    post.queue.promote(&id).await.expect("promoted");
    assert_eq!(post.drain().await.sent, 1);
    assert_eq!(in_doubt().await, [""; 0]);
}
