//! A mailer whose clock is wrong: delays, due times, expiry and dates go by Redis's time.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use examhall_core::Timestamp;
use examhall_queue::JobOptions;
use serde_json::json;

use crate::{Post, now};

/// Adds `SKEW` seconds to the time of day, for a process that loads it first.
const SHIM: &str = r#"
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    int result = (int) syscall(SYS_clock_gettime, id, at);
    if (result == 0 && id == CLOCK_REALTIME) at->tv_sec += atoi(getenv("SKEW"));
    return result;
}
"#;

/// Compiles the shim; returns its path.
fn shim(folder: &Path) -> String {
    let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
    std::fs::write(&source, SHIM).expect("written");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).args([&library, &source]);
    assert!(compiler.status().expect("a C compiler, which Rust links with").success());
    library.display().to_string()
}

#[tokio::test]
async fn wrong_clock_of_a_mailer_changes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shim = shim(folder.path());
    for skew in ["300", "-300"] {
        let mut post = Post::start().await;
        post.world.set("LD_PRELOAD", &shim);
        post.world.set("SKEW", skew);
        let expires = |millis: i64| Timestamp::from_millis(now() + millis).to_string();
        let mail = |to: &str, expires_at: String| json!({"to": format!("{to}@example.com"), "subject": "x", "html": "", "expiresAt": expires_at});
        let mailer = post.world.mailer(&[]);
        mailer.line("Mailer running").await;
        post.add_data(mail("valid", expires(120_000))).await;
        let outdated = post.add_data(mail("expired", expires(-120_000))).await;
        post.world.smtp.wait_for(1).await;

        let (delay, added) = (Duration::from_secs(3), Instant::now());
        post.add_with(mail("delayed", expires(120_000)), JobOptions::default().delay(delay)).await;
        let mails = post.world.smtp.wait_for(2).await;
        assert!(added.elapsed() >= delay.mul_f64(0.9), "{skew}: sent {:?} after it was added", added.elapsed());
        let to: Vec<_> = mails.iter().map(|mail| mail.to[0].as_str()).collect();
        assert_eq!(to, ["valid@example.com", "delayed@example.com"]);
        for mail in &mails {
            let date = mail_parser::DateTime::parse_rfc822(&mail.header("Date").expect("a date")).expect("RFC 5322");
            assert!((date.to_timestamp() - now() / 1000).abs() < 120, "{skew}: {date}");
        }
        post.completed(2).await;
        assert_eq!(post.reason(&outdated).await, "expired");
        assert!(added.elapsed() < Duration::from_mins(2), "{skew}: five minutes late");
    }
}
