//! Replies of every form: codes that RFC 5321 does not list, and replies in the middle of a message.

use base64::{Engine, prelude::BASE64_STANDARD};
use examhall_testkit::{Action, Phase};
use serde_json::json;

use crate::{Post, at, at_rcpt, reply};

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
