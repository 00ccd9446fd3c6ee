//! Control characters in Redis and in answers of a mail server do not reach an operator's terminal.

use examhall_queue::{JobOptions, NewJob};
use examhall_testkit::{Action, Phase};
use serde_json::{Value, json};

use crate::{Post, TIMEOUT, reply};

const PLANTED: &str = "\u{1b}[2J\u{7}\0\u{9b}31m\u{7f}\u{202e}x\u{2066}\u{2028}";

fn is_control(char: char) -> bool {
    (char.is_control() && char != '\n')
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[tokio::test]
async fn planted_control_characters_are_escaped() {
    let post = Post::start().await;
    let id = format!("id-{PLANTED}");
    let options = JobOptions::default().job_id(id.clone());
    let data = json!({"to": PLANTED, "subject": PLANTED, "html": ""});
    post.queue.add(NewJob::new(PLANTED, data).options(options)).await.expect("added");
    post.world.redis.command::<i64>(&["HSET", &format!("bull:email:{id}"), "failedReason", PLANTED]).await;
    post.world.redis.command::<i64>(&["LREM", "bull:email:wait", "0", &id]).await;
    post.world.redis.command::<i64>(&["ZADD", "bull:email:failed", "1", &id]).await;
    let shown_id = id.replace('\0', ""); // an argument of a process cannot contain NUL
    for args in [
        &["queue", "list"][..],
        &["queue", "list", "--json"],
        &["queue", "show", &shown_id],
        &["queue", "retry", &shown_id],
        &["suppressions", "add", "ada@example.com", "--reason", &PLANTED.replace('\0', "")],
        &["suppressions", "list"],
        &["suppressions", "list", "--json"],
    ] {
        for format in ["json", "pretty"] {
            let output = printed(&post, args, format).await;
            if args.ends_with(&["--json"]) {
                let line = output.lines().rfind(|line| line.starts_with('[')).expect("JSON");
                let read: Value = serde_json::from_str(line).expect("JSON");
                assert!(read[0]["failedReason"] == PLANTED || read[0]["reason"] != Value::Null, "{read}");
            }
        }
    }
}

/// Runs `mailer` with these arguments; returns what it prints, which holds no control character.
async fn printed(post: &Post, args: &[&str], log_format: &str) -> String {
    let mut settings = post.world.settings();
    settings.extend([("LOG_FORMAT".to_owned(), log_format.to_owned()), ("NO_COLOR".to_owned(), "1".to_owned())]);
    let mut mailer = examhall_testkit::Process::spawn_binary("mailer", args, settings);
    mailer.exit(TIMEOUT).await;
    let output = mailer.output();
    assert!(!output.contains(is_control), "{args:?}: {output:?}");
    output
}

#[tokio::test]
async fn what_a_mail_server_answers_is_escaped() {
    const ANSWER: &str = "\u{1b}[2J\u{1b}]0;x\u{7}a\u{8}\u{9b}31m\u{7f}\u{202e}x\u{2066}\u{200f}\u{61c}\u{2028}\rover";
    let post = Post::start().await;
    for (phase, code) in [
        (Phase::Greeting, "554 5.7.1"),
        (Phase::Ehlo, "550 5.7.1"),
        (Phase::Mail, "550 5.1.8"),
        (Phase::Rcpt, "550 5.1.1"),
        (Phase::EndOfData, "554 5.6.0"),
        (Phase::EndOfData, "250 2.0.0"),
    ] {
        post.world.smtp.behave(
            move |at, _| {
                if at == phase { reply(&format!("{code} planted {ANSWER}")) } else { Action::Proceed }
            },
        );
        let mut shown = 0;
        for (n, args) in [
            &["check"][..],
            &["check", "--json"],
            &["send-test", "--to", "ada@example.com"],
            &["send-test", "--to", "ada@example.com", "--json"],
            &["--once", "--max-time", "1s"],
            &["--once", "--max-time", "1s", "--json"],
            &["queue", "list"],
        ]
        .into_iter()
        .enumerate()
        {
            post.add(json!(format!("to{n}@example.com"))).await;
            for format in ["json", "pretty"] {
                shown += usize::from(printed(&post, args, format).await.contains("planted"));
            }
        }
        assert!(shown > 0, "{phase:?}: what the server said is shown somewhere");
    }
}
