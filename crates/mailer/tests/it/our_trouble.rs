//! Trouble with us, whatever the server calls it and whenever it says so: no mail pays for it.

use examhall_core::Priority;
use examhall_queue::{JobRecord, ListOrder, State};
use examhall_testkit::{Action, Phase, SmtpServer, eventually};
use futures_util::future::join_all;

use crate::{Post, TIMEOUT, at, count, is_long, reply};

/// Reply, its phase, and the trouble that is reported.
const REPLIES: [(Phase, &str, &str); 10] = [
    (Phase::Rcpt, "504 5.5.2 <vm>: Helo command rejected: need fully-qualified hostname", "blocked"),
    (Phase::EndOfData, "554 Message rejected: Email address is not verified.", "sender_refused"),
    (Phase::Rcpt, "554 5.7.1 <ada@example.com>: Relay access denied", "blocked"),
    (Phase::Mail, "550 5.7.1 Client host rejected: cannot find your hostname", "blocked"),
    (Phase::Data, "530 5.7.0 Authentication required", "login_refused"),
    (Phase::EndOfData, "554 5.2.252 SendAsDenied; not allowed to send as", "sender_refused"),
    (Phase::EndOfData, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", "throttled"),
    (Phase::Rcpt, "550 Domain example.com has exceeded the max emails per hour (100/100 (100%)) allowed.", "throttled"),
    (Phase::Mail, "421 4.7.0 [TSS04] temporarily deferred", "throttled"),
    (Phase::EndOfData, "454 Throttling failure: Maximum sending rate exceeded.", "throttled"),
];

#[tokio::test]
async fn trouble_with_us_costs_no_mail_anything() {
    // What an operator has to fix ends `--once` at once, the rest after 15 s.
    let some = if is_long() { 0..REPLIES.len() } else { 0..2 };
    join_all(REPLIES[some].iter().map(async |(phase, said, trouble)| {
        let post = Post::start_set(&[("SMTP_PROBE_MS", "300")]).await;
        post.world.smtp.behave(at(*phase, reply(said)));
        post.add_many(8).await;
        let mut mailer = post.world.mailer(&["--once"]);
        assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(69), "{said}: {}", mailer.output());
        assert_nothing_spent(&post, 8).await;
        let errors: Vec<_> =
            mailer.output().lines().filter(|line| line.contains("needs an operator")).map(ToOwned::to_owned).collect();
        assert_eq!(errors.len(), 1, "{said}: {errors:?}");
        let word = said.rsplit(' ').next().expect("words");
        assert!(
            errors[0].contains(trouble) && errors[0].contains(word) && !errors[0].contains("ada@"),
            "{}",
            errors[0]
        );
    }))
    .await;
}

#[tokio::test]
async fn throttling_after_the_message_is_waited_out() {
    let post = Post::start_set(&[("SMTP_PROBE_MS", "300")]).await;
    post.world.smtp.behave(at(Phase::EndOfData, reply("454 Throttling failure: Maximum sending rate exceeded.")));
    post.add_many(8).await;
    let mailer = post.world.mailer(&[]);
    mailer.line("Provider needs an operator").await;
    eventually("three probes, each followed by a mail", TIMEOUT, async || {
        (mailer.output().matches("Provider answers again").count() >= 3).then_some(())
    })
    .await;
    assert_nothing_spent(&post, 8).await;
    assert_eq!(mailer.output().matches("Provider needs an operator").count(), 1, "{}", mailer.output());
    post.world.smtp.behave(|_, _| Action::Proceed);
    post.completed(8).await;
    mailer.line("Provider takes mails again").await;
    assert_eq!(post.world.smtp.received().len(), 8, "each once");
}

#[tokio::test]
async fn second_provider_takes_mails_that_the_first_refuses_us() {
    let mut post = Post::start().await;
    let second = SmtpServer::start().await;
    post.world.set("SMTP_URL", &format!("{}, {}", post.world.smtp.url(), second.url()));
    post.world.smtp.behave(at(Phase::EndOfData, reply("550 5.4.5 Daily SMTP relay limit exceeded for user")));
    post.add_many(10).await;
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed, second.received().len()), (10, 0, 10));
    for job in jobs(&post, &[State::Completed]).await {
        assert_eq!(job.attempts_made, 1, "the one that sent it");
    }
}

#[tokio::test]
async fn equal_refusals_of_everybody_stop_before_all_have_failed() {
    let mails = count(100, 20);
    let cases = [("554 5.0.0 go away", 4), ("550 5.1.1 no such user", 9), ("451 local problem", 0)];
    join_all(cases.map(async |(said, most)| {
        let post = Post::start_set(&[("SMTP_PROBE_MS", "300")]).await;
        post.world.smtp.behave(at(Phase::Rcpt, reply(said)));
        post.add_bulk(mails, Priority::DEFAULT).await;
        let mut mailer = post.world.mailer(&["--once"]);
        assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(69), "{said}: {}", mailer.output());
        assert!(mailer.output().contains("refuses_all"), "{}", mailer.output());
        assert!(post.counts().await.failed <= most, "{said}: {:?}", post.counts().await);
        let suppressed: i64 = post.world.redis.cmd("HLEN mail:suppressed").await;
        assert!(suppressed <= most, "{said}: {suppressed} suppressed");
    }))
    .await;
}

/// All mails wait, have lost no attempt, and nobody is suppressed.
async fn assert_nothing_spent(post: &Post, mails: usize) {
    assert_eq!(post.counts().await.failed, 0);
    // Between two reads a mail may be tried, and change its state.
    let left = eventually("all mails wait", TIMEOUT, async || {
        let left = jobs(post, &[State::Prioritized, State::Delayed, State::Active]).await;
        Some(left).filter(|left| left.len() == mails)
    })
    .await;
    assert!(left.iter().all(|job| job.attempts_made == 0), "{left:?}");
    assert_eq!(post.world.redis.cmd::<i64>("EXISTS mail:suppressed").await, 0);
}

async fn jobs(post: &Post, states: &[State]) -> Vec<JobRecord> {
    let mut jobs = Vec::new();
    for state in states {
        jobs.extend(post.queue.list(*state, 0, 100, ListOrder::OldestFirst).await.expect("read"));
    }
    jobs
}
