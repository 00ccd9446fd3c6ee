use super::*;
use crate::{BadEmailAddress, BadText, EmailAddress};
use serde_json::json;

fn full() -> EmailJob {
    EmailJob {
        to: Recipients(vec!["Ada <ada@example.com>".into(), "bob@example.com".into()]),
        subject: "Übung".into(),
        html: "<p>secret-token</p>".into(),
        text: Some("secret-token".into()),
        from: "Examhall <no-reply@example.com>".into(),
        reply_to: "help@example.com".into(),
        cc: "carl@example.com".into(),
        bcc: Recipients(vec![]),
        headers: ("X-Campaign", "7").into(),
        attachments: vec![Attachment {
            filename: Some("a.txt".into()),
            content: b"hi".into(),
            content_type: Some("text/plain".into()),
            ..Attachment::default()
        }],
        message_id: Some("<m-1@example.com>".into()),
        expires_at: Some(Timestamp::from_millis(0)),
        class: MailClass::Verification,
        ..EmailJob::default()
    }
}

#[test]
fn the_wire_form_is_frozen() {
    let wire = json!({
        "to": ["Ada <ada@example.com>", "bob@example.com"], "subject": "Übung", "html": "<p>secret-token</p>",
        "text": "secret-token", "from": "Examhall <no-reply@example.com>", "replyTo": "help@example.com",
        "cc": "carl@example.com", "headers": {"X-Campaign": "7"},
        "attachments": [
            {"filename": "a.txt", "content": "aGk=", "encoding": "base64", "contentType": "text/plain"}
        ],
        "messageId": "<m-1@example.com>", "expiresAt": "1970-01-01T00:00:00.000Z", "class": "verification",
    });
    assert_eq!(serde_json::to_value(full()).expect("serializes"), wire);
    assert_eq!(serde_json::from_value::<EmailJob>(wire).expect("reads back"), full());
}

#[test]
fn absent_options_leave_no_null_behind() {
    let smallest = EmailJob { to: "a@b.example".into(), ..EmailJob::default() };
    let wire = serde_json::to_value(&smallest).expect("serializes");
    assert_eq!(wire, json!({"to": "a@b.example", "subject": "", "html": ""}));
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let error = |wire| serde_json::from_value::<EmailJob>(wire).expect_err("must be refused").to_string();
    assert!(error(json!({"to": 7, "subject": "s", "html": "h"})).contains("an address or a list of addresses"));
}

#[test]
fn none_and_more_than_fifty_recipients_are_rejected() {
    let job = |to| EmailJob { to: Recipients(vec!["a@b.example".into(); to]), ..EmailJob::default() };
    assert_eq!(job(0).check_recipients(), Err(BadRecipients::None));
    assert_eq!(job(50).check_recipients(), Ok(()));
    assert_eq!(job(51).check_recipients(), Err(BadRecipients::TooMany(51)));
}

#[test]
fn debug_shows_neither_body_nor_address() {
    let shown = format!("{:?} {:?}", full(), full().attachments);
    assert!(!shown.contains("secret-token") && !shown.contains("example.com>,") && !shown.contains("aGk="));
    assert!(!shown.contains("ada@"), "{shown}");
}

#[test]
fn a_mail_that_could_not_be_sent_is_not_queued() {
    let check = |change: fn(&mut EmailJob)| {
        let mut job =
            EmailJob { to: "a@b.example".into(), subject: "s".into(), html: "h".into(), ..EmailJob::default() };
        change(&mut job);
        job.check()
    };
    assert_eq!(check(|job| job.subject = "字".repeat(500)), Ok(()));
    assert_eq!(check(|job| job.subject = "字".repeat(501)), Err(BadMail::Subject));
    assert_eq!(check(|job| job.subject = "a\r\nb".into()), Err(BadMail::Text(BadText::Line)));
    assert_eq!(check(|job| job.text = Some("\0".into())), Err(BadMail::Text(BadText::Nul)));
    assert_eq!(check(|job| job.html = "x".repeat(500_001)), Err(BadMail::Body));
    assert_eq!(check(|job| job.to = Recipients(vec![])), Err(BadMail::Recipients(BadRecipients::None)));
    assert_eq!(check(|job| job.cc = "\"a b\"@c.example".into()), Err(BadMail::Address(BadEmailAddress::Quoted)));
}

#[test]
fn recipients_are_queued_as_they_are_parsed() {
    let to = Recipients(vec![" Ada@EXÄMPLE.example\r\n".into(), "\"bob\"@b.example".into()]);
    let parsed = EmailJob::parse_recipients(&to).expect("addresses");
    let texts: Vec<_> = parsed.iter().map(EmailAddress::as_str).collect();
    assert_eq!(texts, ["Ada@xn--exmple-cua.example", "bob@b.example"]);
}
