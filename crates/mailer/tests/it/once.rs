//! `mailer --once`: its summary and its exit codes.

use std::time::Duration;

use examhall_mailer::DrainOptions;
use examhall_queue::{JobOptions, ListOrder, State};
use examhall_testkit::{Action, Phase, Process};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{Post, TIMEOUT, at, count, reply};

async fn once(post: &Post, args: &[&str]) -> (Process, Option<i32>) {
    let mut mailer = post.world.mailer(&[&["--once"], args].concat());
    let code = mailer.exit(TIMEOUT).await.code();
    (mailer, code)
}

async fn summary(mailer: &Process) -> Value {
    serde_json::from_str(&mailer.line("\"drained\"").await).expect("JSON")
}

#[tokio::test]
async fn due_mails_are_sent_and_the_rest_is_reported() {
    let due = count(1_204, 60);
    let post = Post::start().await;
    post.add_many(due).await;
    for n in 0..7 {
        let later = JobOptions::default().delay(Duration::from_hours(1));
        post.add_with(json!({"to": format!("l{n}@example.com"), "subject": "x", "html": ""}), later).await;
    }
    // One in flight at another worker.
    post.world.redis.cmd::<i64>("HSET bull:email:x name send-email data {} opts {} timestamp 1").await;
    post.world.redis.cmd::<i64>("LPUSH bull:email:active x").await;
    post.world.redis.cmd::<()>("SET bull:email:x:lock token PX 600000").await;
    let (mailer, code) = once(&post, &[]).await;
    assert_eq!(code, Some(0), "{}", mailer.output());
    let line = mailer.line("drained ").await;
    let expected = format!("drained {due}: {due} sent, 0 retried later, 0 failed, 0 ambiguous; left 7 delayed (next ");
    assert!(line.starts_with(&expected) && line.contains("Z), 1 active elsewhere; "), "{line}");
    assert_eq!(post.world.smtp.received().len(), due);
}

#[tokio::test]
async fn exit_code_reports_failed_mails() {
    let post = Post::start().await;
    post.world.smtp.behave(|phase, line| match phase {
        Phase::Rcpt if line.contains("s0@") || line.contains("s1@") => reply("550 5.1.1 no such user"),
        _ => Action::Proceed,
    });
    post.add_many(6).await;
    let (mailer, code) = once(&post, &["--json"]).await;
    assert_eq!(code, Some(1), "{}", mailer.output());
    let summary = summary(&mailer).await;
    assert_eq!((&summary["sent"], &summary["failed"]), (&json!(4), &json!(2)));
    assert_eq!(summary["failedIds"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn exit_code_reports_an_early_stop() {
    let post = Post::start().await;
    post.world.smtp.behave(at(Phase::EndOfData, Action::Wait(Duration::from_millis(300))));
    post.add_many(60).await;
    let (mailer, code) = once(&post, &["--max-time", "1s"]).await;
    assert_eq!(code, Some(75), "{}", mailer.output());
    post.world.smtp.behave(|_, _| Action::Proceed);
    let before = post.world.smtp.received().len();
    let (mailer, code) = once(&post, &["--limit", "7"]).await;
    assert_eq!((code, post.world.smtp.received().len()), (Some(75), before + 7), "{}", mailer.output());

    let (mailer, code) = once(&post, &["--dry-run", "--json"]).await;
    let left = i64::try_from(60 - before - 7).expect("few");
    let summary = summary(&mailer).await;
    assert_eq!((code, &summary["drained"], &summary["left"]["waiting"]), (Some(0), &json!(0), &json!(left)));

    post.queue.pause().await.expect("paused");
    let (mailer, code) = once(&post, &[]).await;
    assert_eq!(code, Some(75), "{}", mailer.output());
    post.queue.resume().await.expect("resumed");
    let (mailer, code) = once(&post, &[]).await;
    assert_eq!(code, Some(0), "{}", mailer.output());
    assert_eq!(post.world.smtp.received().len(), 60, "each once");
}

#[tokio::test]
async fn exit_code_reports_an_unavailable_provider() {
    let mut post = Post::start_set(&[("SMTP_PROBE_MS", "200")]).await;
    post.world.set("SMTP_URL", "smtp://127.0.0.1:1?tls=none");
    let (mailer, code) = once(&post, &[]).await;
    assert_eq!(code, Some(0), "nothing is left to send: {}", mailer.output());
    post.add_many(3).await;
    let (mailer, code) = once(&post, &[]).await;
    assert_eq!(code, Some(69), "{}", mailer.output());
    assert_eq!(post.counts().await.failed, 0);
}

#[tokio::test]
async fn exit_code_reports_a_refused_login_without_attempts_spent() {
    let post = Post::start_with_login().await;
    post.world.smtp.behave(at(Phase::Auth, reply("535 5.7.8 no")));
    post.add_many(20).await;
    let (mailer, code) = once(&post, &[]).await;
    assert_eq!(code, Some(69), "{}", mailer.output());
    let mut left = Vec::new();
    for state in [State::Prioritized, State::Delayed] {
        left.extend(post.queue.list(state, 0, 100, ListOrder::OldestFirst).await.expect("read"));
    }
    assert_eq!((left.len(), post.world.smtp.count("MAIL")), (20, 0));
    assert!(left.iter().all(|job| job.attempts_made == 0), "{left:?}");
}

#[tokio::test]
async fn sigterm_finishes_mails_in_flight_and_leaves_the_rest() {
    let post = Post::start().await;
    post.world.smtp.behave(at(Phase::EndOfData, Action::Wait(Duration::from_millis(300))));
    post.add_many(60).await;
    let mut mailer = post.world.mailer(&["--once", "--json"]);
    post.world.smtp.wait_for(7).await; // some more are in flight
    mailer.terminate();
    assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(75), "{}", mailer.output());
    let sent = i64::try_from(post.world.smtp.received().len()).expect("few");
    let counts = post.counts().await;
    assert_eq!((counts.completed, counts.prioritized), (sent, 60 - sent));
    let summary = summary(&mailer).await;
    assert_eq!((&summary["sent"], &summary["left"]["waiting"]), (&json!(sent), &json!(60 - sent)));
    assert!(sent < 60, "it was stopped early");
}

#[tokio::test]
async fn bad_usage_and_bad_settings_have_their_own_exit_codes() {
    let post = Post::start().await;
    for (args, expected) in [(&["--max-time", "soon"][..], 64), (&["--limit", "0"], 64), (&["run"], 64)] {
        let (mailer, code) = once(&post, args).await;
        assert_eq!(code, Some(expected), "{}", mailer.output());
    }
    for (name, value) in [("MAIL_IN_DOUBT", "maybe"), ("SMTP_URL", "http://x"), ("DKIM_KEY", "no key")] {
        let post = Post::start_set(&[(name, value)]).await;
        let (mailer, code) = once(&post, &[]).await;
        assert_eq!(code, Some(78), "{}", mailer.output());
        assert!(mailer.output().contains(name), "{}", mailer.output());
    }
}

/// Runs a program on a terminal, and exits with its code. Each state of a bar becomes a line.
const TERMINAL: &str = "import os, pty, sys; lines = lambda terminal: os.read(terminal, 1024).replace(b'\\r', b'\\n'); \
                        sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:], lines)))";

#[tokio::test]
async fn progress_is_a_bar_on_a_terminal_and_lines_otherwise() {
    let post = Post::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL]).arg(examhall_testkit::binary("mailer")).arg("--once");
    command
        .env_clear()
        .envs(post.world.settings())
        .env("TERM", "xterm")
        .env("PATH", std::env::var_os("PATH").expect("x"));
    command.current_dir(folder.path());
    for shown in ["0 of 3 done", " 0/3 "] {
        post.world.smtp.behave(at(Phase::EndOfData, Action::Hang));
        post.add_many(3).await;
        let mut mailer = match shown {
            " 0/3 " => Process::spawn("python3", &mut command),
            _ => post.world.mailer(&["--once"]),
        };
        mailer.line(shown).await;
        post.world.smtp.behave(|_, _| Action::Proceed);
        assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(0), "{}", mailer.output());
        assert!(mailer.output().contains("drained 3: 3 sent"), "{}", mailer.output());
    }
}

#[tokio::test]
async fn two_drains_alongside_a_daemon_send_no_mail_twice() {
    let mails = count(1_000, 150);
    let post = Post::start().await;
    post.add_many(mails).await;
    let _daemon = post.world.mailer(&[]);
    let (one, other) = tokio::join!(post.drain_with(DrainOptions::default()), post.drain_with(DrainOptions::default()));
    post.completed(i64::try_from(mails).expect("few")).await;
    assert_eq!(one.failed + other.failed, 0);
    let mut to: Vec<_> = post.world.smtp.received().into_iter().map(|mail| mail.to[0].clone()).collect();
    assert_eq!(to.len(), mails);
    to.sort();
    to.dedup();
    assert_eq!(to.len(), mails, "each once");
}
