//! A Redis that goes away under load costs no mail.
#![expect(clippy::print_stdout, reason = "how long it took, for whoever runs the tests")]

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use examhall_core::Priority;
use examhall_testkit::{Action, Phase, eventually};

use crate::{PATIENCE, Post, count};

/// Mails that a mailer has in hand: as many may be sent twice each time.
const SLOTS: usize = 5;

async fn under_load(mails: usize) -> Post {
    let post = Post::start_lasting().await;
    post.world.smtp.behave(|phase, _| match phase {
        Phase::Dot => Action::Wait(Duration::from_millis(10)),
        _ => Action::Proceed,
    });
    post.add_bulk(mails, Priority::DEFAULT).await;
    post
}

/// Every mail was accepted, and at most so many more than once.
async fn all_are_sent(post: &Post, mails: usize, faults: usize) {
    post.completed(i64::try_from(mails).expect("few")).await;
    let received = post.world.smtp.received();
    let to: HashSet<_> = received.iter().map(|mail| &mail.to[0]).collect();
    assert_eq!(to.len(), mails, "each was accepted");
    let twice = received.len() - mails;
    assert!(twice <= faults * SLOTS, "{twice} twice");
    assert_eq!(post.counts().await.failed, 0);
}

#[tokio::test]
async fn a_restart_of_redis_under_load_loses_no_mail() {
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
    assert!(silence < Duration::from_secs(20), "5 s at most where the machine has time for it: {silence:?}");
    all_are_sent(&post, mails, 1).await;
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
    all_are_sent(&post, mails, cuts).await;
}

#[tokio::test]
async fn a_mail_that_was_accepted_while_redis_was_away_for_long_is_not_sent_again() {
    let mut post = Post::start_lasting().await;
    // Redis goes once all of the message is there: before it is sent, the mailer notes that there.
    let is_sent = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_sent);
    post.world.smtp.behave(move |phase, _| {
        if phase == Phase::Dot {
            seen.store(true, Ordering::SeqCst);
            return Action::Hang;
        }
        Action::Proceed
    });
    post.add_many(1).await;
    let mailer = post.world.mailer(&[]);
    eventually("the message sent", PATIENCE, async || is_sent.load(Ordering::SeqCst).then_some(())).await;
    post.world.redis.kill().await;
    post.world.smtp.behave(|_, _| Action::Proceed);
    post.world.smtp.wait_for(1).await;
    mailer.line("Outcome could not be written to the ledger").await; // the job's lock has ended long ago
    post.world.redis.restart().await;
    all_are_sent(&post, 1, 0).await;
}
