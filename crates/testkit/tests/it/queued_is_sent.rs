//! What the API takes (202), the mailer sends: from `POST /emails` and sign-up to an SMTP server.

use examhall_testkit::World;
use serde_json::{Value, json};

use crate::{Api, TIMEOUT, administrator};

#[tokio::test]
async fn every_mail_that_is_answered_202_reaches_the_server() {
    let world = World::start().await;
    let api = Api::start(&world).await;
    let admin = administrator(&world, &api).await;
    let mail = |to: Value, subject: &str, html: &str| json!({"to": to, "subject": subject, "html": html, "text": html});
    let ada = || json!("ada@example.com");
    let mails = [
        mail(json!("x@example.test\r\n"), "trimmed", "x"),
        mail(json!([" \"quoted\"@exämple.example ", "\u{212a}ate@EXAMPLE.com"]), "normalised", "x"),
        mail(ada(), &"字".repeat(500), "x"),
        mail(ada(), &"🎓".repeat(500), "x"),
        mail(ada(), &"x".repeat(500), "x"),
        mail(ada(), " two  blanks ", "x"),
        mail(ada(), "ends", "a\r.\rMAIL FROM:<x@y.example>\r\n.\r\nb\n.\n"),
        mail(json!((0..50).map(|n| format!("{n}{}@example.com", "s".repeat(60))).collect::<Vec<_>>()), "fifty", "x"),
    ];
    for mail in &mails {
        api.mail(&admin, mail).await; // which takes a 202 only
    }
    let grows = format!("a@{}.example", "Ⱥ".repeat(31));
    for email in ["\"signed.up\"@example.com", "a@İ.example", &grows] {
        api.sign_up(email).await;
    }
    let mut drain = world.mailer(&["--once"]);
    assert_eq!(drain.exit(TIMEOUT).await.code(), Some(0), "{}", drain.output());
    let received = world.smtp.received();
    assert_eq!(received.len(), mails.len() + 3, "{}", drain.output());
    let mut to: Vec<_> = received.iter().filter(|mail| mail.to.len() < 3).flat_map(|mail| mail.to.clone()).collect();
    to.sort();
    to.dedup();
    let label = format!("a@xn--cgj{}.example", "a".repeat(30));
    let expected = [
        "Kate@example.com",
        &label,
        "a@xn--i-9bb.example",
        "ada@example.com",
        "quoted@xn--exmple-cua.example",
        "signed.up@example.com",
        "x@example.test",
    ];
    assert_eq!(to, expected);
    for mail in &received {
        let legal = |line: &str| line.len() <= 998 && line.is_ascii() && !line.contains('\r');
        assert!(mail.message.split("\r\n").all(legal), "{}", mail.message);
    }
}

#[tokio::test]
async fn what_the_mailer_would_refuse_is_refused_by_the_api() {
    let world = World::start().await;
    let api = Api::start(&world).await;
    let admin = administrator(&world, &api).await;
    for (change, pointer) in [
        (json!({"to": "\"jane doe\"@example.test"}), "/to"),
        (json!({"to": ["ada@example.com", "\"a@b\"@example.test"]}), "/to"),
        (json!({"to": "Ada <ada@example.com>"}), "/to"),
        (json!({"to": []}), "/to"),
        (json!({"subject": "字".repeat(501)}), "/subject"),
        (json!({"subject": "\u{200b}\u{202e}"}), "/subject"),
        (json!({"subject": "a\rBcc: x@y.example"}), "/subject"),
        (json!({"html": "a\0b"}), "/html"),
        (json!({"text": "a\0b"}), "/text"),
    ] {
        let mut mail = json!({"to": "ada@example.com", "subject": "s", "html": "h"});
        for (name, value) in change.as_object().expect("an object") {
            mail[name] = value.clone();
        }
        let request = api.client.post(format!("{}/emails", api.base)).bearer_auth(&admin).json(&mail);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 422, "{mail}");
        let problem: Value = answer.json().await.expect("JSON");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}
