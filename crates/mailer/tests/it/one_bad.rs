//! One bad mail among good ones: whatever a server does to it, the others are sent as if it were not there.
#![expect(clippy::print_stdout, reason = "the measured throughput")]

use std::time::Duration;

use examhall_core::{EmailJob, Priority};
use examhall_queue::{Backoff, JobOptions, NewJob};
use examhall_testkit::{Action, Phase, Process, SmtpServer, eventually};
use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::{Post, TIMEOUT, is_long, reply};

/// What happens to the bad mail.
#[derive(Clone, Debug)]
struct Case {
    phase: Phase,
    action: Action,
    /// BullMQ's priority, 0 of which outranks all others.
    priority: u32,
    providers: usize,
}

#[tokio::test]
async fn one_bad_mail_harms_no_other() {
    let urgent = Priority::HIGHEST.to_bullmq();
    let case = |phase, action, priority, providers| Case { phase, action, priority, providers };
    let some = vec![
        case(Phase::Rcpt, Action::Hang, urgent, 1),
        case(Phase::Data, Action::Close, 0, 1),
        case(Phase::Body, Action::Close, urgent, 2),
        case(Phase::EndOfData, reply("hello"), 0, 1),
    ];
    let mut all = Vec::new();
    for phase in [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Body, Phase::EndOfData] {
        for action in [Action::Hang, Action::Close, reply("hello"), reply("150 wait")] {
            for priority in [urgent, Priority::LOWEST.to_bullmq(), 0] {
                all.extend([1, 2].map(|providers| case(phase, action.clone(), priority, providers)));
            }
        }
    }
    let cases = if is_long() { all } else { some };
    stream::iter(cases).for_each_concurrent(4, harms_no_other).await;
}

async fn harms_no_other(case: Case) {
    let mut post = Post::start_set(&[("SMTP_TIMEOUT_MS", "1000"), ("SMTP_FINAL_TIMEOUT_MS", "1000")]).await;
    let second = SmtpServer::start().await;
    if case.providers == 2 {
        post.world.set("SMTP_URL", &format!("{},{}", post.world.smtp.url(), second.url()));
    }
    for server in [&post.world.smtp, &second] {
        server.treat("bad", case.phase, case.action.clone());
    }
    let accepted = || good(&post.world.smtp) + good(&second);
    let mailer = post.world.mailer(&[]);
    let options = JobOptions::default().priority(case.priority).attempts(EmailJob::ATTEMPTS);
    let options = options.backoff(Backoff::exponential(EmailJob::BACKOFF));
    let bad = json!({"to": "bad@example.com", "from": "bad@example.com", "subject": "x", "html": ""});
    let bad = post.queue.add(NewJob::new(EmailJob::NAME, bad).options(options)).await.expect("added");
    // While it is tried, after that, and after it was tried again.
    let rounds = if is_long() { 3 } else { 2 };
    for round in 1..=rounds {
        post.add_many(20).await;
        eventually(&format!("{round} times 20 good mails sent, {case:?}"), TIMEOUT, async || {
            (accepted() >= 20 * round).then_some(())
        })
        .await;
        judged(&mailer, &bad, round).await;
    }
    assert_eq!(accepted(), 20 * rounds, "each once, {case:?}");
    assert!(!mailer.output().contains("circuit is open"), "{case:?}: {}", mailer.output());
}

/// Number of good mails that a server has accepted.
fn good(server: &SmtpServer) -> usize {
    server.received().iter().filter(|mail| !mail.to[0].contains("bad")).count()
}

/// Waits until the bad mail was tried `times` times, or twice: its third try is minutes later.
async fn judged(mailer: &Process, bad: &str, times: usize) {
    let is_about = |line: &&str| line.contains("Mail not accepted") && line.contains(&format!("\"{bad}\""));
    eventually("the bad mail is judged", TIMEOUT, async || {
        (mailer.output().lines().filter(is_about).count() >= times.min(2)).then_some(())
    })
    .await;
}

/// Good mails that are accepted within the same time with and without bad ones, which come first and outrank them.
#[tokio::test]
async fn bad_mails_cost_the_others_little_throughput() {
    if !is_long() {
        return; // counts over 20 s
    }
    for (phase, action) in [(Phase::Rcpt, Action::Hang), (Phase::Body, Action::Close), (Phase::Rcpt, reply("571 no"))] {
        let (without, with) = tokio::join!(accepted_with(0, phase, &action), accepted_with(1, phase, &action));
        println!("{phase:?} {action:?}: {with} of {without} good mails accepted");
        assert!(with * 10 >= without * 9, "{phase:?} {action:?}: {with} of {without}");
    }
    // Six at once fill all slots: until one is judged, nothing can be sent.
    let with = accepted_with(6, Phase::Rcpt, &Action::Hang).await;
    println!("six bad mails first: {with} good mails accepted");
    assert!(with >= 200, "{with}");
}

/// Number of good mails, added at 25 a second, that are accepted within 20 s.
async fn accepted_with(bad: usize, phase: Phase, action: &Action) -> usize {
    let post = Post::start_set(&[("SMTP_TIMEOUT_MS", "2000")]).await;
    post.world.smtp.treat("bad", phase, action.clone());
    let options = JobOptions::default().attempts(EmailJob::ATTEMPTS).backoff(Backoff::exponential(EmailJob::BACKOFF));
    for n in 0..bad {
        let data = json!({"to": format!("bad{n}@example.com"), "subject": "x", "html": ""});
        post.queue.add(NewJob::new(EmailJob::NAME, data).options(options.clone())).await.expect("added");
    }
    let _mailer = post.world.mailer(&[]);
    let mut clock = tokio::time::interval(Duration::from_millis(40));
    for n in 0..500 {
        clock.tick().await;
        post.add(json!(format!("s{n}@example.com"))).await;
    }
    good(&post.world.smtp)
}
