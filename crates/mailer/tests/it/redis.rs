//! An outage of Redis under load loses no mail.
#![expect(clippy::print_stdout, reason = "the measured delays")]

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use examhall_core::Priority;
use examhall_queue::JobOptions;
use examhall_testkit::{Action, Phase, eventually};
use serde_json::json;

use crate::{Post, TIMEOUT, at, count, is_long};

/// Mails that a mailer has in flight: each outage may duplicate as many.
const SLOTS: usize = 5;

async fn under_load(mails: usize) -> Post {
    let post = Post::start_lasting().await;
    post.world.smtp.behave(at(Phase::EndOfData, Action::Wait(Duration::from_millis(10))));
    post.add_bulk(mails, Priority::DEFAULT).await;
    post
}

/// Checks that every mail was accepted, with at most `SLOTS` duplicates per outage.
async fn assert_all_sent(post: &Post, mails: usize, outages: usize) {
    post.completed(i64::try_from(mails).expect("few")).await;
    let received = post.world.smtp.received();
    let to: HashSet<_> = received.iter().map(|mail| &mail.to[0]).collect();
    assert_eq!(to.len(), mails, "each was accepted");
    let twice = received.len() - mails;
    assert!(twice <= outages * SLOTS, "{twice} twice");
    assert_eq!(post.counts().await.failed, 0);
}

#[tokio::test]
async fn restart_of_redis_under_load_loses_no_mail() {
    let mails = count(1_000, 300);
    let mut post = under_load(mails).await;
    let _mailer = post.world.mailer(&[]);
    post.world.smtp.wait_for(mails / 5).await;
    post.world.redis.kill().await;
    post.world.redis.restart().await;
    let (back, before) = (Instant::now(), post.world.smtp.received().len());
    post.world.smtp.wait_for(before + 1).await;
    let silence = back.elapsed();
    println!("mails go on {} ms after Redis is back", silence.as_millis());
    assert!(silence < Duration::from_secs(20), "5 s at most on an idle machine: {silence:?}");
    assert_all_sent(&post, mails, 1).await;
}

#[tokio::test]
async fn connections_cut_every_second_lose_no_mail() {
    let (mails, cuts) = (count(10_000, 500), count(60, 5));
    let post = under_load(mails).await;
    let _mailer = post.world.mailer(&[]);
    post.world.smtp.wait_for(10).await;
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..cuts {
        clock.tick().await;
        post.world.redis.cmd::<i64>("CLIENT KILL TYPE normal").await;
    }
    assert_all_sent(&post, mails, cuts).await;
}

#[tokio::test]
async fn mail_accepted_during_a_redis_outage_is_not_sent_again() {
    let mut post = Post::start_lasting().await;
    // Redis stops once the whole message was received: the intent is written to it before.
    post.add_many(1).await;
    let mailer = post.mailer_hanging_at(Phase::EndOfData).await;
    post.world.redis.kill().await;
    post.world.smtp.behave(|_, _| Action::Proceed);
    post.world.smtp.wait_for(1).await;
    mailer.line("Outcome could not be written to the ledger").await; // the job's lock has expired
    post.world.redis.restart().await;
    assert_all_sent(&post, 1, 0).await;
}

#[tokio::test]
async fn outage_of_the_ledger_is_one_warning() {
    let post = Post::start().await;
    let ids = ["m-1", "m-2", "m-3"];
    for id in ids {
        post.world.redis.cmd::<i64>(&format!("LPUSH mail:sent:{id} x")).await; // it cannot be replaced with an entry
        post.add_with(json!({"to": "ada@example.com", "subject": "x", "html": ""}), JobOptions::default().job_id(id))
            .await;
    }
    let mailer = post.world.mailer(&[]);
    eventually("each mail was tried twice", TIMEOUT, async || (post.world.smtp.count("MAIL") >= 6).then_some(())).await;
    assert_eq!(mailer.output().matches("Ledger or suppressions not reached").count(), 1, "{}", mailer.output());
    for id in ids {
        post.world.redis.cmd::<i64>(&format!("DEL mail:sent:{id}")).await;
    }
    mailer.line("Ledger and suppressions reached again").await;
    post.completed(3).await;
}

#[tokio::test]
async fn drain_ends_once_redis_is_gone() {
    if !is_long() {
        return; // Redis is waited for for 15 s
    }
    let mut post = under_load(1_000).await;
    let mut mailer = post.world.mailer(&["--once"]);
    post.world.smtp.wait_for(10).await;
    post.world.redis.kill().await;
    let gone = Instant::now();
    assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(69), "{}", mailer.output());
    println!("ended {} s after Redis", gone.elapsed().as_secs());
    assert!(mailer.output().contains("Redis does not answer"), "{}", mailer.output());
}
