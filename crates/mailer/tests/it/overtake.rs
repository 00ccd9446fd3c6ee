//! Priorities: urgent mails overtake all others.

use std::time::Duration;

use examhall_core::{EmailJob, Priority};
use examhall_queue::{Attempts, Backoff, JobOptions, NewJob};
use examhall_testkit::{Action, Phase};
use serde_json::json;

use crate::{Post, at, count, reply};

/// Mails that a mailer has in flight.
const SLOTS: usize = 5;

/// Makes each delivery slow, so that overtaking can be observed.
fn slow(post: &Post) {
    post.world.smtp.behave(at(Phase::EndOfData, Action::Wait(Duration::from_millis(20))));
}

/// Adds an urgent mail; returns how many others were begun between its addition and its start.
async fn begun_before_an_urgent_one(post: &Post) -> usize {
    let options = JobOptions::default()
        .priority(Priority::HIGHEST.to_bullmq())
        .attempts(EmailJob::ATTEMPTS)
        .backoff(Backoff::exponential(EmailJob::BACKOFF));
    let data = json!({"to": "urgent@example.com", "subject": "x", "html": "", "class": "verification"});
    post.queue.add(NewJob::new(EmailJob::NAME, data).options(options)).await.expect("added");
    let before = post.world.smtp.count("RCPT");
    post.world.smtp.wait_for_command("RCPT TO:<urgent@").await;
    let seen = post.world.smtp.seen();
    let recipients = seen.iter().filter(|line| line.starts_with("RCPT"));
    recipients.take_while(|line| !line.contains("urgent@")).count().saturating_sub(before)
}

#[tokio::test]
async fn urgent_mail_overtakes_a_hundred_thousand_others() {
    let others = count(100_000, 3_000);
    let post = Post::start().await;
    slow(&post);
    post.add_bulk(others, Priority::LOWEST).await;
    let _mailer = post.world.mailer(&[]);
    post.world.smtp.wait_for(20).await;
    let begun = begun_before_an_urgent_one(&post).await;
    // Those in flight, and those that free slots took together with it.
    assert!(begun <= 2 * SLOTS, "{begun} of {others} went before it");
}

#[tokio::test]
async fn urgent_mail_overtakes_retries_of_all_failed_mails() {
    let others = count(10_000, 500);
    let post = Post::start().await;
    // With different codes: refusals that are all alike would stop sending.
    post.world.smtp.behave(|phase, line| match (phase, line.bytes().rev().find(u8::is_ascii_digit)) {
        (Phase::Rcpt, Some(digit)) => reply(&format!("554 5.7.{} spam", char::from(digit))),
        _ => Action::Proceed,
    });
    post.add_bulk(others, Priority::LOWEST).await;
    assert_eq!(post.drain().await.failed, others as u64);
    slow(&post);
    post.queue.retry_failed(None, Attempts::Reset).await.expect("retried");
    let _mailer = post.world.mailer(&[]);
    post.world.smtp.wait_for(20).await;
    let begun = begun_before_an_urgent_one(&post).await;
    assert!(begun <= 2 * SLOTS, "{begun} of {others} went before it");
}

#[tokio::test]
async fn job_of_node_without_priority_goes_first() {
    let post = Post::start_set(&[("MAILER_CONCURRENCY", "1")]).await;
    post.add_many(3).await;
    let data = json!({"to": "node@example.com", "subject": "x", "html": "<p>x</p>"});
    let job = NewJob::new(EmailJob::NAME, data);
    post.queue.add(job).await.expect("added");
    assert_eq!(post.drain().await.sent, 4);
    assert_eq!(post.world.smtp.received()[0].to, ["node@example.com"]);
}
