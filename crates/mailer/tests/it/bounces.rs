//! Bounces that come back into a mailbox, and copies of sent mails.

use std::{fs, path::Path};

use examhall_testkit::Process;
use serde_json::{Value, json};

use crate::{Post, TIMEOUT, operate::json_of};

/// A notification as Postfix writes it, for a mail that came back to `address`.
fn notification(address: &str, message_id: &str, recipient: &str) -> String {
    format!(
        "Return-Path: <>\r\nX-Original-To: {address}\r\nDelivered-To: {address}\r\nFrom: MAILER-DAEMON@mx.example\r\n\
         Subject: Undelivered Mail Returned to Sender\r\nTo: {address}\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"B/mx.example\"\r\n\r\n--B/mx.example\r\n\
         Content-Description: Notification\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nI'm sorry.\r\n\r\n\
         --B/mx.example\r\nContent-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.example\r\nX-Postfix-Queue-ID: 4Xy2Zk\r\n\r\nFinal-Recipient: rfc822; {recipient}\r\n\
         Original-Recipient: rfc822;{recipient}\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 <{recipient}>: no such user\r\n\r\n--B/mx.example\r\n\
         Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: {message_id}\r\nSubject: x\r\n\r\n--B/mx.example--\r\n"
    )
}

fn put(maildir: &Path, name: &str, message: &str) {
    fs::write(maildir.join("new").join(name), message).expect("written");
}

#[tokio::test]
async fn a_mailbox_of_bounces_ends_in_ledger_and_suppressions() {
    let post = Post::start_set(&[("MAIL_RETURN_PATH", "bounces+*@exams.example")]).await;
    let id = post.add(json!(["ada@example.com", "bob@example.com"])).await;
    let other = post
        .add_data(json!({"to": "eve@example.com", "subject": "x", "html": "", "messageId": "<own@x.example>"}))
        .await;
    assert_eq!(post.drain().await.sent, 2);
    let received = post.world.smtp.received();
    let returned = post.returned(&id).await["messageId"].as_str().expect("an id").to_owned();
    let token = returned.trim_matches(['<', '>']).split('@').next().expect("a local part");
    let senders: Vec<_> = received.iter().map(|mail| mail.from.as_str()).collect();
    assert!(senders.contains(&format!("bounces+{token}@exams.example").as_str()), "{senders:?}");
    let hashed = senders.iter().find(|sender| sender.starts_with("bounces+h-")).expect("a token of its own");

    let folder = tempfile::tempdir().expect("a folder");
    for name in ["new", "cur", "tmp"] {
        fs::create_dir(folder.path().join(name)).expect("made");
    }
    // The original's headers may be missing or wrong: the return path names the mail.
    put(
        folder.path(),
        "1",
        &notification(&format!("bounces+{token}@exams.example"), "<lost@y.example>", "Ada@example.com"),
    );
    put(folder.path(), "2", &notification(hashed, "<lost@y.example>", "eve@example.com"));
    put(folder.path(), "3", &notification("bounces@exams.example", &returned, "mallory@example.com"));
    put(folder.path(), "4", &notification("bounces@exams.example", "<7.17@y.example>", "bob@example.com"));
    put(folder.path(), "5", "Subject: Out of office\r\n\r\nI am away.\r\n");
    // One that cannot be moved holds up no other.
    put(folder.path(), "0", "Subject: Hello\r\n\r\nHello.\r\n");
    fs::create_dir(folder.path().join("cur/0:2,S")).expect("made");
    let from = format!("maildir:{}", folder.path().display());
    let summary = json_of(&post, &["bounces", "--from", &from]).await;
    let expected = json!({"read": 6, "bounced": 2, "complained": 0, "known": 1, "unknown": 1, "ignored": 2, "left": 1});
    assert_eq!(summary, expected);
    assert_eq!(json_of(&post, &["bounces", "--from", &from]).await["read"], 1, "each message is read once");

    let listed = json_of(&post, &["suppressions", "list"]).await;
    let mut addresses: Vec<_> =
        listed.as_array().expect("a list").iter().map(|one| one["address"].as_str().expect("text")).collect();
    addresses.sort_unstable();
    assert_eq!(addresses, ["ada@example.com", "eve@example.com"], "only recipients of known mails are believed of");
    let shown = json_of(&post, &["queue", "show", &id]).await;
    assert_eq!((&shown["outcome"], &shown["reports"][0]["kind"]), (&json!("bounced"), &json!("hardBounce")));
    assert_eq!(json_of(&post, &["queue", "show", &other]).await["outcome"], "bounced");
    let mailer = post.world.mailer(&[]);
    crate::metrics::metric_is(&mailer, "mailer_reports_total{source=\"dsn\",kind=\"hardBounce\"}", 2.0).await;

    for (from, code) in [("mbox:/var/mail/x", 64), ("maildir:", 64), ("maildir:/nonexistent", 64)] {
        let mut mailer = Process::spawn_binary("mailer", &["bounces", "--from", from], post.world.settings());
        assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(code), "{}", mailer.output());
    }
}

#[tokio::test]
async fn sent_mail_is_resent_and_not_retried() {
    let post = Post::start().await;
    let id = post.add(json!("ada@example.com")).await;
    let command = async |action: &str, id: &str| {
        let mut mailer = Process::spawn_binary("mailer", &["queue", action, id], post.world.settings());
        let code = mailer.exit(TIMEOUT).await.code();
        (code, mailer.output())
    };
    let (code, said) = command("resend", &id).await;
    assert!(code == Some(1) && said.contains("was not sent"), "{said}");
    assert_eq!(post.drain().await.sent, 1);
    let (code, said) = command("retry", &id).await;
    assert!(code == Some(1) && said.contains(&format!("mailer queue resend {id}")), "{said}");
    assert_eq!(post.drain().await.drained, 0);
    let copy: Value = json_of(&post, &["queue", "resend", &id]).await;
    assert_ne!(copy["jobId"], json!(id));
    assert_eq!(post.drain().await.sent, 1);
    let received = post.world.smtp.received();
    assert_eq!(received.len(), 2);
    assert_ne!(received[0].header("Message-ID"), received[1].header("Message-ID"));
}
