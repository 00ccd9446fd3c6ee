//! Metrics of a running mailer.

use examhall_core::Timestamp;
use examhall_testkit::{Action, Phase, Process, eventually};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Post, TIMEOUT, at, at_rcpt, reply};

/// Returns the answer of `/metrics`.
async fn scrape(mailer: &Process) -> Option<String> {
    let line = mailer.line("Health and metrics on port").await;
    let digits = line.split("on port ").nth(1)?.chars().take_while(char::is_ascii_digit).collect::<String>();
    let mut stream = TcpStream::connect(format!("127.0.0.1:{digits}")).await.ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text)
}

/// Waits until the first metric line with this start has this value.
pub(crate) async fn metric_is(mailer: &Process, start: &str, expected: f64) {
    eventually(&format!("{start} is {expected}"), TIMEOUT, async || {
        let text = scrape(mailer).await?;
        let value = text.lines().find(|line| line.starts_with(start))?.rsplit(' ').next()?.parse::<f64>().ok()?;
        ((value - expected).abs() < 0.001).then_some(())
    })
    .await;
}

#[tokio::test]
async fn metrics_show_outcomes_and_waiting_mails() {
    let post = Post::start_with_login().await;
    post.world.smtp.behave(at_rcpt("bob@", reply("550 5.7.1 spam")));
    post.add(json!("ada@example.com")).await;
    post.add(json!("bob@example.com")).await;
    let late = json!({"to": "a@b.example", "subject": "x", "html": "", "expiresAt": Timestamp::from_millis(1)});
    post.add_data(late).await;
    let mailer = post.world.mailer(&[]);
    for (start, expected) in [
        ("mailer_attempts_total{outcome=\"sent\"}", 1.0),
        ("mailer_attempts_total{outcome=\"failed\"}", 1.0),
        ("mailer_attempts_total{outcome=\"expired\"}", 1.0),
        ("mailer_refusals_total{phase=\"rcpt\",code=\"550\"}", 1.0),
        ("mailer_policy_refusals_total", 1.0),
        ("mailer_time_to_accept_seconds_count{class=\"other\"}", 1.0),
        ("bullmq_job_completed_total{queue=\"email\"}", 1.0),
        ("bullmq_job_failed_total{queue=\"email\"}", 2.0),
        ("mailer_slots_busy", 0.0),
        ("mailer_stalled_total", 0.0),
        ("mailer_breaker_state{provider=", 0.0),
        ("mailer_oldest_waiting_seconds{class=\"verification\"}", 0.0),
        ("bullmq_job_count{queue=\"email\",state=\"delayed\"}", 0.0),
        ("mailer_smtp_phase_seconds_count{phase=\"dot\"}", 1.0),
    ] {
        metric_is(&mailer, start, expected).await;
    }
    let text = scrape(&mailer).await.expect("metrics");
    for phase in ["connect", "greeting", "ehlo", "tls", "auth", "mail", "rcpt", "data", "body", "dot"] {
        let start = format!("mailer_smtp_phase_seconds_count{{phase=\"{phase}\"}}");
        assert!(text.contains(&start), "{start}: {text}");
    }
    for secret in ["ada@", "example.com\"", "correct-horse", "spam"] {
        assert!(!text.contains(secret), "no address, domain, password or server text: {text}");
    }
}

#[tokio::test]
async fn slots_are_busy_while_mails_are_in_flight() {
    let post = Post::start().await;
    post.world.smtp.behave(at(Phase::EndOfData, Action::Hang));
    post.add_many(3).await;
    let mailer = post.world.mailer(&[]);
    metric_is(&mailer, "mailer_slots_busy", 3.0).await;
    post.world.smtp.behave(|_, _| Action::Proceed);
    metric_is(&mailer, "mailer_slots_busy", 0.0).await;
}
