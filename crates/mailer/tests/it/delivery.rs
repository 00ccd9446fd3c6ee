//! Delivery of mails by SMTP.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use examhall_testkit::{Action, Phase, SmtpOptions};
use serde_json::json;

use crate::{Post, at, at_rcpt, reply};

#[tokio::test]
async fn accepted_mail_returns_the_reply_of_the_server() {
    let post = Post::start().await;
    let id = post.add(json!("ada@example.com")).await;
    let drain = post.drain().await;
    assert_eq!((drain.drained, drain.sent, drain.failed, drain.left.waiting), (1, 1, 0, 0));
    let returned = post.returned(&id).await;
    assert_eq!(returned["response"], "250 2.0.0 queued as 1");
    assert_eq!((&returned["accepted"], &returned["rejected"]), (&json!(["ada@example.com"]), &json!([])));
    let mail = post.world.smtp.received().remove(0);
    assert_eq!(mail.header("Message-ID").as_deref(), returned["messageId"].as_str());
    assert!(returned["provider"].as_str().is_some_and(|provider| provider.starts_with("127.0.0.1:")));
}

#[tokio::test]
async fn many_mails_use_few_connections() {
    let post = Post::start().await;
    for n in 0..50 {
        post.add(json!(format!("s{n}@example.com"))).await;
    }
    assert_eq!(post.drain().await.sent, 50);
    let hellos = post.world.smtp.seen().iter().filter(|line| line.starts_with("EHLO")).count();
    assert!(hellos <= 5, "five at once, each with its own: {hellos}");
    let mut to: Vec<_> = post.world.smtp.received().into_iter().map(|mail| mail.to[0].clone()).collect();
    to.sort();
    to.dedup();
    assert_eq!(to.len(), 50, "each once");
}

#[tokio::test]
async fn temporary_refusal_is_retried_after_two_seconds() {
    let post = Post::start().await;
    let refusals = AtomicU32::new(1);
    post.world.smtp.behave(move |phase, _| {
        let refuse = phase == Phase::EndOfData
            && refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if refuse { reply("451 4.5.0 try later") } else { Action::Proceed }
    });
    let id = post.add(json!("ada@example.com")).await;
    let started = std::time::Instant::now();
    let drain = post.drain().await;
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!((drain.sent, drain.failed, drain.retried_later), (1, 0, 0));
    let job = post.job(&id).await;
    assert_eq!((job["atm"].as_str(), job["failedReason"].as_str()), ("2", "451 4.5.0 try later"));
}

#[tokio::test]
async fn permanent_refusal_fails_at_once_with_its_text() {
    let post = Post::start().await;
    post.world.smtp.behave(at(Phase::Rcpt, reply("550 5.1.1 no such user")));
    let id = post.add(json!("nobody@example.com")).await;
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed, drain.failed_ids), (0, 1, vec![id.clone()]));
    let job = post.job(&id).await;
    assert_eq!((job["atm"].as_str(), job["failedReason"].as_str()), ("1", "550 5.1.1 no such user"));
    assert!(post.world.smtp.received().is_empty());
}

#[tokio::test]
async fn refused_recipient_does_not_affect_the_others() {
    let post = Post::start().await;
    post.world.smtp.behave(at_rcpt("nobody", reply("550 5.1.1 no such user")));
    let id = post.add(json!(["nobody@example.com", "ada@example.com"])).await;
    assert_eq!(post.drain().await.sent, 1);
    let returned = post.returned(&id).await;
    assert_eq!(returned["accepted"], json!(["ada@example.com"]));
    assert_eq!(returned["rejected"], json!(["nobody@example.com"]));
    assert_eq!(post.world.smtp.received()[0].to, ["ada@example.com"]);
}

#[tokio::test]
async fn least_final_refusal_of_all_recipients_counts() {
    let post = Post::start().await;
    let rounds = AtomicU32::new(0);
    post.world.smtp.behave(move |phase, line| match phase {
        Phase::Mail => {
            rounds.fetch_add(1, Ordering::SeqCst);
            Action::Proceed
        }
        Phase::Rcpt if rounds.load(Ordering::SeqCst) > 1 => Action::Proceed,
        Phase::Rcpt if line.contains("nobody") => reply("550 5.1.1 no such user"),
        Phase::Rcpt => reply("452 try later"),
        _ => Action::Proceed,
    });
    post.add(json!(["nobody@example.com", "ada@example.com"])).await;
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (1, 0), "it was retried");
}

#[tokio::test]
async fn only_2yz_after_end_of_data_is_acceptance() {
    let post = Post::start_set(&[("SMTP_PROBE_MS", "200")]).await;
    let rounds = AtomicU32::new(0);
    post.world.smtp.behave(move |phase, _| match phase {
        Phase::EndOfData if rounds.fetch_add(1, Ordering::SeqCst) == 0 => reply("354 go on"),
        _ => Action::Proceed,
    });
    let id = post.add(json!("ada@example.com")).await;
    assert_eq!(post.drain().await.sent, 1);
    assert_eq!(post.job(&id).await["atm"], "1", "a provider failure spends no attempt");
    let hellos = post.world.smtp.seen().iter().filter(|line| line.starts_with("EHLO")).count();
    assert_eq!(hellos, 2, "the connection was not used again");
}

#[tokio::test]
async fn stale_connection_is_replaced_without_spending_an_attempt() {
    for late in [Phase::Mail, Phase::Rcpt, Phase::Data] {
        let post = Post::start().await;
        let mails = AtomicU32::new(0);
        post.world.smtp.behave(move |phase, _| match phase {
            _ if phase == late && mails.fetch_add(1, Ordering::SeqCst) == 1 => reply("421 4.4.2 idle for too long"),
            _ => Action::Proceed,
        });
        post.world.redis.cmd::<i64>("HSET bull:email:meta concurrency 1").await; // one after the other
        let ids = [post.add(json!("a@example.com")).await, post.add(json!("b@example.com")).await];
        assert_eq!((post.drain().await.sent, post.world.smtp.count("EHLO")), (2, 2), "{late:?}");
        for id in ids {
            assert_eq!(post.job(&id).await["atm"], "1", "{late:?}");
        }
    }
}

#[tokio::test]
async fn busy_greeting_is_retried_once_at_once() {
    let post = Post::start().await;
    let greetings = AtomicU32::new(0);
    post.world.smtp.behave(move |phase, _| match phase {
        Phase::Greeting if greetings.fetch_add(1, Ordering::SeqCst) == 0 => reply("421 4.3.2 busy"),
        _ => Action::Proceed,
    });
    let id = post.add(json!("ada@example.com")).await;
    let started = std::time::Instant::now();
    assert_eq!(post.drain().await.sent, 1);
    assert!(started.elapsed() < Duration::from_secs(4), "with an open circuit the probe would come after 5 s");
    assert_eq!(post.job(&id).await["atm"], "1");
}

#[tokio::test]
async fn mails_are_written_into_a_folder_atomically_and_once() {
    let mut post = Post::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    post.world.set("SMTP_URL", &format!("file:{}/deep/mail", folder.path().display()));
    let id = post.add(json!("ada@example.com")).await;
    assert_eq!(post.drain().await.sent, 1);
    let files: Vec<_> = std::fs::read_dir(folder.path().join("deep/mail")).expect("a folder").flatten().collect();
    assert_eq!(files.len(), 1);
    let mail = std::fs::read_to_string(files[0].path()).expect("a mail");
    assert!(mail.contains("To: ada@example.com") && files[0].path().ends_with(format!("{id}.eml")), "{mail}");
}

#[tokio::test]
async fn mail_fails_over_to_the_second_server() {
    let mut post = Post::start().await;
    let both = format!("smtp://127.0.0.1:1?tls=none, {}", post.world.smtp.url());
    post.world.set("SMTP_URL", &both);
    post.add(json!("ada@example.com")).await;
    assert_eq!(post.drain().await.sent, 1);
}

#[tokio::test]
async fn warm_connection_needs_two_round_trips_per_mail() {
    let post = Post::start_set(&[("MAILER_CONCURRENCY", "1")]).await;
    post.add_many(3).await;
    assert_eq!(post.drain().await.sent, 3);
    let seen = post.world.smtp.seen();
    let verbs: Vec<_> = seen.iter().map(|line| line.split([' ', ':']).next().unwrap_or_default()).collect();
    let mail = ["MAIL", "RCPT", "DATA"];
    assert_eq!(verbs[..10], [&["EHLO"], &mail[..], &mail, &mail].concat()[..], "no NOOP, no RSET");
}

#[tokio::test]
async fn connection_is_replaced_after_a_hundred_mails() {
    let post = Post::start_set(&[("MAILER_CONCURRENCY", "1")]).await;
    post.add_many(150).await;
    assert_eq!(post.drain().await.sent, 150);
    let seen = post.world.smtp.seen();
    let connections: Vec<_> = seen.split(|line| line.starts_with("EHLO")).skip(1).collect();
    let mails = |lines: &&[String]| lines.iter().filter(|line| line.starts_with("MAIL")).count();
    assert_eq!(connections.iter().map(mails).collect::<Vec<_>>(), [100, 50]);
    assert_eq!(post.world.smtp.count("QUIT"), 2, "both were closed with QUIT");
}

#[tokio::test]
async fn mail_above_the_size_limit_fails_before_it_is_sent() {
    let extensions = vec!["PIPELINING", "SIZE 2000"];
    let mut post = Post::start_with(SmtpOptions { extensions, ..SmtpOptions::default() }).await;
    post.world.set("MAILER_CONCURRENCY", "1");
    let large = json!({"to": "large@example.com", "subject": "x", "html": "x ".repeat(1_000)});
    let large = post.add_data(large).await;
    post.add(json!("small@example.com")).await;
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (1, 1));
    assert_eq!(post.reason(&large).await, "the server does not offer to take a mail of this size");
    let seen = post.world.smtp.seen();
    assert!(!seen.iter().any(|line| line.contains("large@")), "{seen:?}");
    let size = post.world.smtp.received()[0].message.len();
    assert!(seen.iter().any(|line| line.starts_with("MAIL") && line.contains(&format!("SIZE={size}"))), "{seen:?}");
    assert_eq!(post.world.smtp.count("EHLO"), 1, "the connection is reused");
}

#[tokio::test]
async fn non_ascii_text_arrives_with_and_without_8bitmime() {
    for extensions in [vec!["PIPELINING", "8BITMIME"], vec!["PIPELINING"]] {
        let post = Post::start_with(SmtpOptions { extensions, ..SmtpOptions::default() }).await;
        let (html, text) = ("<p>Your exam begins in Köln at ten ✓</p>", "Your exam begins in Köln at ten ✓");
        post.add_data(json!({"to": "Zoë <z@b.example>", "subject": "Prüfung", "html": html, "text": text})).await;
        assert_eq!(post.drain().await.sent, 1);
        let message = &post.world.smtp.received()[0].message;
        assert!(message.is_ascii(), "{message}");
        assert!(message.contains("\r\n<p>Your exam begins in K=C3=B6ln at ten =E2=9C=93</p>\r\n"), "{message}");
        assert!(message.contains("\r\nYour exam begins in K=C3=B6ln at ten =E2=9C=93\r\n"), "{message}");
        assert!(
            !post.world.smtp.seen().iter().any(|line| line.contains("BODY=")),
            "7-bit text needs no BODY parameter"
        );
    }
}

#[tokio::test]
async fn refused_recipient_keeps_the_connection() {
    for extensions in [vec!["PIPELINING", "ENHANCEDSTATUSCODES"], vec!["ENHANCEDSTATUSCODES"]] {
        let mut post = Post::start_with(SmtpOptions { extensions, ..SmtpOptions::default() }).await;
        post.world.set("MAILER_CONCURRENCY", "1");
        post.world.smtp.behave(at_rcpt("nobody", reply("550 5.1.1 no such user")));
        for n in 0..3 {
            post.add(json!(format!("nobody{n}@example.com"))).await;
            post.add(json!(format!("ada{n}@example.com"))).await;
        }
        let drain = post.drain().await;
        assert_eq!((drain.sent, drain.failed), (3, 3));
        assert_eq!(post.world.smtp.count("EHLO"), 1);
        assert_eq!(post.world.smtp.count("RSET"), 3, "before the next mail, in the same round trip");
    }
}

#[tokio::test]
async fn connection_that_fails_rset_is_replaced_at_no_cost() {
    for extensions in [vec!["PIPELINING"], vec![]] {
        for action in [reply("500 5.5.1 what?"), reply("421 4.3.2 bye"), reply("220 hello"), Action::Close] {
            let mut post =
                Post::start_with(SmtpOptions { extensions: extensions.clone(), ..SmtpOptions::default() }).await;
            post.world.set("MAILER_CONCURRENCY", "1");
            let at_reset = action.clone();
            post.world.smtp.behave(move |phase, line| match phase {
                Phase::Rcpt if line.contains("nobody") => reply("550 5.1.1 no such user"),
                Phase::Other if line == "RSET" => at_reset.clone(),
                _ => Action::Proceed,
            });
            post.add(json!("nobody@example.com")).await;
            let id = post.add(json!("ada@example.com")).await;
            let drain = post.drain().await;
            assert_eq!((drain.sent, drain.failed, drain.ambiguous), (1, 1, 0), "{action:?}");
            assert_eq!((post.world.smtp.count("EHLO"), post.world.smtp.received().len()), (2, 1), "{action:?}");
            assert_eq!(post.job(&id).await["atm"], "1", "{action:?}");
        }
    }
}

#[tokio::test]
async fn attachments_arrive_unchanged() {
    let post = Post::start().await;
    let content = "QUJD".repeat(100_000);
    let file = json!({"filename": "Prüfung.bin", "content": content, "encoding": "base64"});
    post.add_data(json!({"to": "a@b.example", "subject": "x", "html": "", "attachments": [file]})).await;
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (1, 0));
    assert!(post.world.smtp.received()[0].message.replace("\r\n", "").contains(&content), "unchanged");
}

#[tokio::test]
async fn non_ascii_address_needs_smtputf8_and_8bitmime() {
    let post = Post::start().await;
    post.add(json!("ünal@prüfung.example")).await;
    assert_eq!(post.drain().await.sent, 1);
    let received = post.world.smtp.received();
    assert_eq!(received[0].to, ["ünal@xn--prfung-4ya.example"]);
    assert_eq!(received[0].header("To").as_deref(), Some("ünal@xn--prfung-4ya.example"));
    let seen = post.world.smtp.seen();
    let mail = seen.iter().find(|line| line.starts_with("MAIL")).expect("sent");
    assert!(mail.contains("SMTPUTF8") && mail.contains("BODY=8BITMIME"), "{mail}");
    let post = Post::start_with(SmtpOptions { extensions: vec!["SMTPUTF8"], ..SmtpOptions::default() }).await;
    let id = post.add(json!("ünal@prüfung.example")).await;
    assert_eq!(post.drain().await.failed, 1);
    assert!(post.reason(&id).await.contains("8BITMIME") && post.world.smtp.count("MAIL") == 0);
    let post = Post::start_with(SmtpOptions { extensions: vec!["PIPELINING"], ..SmtpOptions::default() }).await;
    let id = post.add(json!("ünal@prüfung.example")).await;
    assert_eq!(post.drain().await.failed, 1);
    assert!(post.reason(&id).await.contains("SMTPUTF8"));
}
