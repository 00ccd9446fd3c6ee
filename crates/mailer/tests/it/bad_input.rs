//! Invalid jobs: each fails with a reason that names the field, and the next one is sent.

use examhall_core::EmailJob;
use examhall_queue::{Backoff, JobOptions, NewJob};
use serde_json::{Value, json};

use crate::Post;

#[tokio::test]
async fn invalid_jobs_fail_with_their_field_and_the_next_is_sent() {
    let post = Post::start().await;
    let mail = |change: Value| {
        let mut data = json!({"to": "a@b.example", "subject": "x", "html": ""});
        for (name, value) in change.as_object().expect("an object") {
            data[name] = value.clone();
        }
        data
    };
    let many: Vec<_> = (0..1000).map(|n| format!("s{n}@b.example")).collect();
    let bad = [
        (json!({"subject": "x", "html": ""}), "to: `to` names nobody"),
        (mail(json!({"subject": {"a": 1}})), "subject: invalid type"),
        (mail(json!({"to": {"a": 1}})), "to: an object needs the field `address`"),
        (mail(json!({"to": many})), "to: 1000 recipients"),
        (mail(json!({"to": "a@b.example\r\nBcc: x@y.example"})), "to: contains a line break"),
        (mail(json!({"to": "nobody"})), "to: not a mailbox"),
        (mail(json!({"cc": "\0"})), "cc: contains a line break or control character"),
        (mail(json!({"subject": "x\r\nBcc: y@z.example"})), "subject: contains a line break"),
        (mail(json!({"subject": "x\0"})), "subject: contains a line break or control character"),
        (mail(json!({"headers": {"X-A": "x\r\nBcc: y@z.example"}})), "headers: contains a line break"),
        (mail(json!({"headers": {"Bcc": "y@z.example"}})), "headers: \"Bcc\" cannot be set here"),
        (
            mail(json!({"attachments": [{"filename": "a", "content": "%", "encoding": "base64"}]})),
            "attachments[0]: content is not base64",
        ),
        (mail(json!({"attachments": "the letter"})), "attachments: invalid type: string, expected "),
        (mail(json!({"expiresAt": "tomorrow"})), "expiresAt: "),
        (mail(json!({"expiresAt": "2000-01-01T00:00:00Z"})), "expired"),
    ];
    let mut ids = Vec::new();
    for (data, reason) in &bad {
        ids.push((post.add_data(data.clone()).await, *reason));
    }
    let unknown = NewJob::new("send-letter", mail(json!({})))
        .options(JobOptions::default().attempts(EmailJob::ATTEMPTS).backoff(Backoff::exponential(EmailJob::BACKOFF)));
    ids.push((
        post.queue.add(unknown).await.expect("added"),
        "name: there is no handler for jobs named \"send-letter\"",
    ));
    let broken = post.add_data(mail(json!({}))).await;
    post.world.redis.command::<i64>(&["HSET", &format!("bull:email:{broken}"), "data", "{\"to\":"]).await;
    ids.push((broken, "the job's data cannot be read"));
    let timeless = post.add_data(mail(json!({}))).await;
    let key = format!("bull:email:{timeless}");
    post.world.redis.command::<i64>(&["HSET", &key, "timestamp", "1764127200000000"]).await; // in microseconds
    ids.push((timeless, "timestamp: 1764127200000000 is not a time"));
    let huge = post.add_data(mail(json!({"html": "x".repeat(50_000_000)}))).await;
    ids.push((huge, "data has"));
    post.add(json!("ada@example.com")).await;

    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (1, ids.len() as u64));
    for (id, reason) in ids {
        let job = post.job(&id).await;
        assert!(job["failedReason"].contains(reason), "{reason}: {}", job["failedReason"]);
        assert!(job["atm"].parse::<u32>().expect("a number") <= 1, "no second attempt");
    }
    assert_eq!((post.world.smtp.received().len(), post.world.smtp.count("MAIL")), (1, 1));
}

#[tokio::test]
async fn mail_has_at_most_eight_mebibytes_in_redis() {
    let post = Post::start().await;
    let mail = |size: usize| {
        let frame = json!({"to": "ada@example.com", "subject": "x", "html": ""});
        let html = "x".repeat(size - frame.to_string().len());
        json!({"to": "ada@example.com", "subject": "x", "html": html})
    };
    let largest = 8 * 1024 * 1024;
    let (sent, failed) = (post.add_data(mail(largest)).await, post.add_data(mail(largest + 1)).await);
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed_ids), (1, vec![failed.clone()]));
    assert_eq!(post.returned(&sent).await["accepted"], json!(["ada@example.com"]));
    assert_eq!(post.reason(&failed).await, "the job's data has 8388609 bytes, and 8388608 are read at most");
}

#[tokio::test]
async fn odd_but_valid_texts_become_valid_mails() {
    let post = Post::start().await;
    let line = "long words ".repeat(100);
    for subject in ["🎓 Prüfung bestanden", "‏مرحبا", line.as_str(), "a: b; c=?utf-8?q?d?="] {
        post.add_data(json!({"to": "Zoë ✓ <zoe@example.com>", "subject": subject, "html": line})).await;
    }
    assert_eq!(post.drain().await.sent, 4);
    for mail in post.world.smtp.received() {
        assert_eq!(mail.to, ["zoe@example.com"]);
        assert!(mail.message.lines().all(|line| line.len() <= 998 && line.is_ascii()), "{}", mail.message);
    }
}
