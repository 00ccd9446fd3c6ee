//! Control characters in Redis do not reach an operator's terminal.

use examhall_queue::{JobOptions, NewJob};
use serde_json::{Value, json};

use crate::{Post, TIMEOUT};

const PLANTED: &str = "\u{1b}[2J\u{7}\0\u{9b}31m\u{7f}\u{202e}x\u{2066}\u{2028}";

fn is_control(char: char) -> bool {
    (char.is_control() && char != '\n') || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[tokio::test]
async fn planted_control_characters_are_escaped() {
    let post = Post::start().await;
    let id = format!("id-{PLANTED}");
    let options = JobOptions { job_id: Some(id.clone()), ..JobOptions::default() };
    let data = json!({"to": PLANTED, "subject": PLANTED, "html": ""});
    post.queue.add(NewJob { name: PLANTED.to_owned(), data, options }).await.expect("added");
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
            let mut world = post.world.settings();
            world.extend([("LOG_FORMAT".to_owned(), format.to_owned()), ("NO_COLOR".to_owned(), "1".to_owned())]);
            let mut mailer = examhall_testkit::Process::spawn_binary("mailer", args, world);
            mailer.exit(TIMEOUT).await;
            let output = mailer.output();
            assert!(!output.contains(is_control), "{args:?}: {output:?}");
            if args.ends_with(&["--json"]) {
                let line = output.lines().rfind(|line| line.starts_with('[')).expect("JSON");
                let read: Value = serde_json::from_str(line).expect("JSON");
                assert!(read[0]["failedReason"] == PLANTED || read[0]["reason"] != Value::Null, "{read}");
            }
        }
    }
}
