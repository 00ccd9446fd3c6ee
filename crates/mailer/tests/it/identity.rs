//! What makes a job and its mail the same ones: the job's id and time, and the mail's `Message-ID` and `Date`.

use std::sync::atomic::{AtomicU32, Ordering};

use examhall_queue::JobOptions;
use examhall_testkit::{Action, Phase};
use serde_json::json;

use crate::{Post, now, reply};

fn mail(subject: &str) -> serde_json::Value {
    json!({"to": "ada@example.com", "subject": subject, "html": "<p>x</p>"})
}

#[tokio::test]
async fn reused_job_id_sends_the_second_mail() {
    let post = Post::start().await;
    for id in ["digest-42", "welcome-ada@example.com", "m-7"] {
        let options = JobOptions::default().job_id(id);
        post.add_with(mail("first"), options.clone()).await;
        assert_eq!(post.drain().await.sent, 1);
        let first = post.returned(id).await;
        post.queue.remove(id).await.expect("removed");

        post.add_with(mail("second"), options).await;
        assert_eq!(post.drain().await.sent, 1, "{id}");
        assert_ne!(post.returned(id).await["messageId"], first["messageId"], "mailboxes drop equal ids");
    }
    let subjects: Vec<_> = post.world.smtp.received().iter().filter_map(|mail| mail.header("Subject")).collect();
    assert_eq!(subjects, ["first", "second"].repeat(3));
}

#[tokio::test]
async fn mail_of_the_outbox_is_not_sent_again() {
    let post = Post::start().await;
    let id = "m-018f4e3a-0000-7000-8000-000000000001";
    for _ in 0..2 {
        post.add_with(mail("once"), JobOptions::default().job_id(id)).await;
        assert_eq!(post.drain().await.sent, 1);
        post.queue.remove(id).await.expect("removed");
    }
    assert_eq!(post.world.smtp.received().len(), 1);
}

#[tokio::test]
async fn date_is_the_time_of_the_first_attempt() {
    let post = Post::start().await;
    let tries = AtomicU32::new(0);
    post.world.smtp.behave(move |phase, _| {
        let is_first = phase == Phase::EndOfData && tries.fetch_add(1, Ordering::SeqCst) == 0;
        if is_first { reply("451 4.3.0 later") } else { Action::Proceed }
    });
    let id = post.add_data(mail("x")).await;
    let three_hours_ago = (now() - 3 * 3_600_000).to_string();
    post.world.redis.command::<i64>(&["HSET", &format!("bull:email:{id}"), "timestamp", &three_hours_ago]).await;
    let started = now() / 1000;
    assert_eq!(post.drain().await.sent, 1);
    let mail = post.world.smtp.received().remove(0);
    let date =
        mail_parser::DateTime::parse_rfc822(&mail.header("Date").expect("a date")).expect("RFC 5322").to_timestamp();
    let accepted = now() / 1000;
    assert!((started..=accepted - 2).contains(&date), "of the first attempt, 2 s before: {started} {date} {accepted}");
}
