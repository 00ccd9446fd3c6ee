//! The operator's commands, and secrets that they must not show.
#![expect(clippy::print_stdout, reason = "the figures stand in the documentation")]

use std::time::Duration;

use examhall_core::Timestamp;
use examhall_queue::{ListOrder, State};
use examhall_testkit::{Action, Phase, Process, eventually};
use serde_json::{Value, json};

use crate::{Post, TIMEOUT, at, at_rcpt, now, reply};

async fn run(post: &Post, args: &[&str]) -> (String, Option<i32>) {
    let mut mailer: Process = post.world.mailer(args);
    let code = mailer.exit(TIMEOUT).await.code();
    (mailer.output(), code)
}

/// Returns the last line of a command's answer as JSON; the command must succeed.
pub(crate) async fn json_of(post: &Post, args: &[&str]) -> Value {
    let (output, code) = run(post, &[args, &["--json"]].concat()).await;
    assert_eq!(code, Some(0), "{args:?}: {output}");
    let line =
        output.lines().rfind(|line| line.starts_with(['{', '[']) && !line.contains("\"timestamp\":\"")).expect("JSON");
    serde_json::from_str(line).expect("JSON")
}

#[tokio::test]
async fn failed_mails_are_listed_shown_and_retried() {
    let post = Post::start().await;
    post.world.smtp.behave(at(Phase::Rcpt, reply("550 5.7.1 spam")));
    let secret = json!({"to": "ada@example.com", "subject": "x", "html": "token-4711", "text": "token-4711"});
    let id = post.add_data(secret).await;
    post.add(json!("bob@example.com")).await;
    assert_eq!(post.drain().await.failed, 2);

    assert_eq!(json_of(&post, &["queue", "status"]).await["failed"], 2);
    let listed = json_of(&post, &["queue", "list"]).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    let shown = json_of(&post, &["queue", "show", &id]).await;
    assert_eq!(
        (&shown["state"], &shown["failedReason"], &shown["priority"]),
        (&json!("failed"), &json!("550 5.7.1 spam"), &json!(5))
    );
    assert_eq!(shown["data"]["html"], "[10 bytes]");
    assert!(!listed.to_string().contains("token-4711") && !shown.to_string().contains("token-4711"));

    post.world.smtp.behave(|_, _| Action::Proceed);
    assert_eq!(json_of(&post, &["queue", "retry", &id]).await, json!({"retried": 1}));
    assert_eq!(json_of(&post, &["queue", "retry-failed", "--reason", "spam"]).await, json!({"retried": 1}));
    assert_eq!(post.drain().await.sent, 2, "a failed mail keeps its body");
    let (output, code) = run(&post, &["queue", "retry", "nobody"]).await;
    assert_eq!(code, Some(1), "{output}");
}

#[tokio::test]
async fn queue_is_paused_resumed_and_cleaned() {
    let post = Post::start().await;
    let id = post.add(json!("ada@example.com")).await;
    assert_eq!(json_of(&post, &["queue", "pause"]).await, json!({"paused": true}));
    assert_eq!(json_of(&post, &["queue", "status"]).await["paused"], true);
    assert_eq!(json_of(&post, &["queue", "resume"]).await, json!({"paused": false}));
    assert_eq!(json_of(&post, &["queue", "remove", &id]).await, json!({"removed": 1}));
    post.world.smtp.behave(at(Phase::Rcpt, reply("450 4.2.0 x")));
    let id = post.add(json!("ada@example.com")).await;
    assert_eq!(post.drain().await.retried_later, 1);
    assert_eq!(json_of(&post, &["queue", "promote", &id]).await, json!({"promoted": 1}));
    post.world.smtp.behave(|_, _| Action::Proceed);
    assert_eq!(post.drain().await.sent, 1);
    assert_eq!(json_of(&post, &["queue", "clean", "--state", "completed"]).await, json!({"removed": 1}));
}

#[tokio::test]
async fn operator_adds_and_removes_suppressions() {
    let post = Post::start().await;
    let add = ["suppressions", "add", "Ada@Example.com", "--reason", "asked for it"];
    assert_eq!(json_of(&post, &add).await, json!({"added": true}));
    let list = json_of(&post, &["suppressions", "list"]).await;
    assert_eq!((&list[0]["address"], &list[0]["reason"]), (&json!("ada@example.com"), &json!("asked for it")));
    assert!(list[0]["since"].as_str().is_some_and(|since| since.starts_with("20")));
    let id = post.add(json!("ada@example.com")).await;
    assert_eq!(post.drain().await.failed, 1);
    assert_eq!(post.reason(&id).await, "suppressed: asked for it");
    assert_eq!(json_of(&post, &["suppressions", "remove", "ada@example.com"]).await, json!({"removed": true}));
    post.add(json!("ada@example.com")).await;
    assert_eq!(post.drain().await.sent, 1);
    let (output, code) = run(&post, &["suppressions", "add", "nobody"]).await;
    assert_eq!(code, Some(64), "{output}");
}

#[tokio::test]
async fn check_finds_failures_without_sending_a_mail() {
    let mut post = Post::start_with_login().await;
    assert_eq!(json_of(&post, &["check"]).await["ok"], true);
    assert_eq!(post.world.smtp.count("MAIL"), 0);
    post.world.set("SMTP_URL", &post.world.smtp.url_with("examhall:wrong-horse@"));
    let (output, code) = run(&post, &["check"]).await;
    assert_eq!(code, Some(69), "{output}");
    assert!(
        output.contains("535 5.7.8") && output.contains("check SMTP_URL") && !output.contains("wrong-horse"),
        "{output}"
    );
    post.world.set("REDIS_URL", "redis://127.0.0.1:1");
    let (output, code) = run(&post, &["check"]).await;
    assert_eq!(code, Some(69), "{output}");
    assert!(output.contains("FAILED   TCP") && output.contains("127.0.0.1:1"), "{output}");
}

#[tokio::test]
async fn send_test_bypasses_the_queue() {
    let post = Post::start().await;
    let sent = json_of(&post, &["send-test", "--to", "ada@example.com"]).await;
    assert_eq!(sent["response"], "250 2.0.0 queued as 1");
    assert_eq!(post.world.smtp.received()[0].to, ["ada@example.com"]);
    let (output, code) = run(&post, &["send-test", "--to", "nobody"]).await;
    assert_eq!(code, Some(64), "{output}");
    post.world.smtp.behave(at(Phase::Rcpt, reply("550 5.1.1 no such user")));
    let (output, code) = run(&post, &["send-test", "--to", "ada@example.com"]).await;
    assert!(code == Some(69) && output.contains("550 5.1.1 no such user"), "{output}");
}

#[tokio::test]
async fn logs_show_no_secret_at_any_level() {
    let mut post = Post::start_with_login().await;
    post.world.set("RUST_LOG", "trace");
    post.world.smtp.behave(at_rcpt("bob@", reply("550 5.1.1 <bob@example.com>: no such user")));
    for to in ["ada@example.com", "bob@example.com"] {
        post.add_data(json!({"to": to, "subject": "subject-4711", "html": "html-4711", "text": "text-4711"})).await;
    }
    let (output, code) = run(&post, &["--once"]).await;
    assert_eq!(code, Some(1), "{output}");
    let password = "Y29ycmVjdC1ob3JzZQ"; // in base64
    for secret in ["html-4711", "text-4711", "correct-horse", password, "ada@", "bob@", "AGV4YW1oYWxs"] {
        let shown: Vec<_> = output.lines().filter(|line| line.contains(secret)).collect();
        assert!(shown.is_empty(), "{secret}: {shown:?}");
    }
}

#[tokio::test]
async fn bodies_of_sent_mails_are_wiped_from_redis() {
    let post = Post::start_set(&[("MAIL_KEEP_BODIES", "false")]).await;
    post.world.smtp.behave(at_rcpt("bob@", reply("550 5.7.1 spam")));
    let mail = |to| json!({"to": to, "subject": "x", "html": "token-4711", "text": "token-4711"});
    let (sent, failed) = (post.add_data(mail("ada@example.com")).await, post.add_data(mail("bob@example.com")).await);
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (1, 1));
    let left: Value = serde_json::from_str(&post.job(&sent).await["data"]).expect("JSON");
    assert_eq!(left, json!({"to": "ada@example.com", "subject": "x", "html": ""}));
    assert!(post.job(&failed).await["data"].contains("token-4711"), "for a retry");
}

#[tokio::test]
async fn next_mailer_wipes_bodies_that_a_killed_one_left() {
    let mut post = Post::start().await; // keeps bodies, as in development
    post.add_many(3).await;
    assert_eq!(post.drain().await.sent, 3);
    post.world.set("MAIL_KEEP_BODIES", "false");
    let _mailer = post.world.mailer(&[]);
    eventually("bodies wiped", TIMEOUT, async || {
        let jobs = post.queue.list(State::Completed, 0, 10, ListOrder::OldestFirst).await.expect("read");
        jobs.iter().all(|job| job.data["html"] == "").then_some(())
    })
    .await;
}

#[tokio::test]
async fn failed_mail_keeps_its_body_until_it_expires() {
    let post = Post::start_set(&[("MAIL_KEEP_BODIES", "false")]).await;
    post.world.smtp.behave(at(Phase::Rcpt, reply("550 5.7.1 spam")));
    let soon = Timestamp::from_millis(now()).plus(Duration::from_secs(3));
    let mail = json!({"to": "ada@example.com", "subject": "x", "html": "token-4711", "text": "token-4711"});
    let mut expiring = mail.clone();
    expiring["expiresAt"] = json!(soon);
    let (expiring, other) = (post.add_data(expiring).await, post.add_data(mail).await);
    assert_eq!(post.drain().await.failed, 2);
    let _mailer = post.world.mailer(&[]);
    eventually("the expired mail's body wiped", TIMEOUT, async || {
        let is_wiped = !post.job(&expiring).await["data"].contains("token-4711");
        assert!(!is_wiped || Timestamp::from_millis(now()) >= soon, "a retry could still have sent it");
        is_wiped.then_some(())
    })
    .await;
    assert!(post.job(&other).await["data"].contains("token-4711"), "it has no expiry");
    assert_eq!(json_of(&post, &["queue", "retry", &expiring]).await, json!({"retried": 1}));
    eventually("the expired mail failed", TIMEOUT, async || (post.reason(&expiring).await == "expired").then_some(()))
        .await;
}

#[tokio::test]
async fn idle_mailer_is_small_and_quiet() {
    let quiet = [("QUEUE_LOCK_MS", "30000"), ("QUEUE_STALLED_INTERVAL_MS", "30000"), ("MAIL_KEEP_BODIES", "false")];
    let post = Post::start_set(&quiet).await;
    let mailer = post.world.mailer(&[]);
    let id = post.add(json!("ada@example.com")).await;
    eventually("the mail's body wiped, which is the last step", TIMEOUT, async || {
        post.job(&id).await["data"].contains("\"html\":\"\"").then_some(())
    })
    .await;
    // Commands of clients, without those that scripts call.
    let commands = async || -> u64 {
        let info: String = post.world.redis.cmd("INFO commandstats").await;
        let sent = ["evalsha", "eval", "ping", "bzpopmin", "client", "subscribe"];
        let calls = |line: &str| line.split("calls=").nth(1)?.split(',').next()?.parse::<u64>().ok();
        let is_sent = |line: &&str| sent.iter().any(|name| line.starts_with(&format!("cmdstat_{name}")));
        info.lines().filter(is_sent).filter_map(calls).sum()
    };
    // Wakes of the process. CPU time would depend on the machine.
    let wakes = || -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", mailer.pid())).expect("Linux");
        let status = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok());
        let count = |text: String| {
            text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok())
        };
        status.filter_map(count).sum()
    };
    let (before, wakes_before, seconds) = (commands().await, wakes(), 20);
    tokio::time::sleep(Duration::from_secs(seconds)).await; // the idle time under test
    let (sent, woken) = (commands().await - before, wakes() - wakes_before);
    let status = std::fs::read_to_string(format!("/proc/{}/status", mailer.pid())).expect("Linux");
    let size = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a size");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    let (kilobytes, allocated) = (size("VmRSS:"), size("RssAnon:"));
    println!(
        "idle: {kilobytes} kB resident, {allocated} kB of them its own, {sent} commands and {woken} wakes in {seconds} s"
    );
    assert!(allocated < 6_000, "the rest is the program itself: {allocated} kB");
    // Mostly the code of a debug build; the bench measures the release, of which 20 MB is the limit.
    assert!(kilobytes < 34_000, "a debug build is twice as large: {kilobytes} kB");
    assert!(sent < seconds, "{sent} commands in {seconds} s");
    assert!(woken < seconds * 20, "{woken} wakes in {seconds} s");
}
