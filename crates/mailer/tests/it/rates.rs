//! Rates as providers state them, per provider and per domain of recipients.

use examhall_queue::{ListOrder, State};
use examhall_testkit::{SmtpServer, eventually};
use serde_json::{Value, json};

use crate::{Post, TIMEOUT, is_long, metrics::metric_is};

async fn start(parameters: &str) -> Post {
    let mut post = Post::start().await;
    post.world.set("SMTP_URL", &format!("{}&{parameters}", post.world.smtp.url()));
    post
}

/// What the status says of rates that are waited for: the limit, and the seconds.
async fn waits(post: &Post) -> Vec<(String, u64)> {
    let mut status = post.world.mailer(&["queue", "status", "--json"]);
    assert!(status.exit(TIMEOUT).await.success(), "{}", status.output());
    let output = status.output();
    let line = output.lines().rfind(|line| line.contains("rateWaits")).expect("JSON");
    let status: Value = serde_json::from_str(line).expect("JSON");
    let waits = status["rateWaits"].as_array().expect("a list").iter();
    waits
        .map(|one| (one["limit"].as_str().expect("a text").to_owned(), one["seconds"].as_u64().expect("a number")))
        .collect()
}

#[tokio::test]
async fn mails_that_wait_for_their_domain_hold_up_no_others() {
    let post = start("domain_rate=100/s,2/h").await;
    for n in 0..12 {
        post.add(json!(format!("s{n}@Busy.example"))).await;
    }
    for n in 0..6 {
        post.add(json!(format!("a@d{n}.example"))).await;
    }
    let mailer = post.world.mailer(&[]);
    post.completed(8).await;
    let delayed = eventually("ten mails wait", TIMEOUT, async || {
        let delayed = post.queue.list(State::Delayed, 0, 20, ListOrder::OldestFirst).await.expect("read");
        Some(delayed).filter(|delayed| delayed.len() == 10)
    })
    .await;
    assert!(delayed.iter().all(|job| job.attempts_made == 0), "no attempt is spent");
    let mut due: Vec<_> = delayed.iter().filter_map(|job| job.due).collect();
    due.sort_unstable();
    assert!(due.windows(2).all(|two| two[1] - two[0] > 20 * 60_000), "each has a turn of its own: {due:?}");
    let counted =
        format!("mailer_rate_waits_total{{provider=\"127.0.0.1:{}\",limit=\"domain\"}}", post.world.smtp.port());
    metric_is(&mailer, &counted, 10.0).await;
    metric_is(&mailer, "mailer_attempts_total{outcome=\"parked\"}", 10.0).await;
    let waits = waits(&post).await;
    assert!(waits.len() == 1 && waits[0].0 == "2/h to busy.example" && waits[0].1 > 4 * 3600, "{waits:?}");
    assert_eq!(post.counts().await.failed, 0);
}

#[tokio::test]
async fn used_up_rate_holds_the_queue_in_its_order() {
    let mut post = start("rate=50/s,3/d").await;
    post.world.set("MAILER_CONCURRENCY", "2");
    post.add_many(20).await;
    let mailer = post.world.mailer(&[]);
    let line = mailer.line("Provider's rate is used up").await;
    assert!(line.contains("3/d"), "{line}");
    post.completed(3).await;
    metric_is(&mailer, "mailer_slots_busy", 0.0).await;
    metric_is(&mailer, "mailer_breaker_state", 0.0).await;
    let counts = post.counts().await;
    assert!(
        counts.failed == 0 && counts.delayed <= 4 && counts.prioritized >= 13,
        "they stay in the queue: {counts:?}"
    );
    let waits = waits(&post).await;
    assert!(waits.len() == 1 && waits[0].0 == "3/d" && waits[0].1 > 23 * 3600, "{waits:?}");
    let mut once = post.world.mailer(&["--once"]);
    assert_eq!(once.exit(TIMEOUT).await.code(), Some(75), "stopped early, with mails left: {}", once.output());
    assert_eq!(post.world.smtp.received().len(), 3);
}

#[tokio::test]
async fn next_provider_takes_over_when_a_rate_is_used_up() {
    let mut post = start("preset=google&rate=2/d").await;
    let second = SmtpServer::start().await;
    let first = format!("{}&preset=google&rate=2/d,9/h", post.world.smtp.url());
    post.world.set("SMTP_URL", &format!("{first}, {}", second.url()));
    post.add_many(7).await;
    assert_eq!(post.drain().await.sent, 7);
    assert_eq!((post.world.smtp.received().len(), second.received().len()), (2, 5));
}

#[tokio::test]
async fn recipients_count_against_their_own_rate() {
    let post = start("recipient_rate=5/h").await;
    for n in 0..3 {
        post.add(json!([format!("a{n}@x.example"), format!("b{n}@x.example")])).await;
    }
    let mailer = post.world.mailer(&[]);
    post.completed(2).await;
    mailer.line("Provider's rate is used up").await;
    assert_eq!(post.world.smtp.count("RCPT"), 4);
}

#[tokio::test]
async fn invalid_rate_stops_the_start_and_is_named() {
    let mut post = Post::start().await;
    for (parameters, expected) in [
        ("rate=14/w", "rate must be a rate like 14, 14/s, 30/m"),
        ("domain_rate=0/s", "domain_rate must be"),
        ("preset=outlook", "preset must be ses, microsoft365 or google"),
        ("connections=none", "connections must be"),
    ] {
        post.world.set("SMTP_URL", &format!("{}&{parameters}", post.world.smtp.url()));
        let mut mailer = post.world.mailer(&[]);
        assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(78), "{}", mailer.output());
        assert!(mailer.output().contains(expected), "{}", mailer.output());
    }
}

#[tokio::test]
async fn held_mails_go_on_when_the_rate_allows_it() {
    if !is_long() {
        return; // a hold lasts a minute at least: shorter waits are within a slot
    }
    let post = start("recipient_rate=4/m").await;
    for n in 0..2 {
        post.add(json!([format!("a{n}@x.example"), format!("b{n}@x.example")])).await;
        post.add(json!(format!("c{n}@x.example"))).await;
        post.add(json!(format!("d{n}@x.example"))).await;
    }
    let mailer = post.world.mailer(&[]);
    mailer.line("Provider's rate is used up").await;
    post.completed(6).await;
}
