//! Replies of every form: codes that RFC 5321 does not list, and replies in the middle of a message.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use examhall_queue::{ListOrder, State};
use examhall_testkit::{Action, Phase, eventually};
use serde_json::json;

use crate::{Post, TIMEOUT, at, at_rcpt, reply};

#[tokio::test]
async fn unlisted_codes_go_by_their_first_digit() {
    let post = Post::start().await;
    post.world.smtp.behave(|phase, line| match phase {
        Phase::Rcpt if line.contains("s0@") => reply("571 5.7.1 delivery not authorized"),
        Phase::Rcpt if line.contains("s1@") => reply("590 no"),
        Phase::Rcpt if line.contains("s2@") => reply("550-not here\r\n599 go away"),
        Phase::Rcpt => reply("260 2.1.5 ok"),
        Phase::EndOfData => reply("299-one\r\n299-two\r\n290 three"),
        _ => Action::Proceed,
    });
    post.add_many(6).await;
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed, drain.ambiguous), (3, 3, 0));
    assert_eq!(post.world.smtp.received().len(), 3, "each once");
    assert_eq!(post.world.smtp.count("RCPT"), 6, "each tried once");
}

#[tokio::test]
async fn unlisted_code_after_the_message_refuses_it_once() {
    for (said, failed, reason) in [("571 5.7.1 no", 1, "571 5.7.1 no"), ("471 not now", 1, "471 not now")] {
        let post = Post::start().await;
        post.world.smtp.behave(at(Phase::EndOfData, reply(said)));
        let id = post.add(json!("ada@example.com")).await;
        let drain = post.drain().await;
        assert_eq!((drain.failed, drain.ambiguous), (failed, 0), "{said}");
        assert_eq!(post.reason(&id).await, reason);
        let tries = if said.starts_with('5') { 1 } else { 3 };
        assert_eq!(post.world.smtp.count("MAIL"), tries, "{said}");
    }
}

#[tokio::test]
async fn refusal_in_the_middle_of_a_message_is_read() {
    let post = Post::start().await;
    post.world.smtp.behave(at(Phase::Body, reply("552 5.3.4 message too big")));
    let content = BASE64_STANDARD.encode(vec![7_u8; 3_000_000]);
    let attachments = json!([{"filename": "results.pdf", "content": content, "encoding": "base64"}]);
    let big = json!({"to": "ada@example.com", "subject": "x", "html": "", "attachments": attachments});
    let id = post.add_data(big).await;
    let drain = post.drain().await;
    assert_eq!((drain.failed, drain.ambiguous), (1, 0));
    assert_eq!(post.reason(&id).await, "552 5.3.4 message too big");
    assert_eq!(post.world.smtp.count("MAIL"), 1, "refused once");
}

#[tokio::test]
async fn long_replies_are_read_to_their_end() {
    let post = Post::start().await;
    let long = format!("{}550 {}", "550-no such user here\r\n".repeat(5_000), "x".repeat(150_000));
    post.world.smtp.behave(at_rcpt("s0@", Action::Reply(long)));
    post.add_many(4).await;
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (3, 1));
    let reason = post.reason(&drain.failed_ids[0]).await;
    assert!(reason.starts_with("550 no such user here no such") && reason.len() <= 1_100, "{}", reason.len());
}

#[tokio::test]
async fn closing_server_gets_the_mail_on_a_new_connection() {
    for phase in [Phase::EndOfData, Phase::Data, Phase::Rcpt] {
        let post = Post::start_set(&[("MAILER_CONCURRENCY", "1")]).await;
        let seen = AtomicUsize::new(0);
        post.world.smtp.behave(move |now, _| match now {
            Phase::Greeting => {
                seen.store(0, Ordering::SeqCst);
                Action::Proceed
            }
            // The third mail of each connection.
            _ if now == phase && seen.fetch_add(1, Ordering::SeqCst) == 2 => reply("421 4.7.0 too many messages"),
            _ => Action::Proceed,
        });
        post.add_many(10).await;
        let drain = post.drain().await;
        assert_eq!((drain.sent, drain.retried_later, drain.ambiguous), (10, 0, 0), "{phase:?}");
        for job in post.queue.list(State::Completed, 0, 20, ListOrder::OldestFirst).await.expect("read") {
            assert_eq!((job.attempts_made, job.attempts_started), (1, 1), "each was sent at once");
        }
        assert!(post.world.smtp.count("EHLO") >= 5, "{phase:?}");
    }
}

#[tokio::test]
async fn late_replies_are_waited_for_and_hold_no_slot() {
    let post = Post::start_set(&[("SMTP_TIMEOUT_MS", "300"), ("MAILER_CONCURRENCY", "2")]).await;
    post.world.smtp.treat("slow", Phase::EndOfData, Action::Hang);
    let slow = post.add(json!("slow@example.com")).await;
    let mailer = post.world.mailer(&[]);
    post.world.smtp.wait_for_command("DATA").await;
    // All the time one mail after the other is sent, with the other slot; once the first is late, with two.
    post.add_many(30).await;
    post.world.smtp.wait_for(30).await;
    tokio::time::sleep(Duration::from_millis(700)).await; // it is late after 600 ms
    post.add_many(10).await;
    post.world.smtp.wait_for(40).await;
    assert!(!mailer.output().contains("circuit is open"), "{}", mailer.output());
    post.world.smtp.behave(|_, _| Action::Proceed);
    post.completed(41).await;
    assert_eq!(post.job(&slow).await["ats"], "1", "waited for, and not sent again");
    assert_eq!(post.world.smtp.received().len(), 41);
}

#[tokio::test]
async fn server_that_never_replies_to_messages_is_at_fault() {
    let post = Post::start_set(&[("SMTP_FINAL_TIMEOUT_MS", "400"), ("SMTP_PROBE_MS", "5000")]).await;
    post.world.smtp.behave(at(Phase::EndOfData, Action::KeepAndHang));
    post.add_many(10).await;
    let mailer = post.world.mailer(&[]);
    mailer.line("Provider's circuit is open").await;
    eventually("all ended", TIMEOUT, async || {
        (mailer.output().matches("Mail not accepted").count() >= 5).then_some(())
    })
    .await;
    let counts = post.counts().await;
    // One more may have been taken between the first end and the second.
    assert!(counts.failed == 0 && counts.prioritized >= 4, "the others were not touched: {counts:?}");
    let spent = post.queue.list(State::Delayed, 0, 20, ListOrder::OldestFirst).await.expect("read");
    let spent = spent.iter().filter(|job| job.attempts_made > 0).count();
    assert!(spent <= 1, "the first was taken for one mail's fault: {spent}");
}
