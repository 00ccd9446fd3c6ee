//! A killed mailer loses no mail, and sends few twice: at most those in flight.
#![expect(clippy::print_stdout, reason = "the figures stand in the documentation")]

use std::{collections::HashMap, time::Duration};

use examhall_queue::Attempts;
use examhall_testkit::{Action, Phase, Received, eventually};
use serde_json::json;

use crate::{Post, SHORT_LOCKS, TIMEOUT, at, count, metrics::metric_is};

/// Mails that a mailer has in flight.
const SLOTS: usize = 5;

/// Returns the number of duplicates; every mail must have been accepted, and copies must not differ.
fn duplicates(received: &[Received], mails: usize) -> usize {
    let mut copies: HashMap<&str, Vec<&Received>> = HashMap::new();
    for mail in received {
        copies.entry(mail.to[0].as_str()).or_default().push(mail);
    }
    assert_eq!(copies.len(), mails, "each was accepted");
    for same in copies.values() {
        assert!(same.iter().all(|mail| *mail == same[0]), "the same Message-ID and bytes");
        assert!(same[0].header("Message-ID").is_some());
    }
    received.len() - mails
}

#[tokio::test]
async fn killed_between_acceptance_and_ledger_loses_nothing() {
    let kills = count(100, 10);
    let post = Post::start_set(&SHORT_LOCKS).await;
    for kill in 0..kills {
        let before = post.world.smtp.received().len();
        post.world.smtp.behave(at(Phase::EndOfData, Action::KeepAndHang));
        post.add(json!(format!("s{kill}@example.com"))).await;
        let mut mailer = post.world.mailer(&[]);
        post.world.smtp.wait_for(before + 1).await;
        mailer.kill().await;
        post.world.smtp.behave(|_, _| Action::Proceed);
        let mailer = post.world.mailer(&[]);
        post.completed(i64::try_from(kill + 1).expect("few")).await;
        mailer.line("\"possible_duplicate\":true").await;
    }
    let duplicates = duplicates(&post.world.smtp.received(), kills);
    println!("{kills} kills between acceptance and its note: {kills} mails accepted, {duplicates} of them twice");
    assert!(duplicates <= kills, "one mail was in flight at each kill");
}

#[tokio::test]
async fn killed_before_the_message_sends_nothing_twice() {
    let kills = count(100, 5);
    let post = Post::start_set(&SHORT_LOCKS).await;
    for kill in 0..kills {
        post.world.smtp.behave(at(Phase::Data, Action::Hang));
        let before = post.world.smtp.count("DATA");
        post.add(json!(format!("s{kill}@example.com"))).await;
        let mut mailer = post.world.mailer(&[]);
        eventually("DATA", TIMEOUT, async || (post.world.smtp.count("DATA") > before).then_some(())).await;
        mailer.kill().await;
        post.world.smtp.behave(|_, _| Action::Proceed);
        let _mailer = post.world.mailer(&[]);
        post.completed(i64::try_from(kill + 1).expect("few")).await;
    }
    assert_eq!(duplicates(&post.world.smtp.received(), kills), 0);
}

#[tokio::test]
async fn killed_during_the_message_sends_nothing_twice() {
    let kills = count(100, 3);
    let post = Post::start_set(&SHORT_LOCKS).await;
    // Longer than the socket buffer, which the system would send after the mailer is dead.
    let attachment = json!({"filename": "a.bin", "content": "QUJD".repeat(1_630_000), "encoding": "base64"});
    for kill in 0..kills {
        let to = format!("s{kill}@example.com");
        post.add_data(json!({"to": to, "subject": "x", "html": "", "attachments": [&attachment]})).await;
        let mut mailer = post.mailer_hanging_at(Phase::Body).await;
        mailer.kill().await;
        post.world.smtp.behave(|_, _| Action::Proceed);
        let _mailer = post.world.mailer(&[]);
        post.completed(i64::try_from(kill + 1).expect("few")).await;
    }
    println!("{kills} kills in the middle of a message: {kills} mails accepted, 0 of them twice");
    assert_eq!(duplicates(&post.world.smtp.received(), kills), 0);
}

#[tokio::test]
async fn killed_at_random_loses_nothing_and_sends_few_twice() {
    let (kills, mails) = (count(100, 10), count(12_000, 300));
    let post = Post::start_set(&SHORT_LOCKS).await;
    post.world.smtp.behave(at(Phase::EndOfData, Action::Wait(Duration::from_millis(20))));
    post.add_many(mails).await;
    for _ in 0..kills {
        let before = post.world.smtp.received().len();
        let mut mailer = post.world.mailer(&[]);
        // Some mails later, at a moment that depends on the load.
        let further = (before + (1 + before % 7) * (mails / kills / 5)).min(mails);
        eventually("some more mails", TIMEOUT, async || (post.world.smtp.received().len() >= further).then_some(()))
            .await;
        mailer.kill().await;
    }
    let _mailer = post.world.mailer(&[]);
    let all = i64::try_from(mails).expect("few");
    let ended = async || Some(post.counts().await).filter(|counts| counts.completed + counts.failed == all);
    let failed = eventually("all jobs to end", TIMEOUT, ended).await.failed;
    // A mail whose mailer dies six times, which many kills in a few seconds can cause, is left to an operator.
    let retried = post.queue.retry_failed(Some("stalled more than"), Attempts::Reset).await.expect("retried");
    assert_eq!(i64::try_from(retried), Ok(failed));
    post.completed(all).await;
    let duplicates = duplicates(&post.world.smtp.received(), mails);
    println!(
        "{kills} kills at random, {SLOTS} slots: {mails} mails accepted, {duplicates} of them twice; {failed} lost their \
         mailer six times and were sent by `mailer queue retry-failed`"
    );
    assert!(duplicates <= kills * SLOTS, "{duplicates} duplicates by {kills} kills");
    assert!(mails < 10_000 || duplicates * 1_000 <= 20 * mails, "{duplicates} duplicates of {mails} mails");
}

#[tokio::test]
async fn stopping_mailer_waits_for_the_final_reply() {
    let post = Post::start().await;
    post.world.smtp.behave(at(Phase::EndOfData, Action::Hang));
    post.add_many(1).await;
    let mut mailer = post.world.mailer(&[]);
    post.world.smtp.wait_for_command("DATA").await;
    mailer.terminate();
    mailer.line("Stopping").await;
    post.world.smtp.behave(|_, _| Action::Proceed);
    assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(0), "{}", mailer.output());
    assert_eq!((post.world.smtp.received().len(), post.counts().await.completed), (1, 1));
}

#[tokio::test]
async fn mailer_without_redis_stops_on_sigterm() {
    let mut post = Post::start().await;
    post.world.redis.kill().await;
    let mut mailer = post.world.mailer(&[]);
    mailer.line("Mailer running").await;
    mailer.terminate();
    assert_eq!(mailer.exit(Duration::from_secs(30)).await.code(), Some(0), "{}", mailer.output());
}

#[tokio::test]
async fn stopping_mailer_records_a_sent_mail_once_redis_is_back() {
    let mut post = Post::start_lasting().await;
    for name in ["QUEUE_LOCK_MS", "QUEUE_STALLED_INTERVAL_MS"] {
        post.world.set(name, "30000"); // the lock is still held when Redis is back
    }
    // Redis stops once the whole message was received: the intent is written to it before.
    post.add_many(1).await;
    let mut mailer = post.mailer_hanging_at(Phase::EndOfData).await;
    post.world.redis.kill().await;
    post.world.smtp.behave(|_, _| Action::Proceed);
    post.world.smtp.wait_for(1).await;
    mailer.terminate();
    mailer.line("Stopping").await;
    mailer.line("Queue not reached").await;
    post.world.redis.restart().await;
    assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(0), "{}", mailer.output());
    post.completed(1).await;
    assert_eq!(post.world.smtp.received().len(), 1);
}

#[tokio::test]
async fn second_sigterm_leaves_the_mail_to_the_next_mailer() {
    let post = Post::start_set(&SHORT_LOCKS).await;
    post.world.smtp.behave(at(Phase::EndOfData, Action::KeepAndHang));
    post.add_many(1).await;
    let mut mailer = post.world.mailer(&[]);
    post.world.smtp.wait_for(1).await;
    mailer.terminate();
    mailer.line("Stopping").await;
    mailer.terminate();
    mailer.exit(TIMEOUT).await;
    post.world.smtp.behave(|_, _| Action::Proceed);
    let next = post.world.mailer(&[]);
    post.completed(1).await;
    next.line("\"possible_duplicate\":true").await;
    metric_is(&next, "mailer_stalled_total", 1.0).await;
    assert_eq!(duplicates(&post.world.smtp.received(), 1), 1);
}
