//! Providers that are unavailable, refuse us, or have an untrusted certificate.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use examhall_queue::{ListOrder, State};
use examhall_testkit::{Action, Encryption, Phase, Process, SmtpOptions, SmtpServer, eventually};
use serde_json::json;
use tokio::process::Command;

use crate::{Post, TIMEOUT, at, count, is_long, metrics::metric_is, reply};

const SECOND: Duration = Duration::from_secs(1);

fn with_log_in(encryption: Encryption, mechanisms: &'static str) -> SmtpOptions {
    let log_in = Some(("examhall".to_owned(), "correct-horse".to_owned()));
    SmtpOptions { encryption, log_in, mechanisms, ..SmtpOptions::default() }
}

#[tokio::test]
async fn outage_spends_no_attempt_and_is_probed_with_backoff() {
    let mails = count(1_000, 100);
    let mut post = Post::start().await;
    // With full counts for five minutes, with the breaker's backoff: 5, 10, 20 and then each 30 s.
    let (down_for, step, first_steps) =
        if is_long() { (300 * SECOND, 30 * SECOND, 3) } else { (SECOND, SECOND / 2, 0) };
    post.world.set("SMTP_PROBE_MS", &step.as_millis().to_string());
    let (is_down, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (down, greetings) = (Arc::clone(&is_down), Arc::clone(&asked));
    post.world.smtp.behave(move |phase, _| {
        let refuse = phase == Phase::Greeting && down.load(Ordering::SeqCst);
        if refuse {
            greetings.fetch_add(1, Ordering::SeqCst);
            Action::Close
        } else {
            Action::Proceed
        }
    });
    post.add_many(mails).await;
    let started = Instant::now();
    let mailer = post.world.mailer(&[]);
    tokio::time::sleep(down_for).await; // the length of the outage
    eventually("some probes", TIMEOUT, async || (asked.load(Ordering::SeqCst) >= 9).then_some(())).await;
    // Five concurrent mails failed at once; from then on there was one probe per step.
    let steps = first_steps + started.elapsed().as_millis() / step.as_millis();
    assert!(asked.load(Ordering::SeqCst) as u128 <= 5 + steps + 1, "{asked:?} in {steps} steps");
    is_down.store(false, Ordering::SeqCst);
    let back = Instant::now();
    post.completed(i64::try_from(mails).expect("few")).await;
    assert!(back.elapsed() < 60 * SECOND, "{:?}", back.elapsed());
    mailer.line("Provider takes mails again").await;
    assert_eq!(post.world.smtp.received().len(), mails, "each once");
    for job in post.queue.list(State::Completed, 0, 2_000, ListOrder::OldestFirst).await.expect("read") {
        assert_eq!(job.attempts_made, 1, "one attempt: the one that sent it");
    }
    assert_eq!(post.counts().await.failed, 0);
}

#[tokio::test]
async fn refused_login_fails_no_mail_and_sending_resumes() {
    let mails = count(10_000, 200);
    let mut post = Post::start_with(with_log_in(Encryption::StartTls, "PLAIN LOGIN")).await;
    // With full counts for ten minutes, probed each 30 s.
    let (refused_for, pace) = if is_long() { (600 * SECOND, 30 * SECOND) } else { (SECOND, SECOND / 3) };
    post.world.set("SMTP_PROBE_MS", &pace.as_millis().to_string());
    let (is_refused, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (refused, log_ins) = (Arc::clone(&is_refused), Arc::clone(&asked));
    post.world.smtp.behave(move |phase, _| {
        if phase == Phase::Auth && refused.load(Ordering::SeqCst) {
            log_ins.fetch_add(1, Ordering::SeqCst);
            return reply("535 5.7.8 authentication failed");
        }
        Action::Proceed
    });
    post.add_many(mails).await;
    let mailer = post.world.mailer(&[]);
    let alert = mailer.line("Provider needs an operator").await;
    assert!(alert.contains("login_refused") && alert.contains("535 5.7.8 at auth"), "{alert}");
    metric_is(&mailer, "mailer_breaker_state", 3.0).await;
    tokio::time::sleep(refused_for).await; // the length of the refusal
    eventually("three probes", TIMEOUT, async || (asked.load(Ordering::SeqCst) >= 8).then_some(())).await;
    let counts = post.counts().await;
    assert_eq!((counts.failed, counts.completed), (0, 0));
    assert!(
        counts.prioritized >= i64::try_from(mails).expect("few") - 10,
        "only mails in flight were touched: {counts:?}"
    );
    assert!(!post.queue.is_paused().await.expect("read"), "other workers continue");
    let alerts = mailer.output().lines().filter(|line| line.contains("needs an operator")).count();
    assert_eq!(alerts, 1);

    is_refused.store(false, Ordering::SeqCst);
    let fixed = Instant::now();
    post.world.smtp.wait_for(1).await;
    assert!(fixed.elapsed() < pace + 3 * SECOND, "by the next probe: {:?}", fixed.elapsed());
    post.completed(i64::try_from(mails).expect("few")).await;
    assert_eq!((post.counts().await.failed, post.world.smtp.received().len()), (0, mails));
    metric_is(&mailer, "mailer_breaker_state", 0.0).await;
}

#[tokio::test]
async fn node_worker_continues_alongside_a_refused_mailer() {
    let mut post = Post::start_with(with_log_in(Encryption::StartTls, "PLAIN")).await;
    post.world.set("SMTP_PROBE_MS", "200");
    post.world.smtp.behave(at(Phase::Auth, reply("535 5.7.8 no")));
    post.add_many(1).await;
    let held = post.world.mailer(&[]);
    held.line("Provider needs an operator").await;
    let second = SmtpServer::start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../bench/peers/nodemailer/worker.mjs");
    let mut node = Command::new("node");
    node.args([script, &post.world.redis.port().to_string(), &second.port().to_string(), "5"]);
    let _node = Process::spawn("node", &mut node);
    post.add_many(50).await;
    post.completed(51).await;
    assert_eq!((second.received().len(), post.world.smtp.count("MAIL")), (51, 0));
    metric_is(&held, "mailer_breaker_state", 3.0).await;
}

#[tokio::test]
async fn refused_sender_opens_the_circuit_only_for_mail_from() {
    let mut post = Post::start_set(&[("SMTP_PROBE_MS", "200")]).await;
    post.world.set("MAIL_FROM", "Exams <no-reply@example.com>");
    post.world.smtp.behave(|phase, line| {
        let refuse = phase == Phase::Mail && line.contains("stranger@");
        if refuse { reply("550 5.7.1 not your address") } else { Action::Proceed }
    });
    let own = post.add(json!("ada@example.com")).await;
    let other = json!({"to": "ada@example.com", "subject": "x", "html": "", "from": "stranger@example.com"});
    let other = post.add_data(other).await;
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed_ids), (1, vec![other]));
    assert!(post.returned(&own).await["response"].is_string());

    let is_refused = Arc::new(AtomicBool::new(true));
    let refused = Arc::clone(&is_refused);
    post.world.smtp.behave(move |phase, _| {
        if phase == Phase::Mail && refused.load(Ordering::SeqCst) {
            reply("550 5.7.1 who are you?")
        } else {
            Action::Proceed
        }
    });
    post.add_many(20).await;
    let mailer = post.world.mailer(&[]);
    assert!(mailer.line("Provider needs an operator").await.contains("sender_refused"));
    metric_is(&mailer, "mailer_breaker_state", 3.0).await;
    is_refused.store(false, Ordering::SeqCst);
    post.completed(21).await;
    assert_eq!(post.counts().await.failed, 1);
}

#[tokio::test]
async fn mails_are_sent_over_tls_with_plain_and_login() {
    for encryption in [Encryption::StartTls, Encryption::Implicit] {
        for mechanisms in ["PLAIN", "LOGIN"] {
            let post = Post::start_with(with_log_in(encryption, mechanisms)).await;
            post.add_many(3).await;
            assert_eq!(post.drain().await.sent, 3, "{encryption:?} {mechanisms}");
            assert_eq!(post.world.smtp.received().len(), 3);
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_to_an_untrusted_server() {
    for encryption in [Encryption::StartTls, Encryption::Implicit] {
        let certificate_for = "DNS:elsewhere.example".to_owned();
        let mut post = Post::start_with(SmtpOptions { certificate_for, ..with_log_in(encryption, "PLAIN") }).await;
        post.world.set("SMTP_PROBE_MS", "200");
        post.add_many(1).await;
        let mut mailer = post.world.mailer(&["check"]);
        assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(69));
        assert!(mailer.output().contains("certificate refused"), "{}", mailer.output());

        // A self-signed certificate, which the system does not trust.
        let untrusted = SmtpServer::start_with(with_log_in(encryption, "PLAIN")).await;
        let url = untrusted.url();
        let without_authority = url.split("ca=").next().expect("a URL").trim_end_matches(['&', '?']);
        post.world.set("SMTP_URL", without_authority);
        let mut mailer = post.world.mailer(&["check"]);
        assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(69));
        assert!(mailer.output().contains("certificate refused"), "{}", mailer.output());
        assert!(untrusted.count("AUTH") == 0 && post.world.smtp.count("AUTH") == 0, "no password was sent");
    }
}

#[tokio::test]
async fn nothing_is_sent_without_the_required_starttls() {
    let mut post = Post::start().await;
    post.world.set("SMTP_URL", &post.world.smtp.url().replace("tls=none", "tls=required"));
    post.world.set("SMTP_PROBE_MS", "200");
    post.add_many(3).await;
    let mut mailer = post.world.mailer(&["--once"]);
    assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(69), "{}", mailer.output());
    assert_eq!((post.world.smtp.count("MAIL"), post.counts().await.failed), (0, 0));
}

#[tokio::test]
async fn second_provider_takes_over_until_the_first_recovers() {
    let mut post = Post::start_set(&[("SMTP_PROBE_MS", "200")]).await;
    let second = SmtpServer::start().await;
    post.world.set("SMTP_URL", &format!("{}, {}", post.world.smtp.url(), second.url()));
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    post.world.smtp.behave(move |phase, _| {
        if phase == Phase::Greeting && down.load(Ordering::SeqCst) {
            reply("554 5.7.1 not you")
        } else {
            Action::Proceed
        }
    });
    let mailer = post.world.mailer(&[]);
    post.add_many(10).await;
    post.completed(10).await;
    assert_eq!(second.received().len(), 10);
    is_down.store(false, Ordering::SeqCst);
    mailer.line("Provider answers again").await;
    post.add_many(10).await;
    post.completed(20).await;
    assert_eq!((post.world.smtp.received().len(), second.received().len()), (10, 10));
}

#[tokio::test]
async fn two_mailers_share_one_rate() {
    let mut post = Post::start().await;
    post.world.set("SMTP_URL", &format!("{}&rate=10", post.world.smtp.url()));
    let begun = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&begun);
    post.world.smtp.behave(move |phase, _| {
        if phase == Phase::Mail {
            noted.lock().expect("no test panicked").push(Instant::now());
        }
        Action::Proceed
    });
    // The second round shows that an idle time allows no larger burst.
    for _ in 0..2 {
        post.add_many(25).await;
        let (one, other) = tokio::join!(post.drain(), post.drain());
        assert_eq!(one.sent + other.sent, 25);
        let begun = std::mem::take(&mut *begun.lock().expect("no test panicked"));
        let took = *begun.last().expect("mails") - begun[0];
        assert!(took >= 2 * SECOND, "{took:?}");
        let within_a_second = |from: &Instant| begun.iter().filter(|at| (*from..*from + SECOND).contains(*at)).count();
        let most = begun.iter().map(within_a_second).max().expect("mails");
        assert!(most <= 13, "{most} in a second; two for a busy machine");
    }
}

#[tokio::test]
async fn two_mailers_share_the_connection_limit() {
    let mut post = Post::start_set(&[("MAILER_CONCURRENCY", "5")]).await;
    post.world.set("SMTP_URL", &format!("{}&connections=2", post.world.smtp.url()));
    let (most, server) = (Arc::new(AtomicUsize::new(0)), post.world.smtp.clone());
    let seen = Arc::clone(&most);
    post.world.smtp.behave(move |_, _| {
        seen.fetch_max(server.connections(), Ordering::SeqCst);
        Action::Wait(Duration::from_millis(2))
    });
    post.add_many(60).await;
    let (one, other) = tokio::join!(post.drain(), post.drain());
    assert_eq!((one.sent + other.sent, one.failed + other.failed), (60, 0));
    assert_eq!(most.load(Ordering::SeqCst), 2, "connections at once");
    let leases = format!("ZCARD mail:connections:127.0.0.1:{}", post.world.smtp.port());
    assert_eq!(post.world.redis.cmd::<i64>(&leases).await, 0, "both have released theirs");
}

#[tokio::test]
async fn sender_refused_at_rcpt_fails_and_suppresses_nothing() {
    let post = Post::start_set(&[("SMTP_PROBE_MS", "300")]).await;
    let is_refused = Arc::new(AtomicBool::new(true));
    let refused = Arc::clone(&is_refused);
    // As Postfix, which refuses a sender only after RCPT.
    post.world.smtp.behave(move |phase, line| match phase {
        Phase::Rcpt if !refused.load(Ordering::SeqCst) => Action::Proceed,
        Phase::Rcpt if line.contains("s1@") => reply("553 5.7.1 <x@y>: Sender address rejected: not owned by user"),
        Phase::Rcpt => reply("550 5.1.8 <x@y>: Sender address rejected: Domain not found"),
        _ => Action::Proceed,
    });
    post.add_many(20).await;
    let mailer = post.world.mailer(&[]);
    let alert = mailer.line("Provider needs an operator").await;
    assert!(alert.contains("sender_refused"), "{alert}");
    metric_is(&mailer, "mailer_breaker_state", 3.0).await;
    assert_eq!(post.counts().await.failed, 0);
    is_refused.store(false, Ordering::SeqCst);
    post.completed(20).await;
    assert_eq!(post.world.redis.cmd::<i64>("EXISTS mail:suppressed").await, 0);
    for job in post.queue.list(State::Completed, 0, 20, ListOrder::OldestFirst).await.expect("read") {
        assert_eq!(job.attempts_made, 1, "one attempt: the one that sent it");
    }
}

#[tokio::test]
async fn rate_limit_of_an_open_circuit_does_not_slow_the_next() {
    let mut post = Post::start().await;
    // No server listens on port 1.
    post.world.set("SMTP_URL", &format!("smtp://127.0.0.1:1?tls=none&rate=1,{}", post.world.smtp.url()));
    post.add_many(30).await;
    let started = Instant::now();
    assert_eq!(post.drain().await.sent, 30);
    assert!(started.elapsed() < Duration::from_secs(15), "30 permits of the first take half a minute");
}

#[tokio::test]
async fn trouble_that_a_probe_finds_is_reported_and_its_end_too() {
    let mut post = Post::start_with(with_log_in(Encryption::StartTls, "PLAIN")).await;
    post.world.set("SMTP_PROBE_MS", "300");
    post.world.smtp.behave(at(Phase::Greeting, Action::Close));
    post.add_many(1).await;
    let mailer = post.world.mailer(&[]);
    mailer.line("Provider's circuit is open").await;
    metric_is(&mailer, "dependency_up{dependency=\"smtp\"}", 0.0).await;
    // It is back, but knows us no more: no mail has found out.
    post.world.smtp.behave(at(Phase::Auth, reply("535 5.7.8 authentication failed")));
    let alert = mailer.line("Provider needs an operator").await;
    assert!(alert.contains("login_refused") && alert.contains("535 5.7.8 at auth"), "{alert}");
    metric_is(&mailer, "mailer_breaker_state", 3.0).await;
    let counted = format!(
        "mailer_provider_trouble_total{{provider=\"127.0.0.1:{}\",trouble=\"login_refused\"}}",
        post.world.smtp.port()
    );
    metric_is(&mailer, &counted, 1.0).await;
    // It is healthy as soon as a probe says so, without a mail.
    let ids = post.queue.list(State::Delayed, 0, 10, ListOrder::OldestFirst).await.expect("read");
    for job in ids {
        post.queue.remove(&job.id).await.expect("removed");
    }
    post.world.smtp.behave(|_, _| Action::Proceed);
    mailer.line("Provider answers again").await;
    metric_is(&mailer, "dependency_up{dependency=\"smtp\"}", 1.0).await;
    assert_eq!(post.world.smtp.count("MAIL"), 0);
    let lines = |event: &str| mailer.output().matches(event).count();
    assert_eq!((lines("circuit is open"), lines("needs an operator")), (1, 1), "{}", mailer.output());
}
