//! Hooks of providers: requests as their documentation shows them, signed here.

use std::time::SystemTime;

use base64::{Engine, prelude::BASE64_STANDARD};
use examhall_testkit::World;
use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};

use crate::Api;

const ID: &str = "m-018f4e3a-0000-7000-8000-000000000001";
const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:mail";
const NOTHING: &Value = &Value::Null;

async fn start() -> Api {
    let mut world = World::start().await;
    world.set("MAIL_HOOK_SES_TOPICS", TOPIC);
    world.set("MAIL_HOOK_POSTMARK_LOGIN", "hook:correct horse");
    world.set("MAIL_HOOK_RESEND_SECRET", &format!("whsec_{}", BASE64_STANDARD.encode("a key of resend")));
    world.set("MAIL_HOOK_MAILGUN_KEY", "a key of mailgun");
    Api::start_in(world).await
}

/// A mail that a server has accepted, as the mailer leaves it.
async fn accept(api: &Api, id: &str) {
    let entry = json!({
        "state": "accepted", "messageId": format!("<{id}@exams.example>"), "at": 1,
        "result": {"accepted": ["ada@example.com"]},
    });
    api.world.redis.command::<()>(&["SET", &format!("mail:sent:{id}"), &entry.to_string()]).await;
}

async fn ledger(api: &Api, id: &str) -> Value {
    let text: String = api.world.redis.cmd(&format!("GET mail:sent:{id}")).await;
    serde_json::from_str(&text).expect("JSON")
}

fn seconds() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs()
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// Sends a request with headers; returns its status and answer.
async fn send(api: &Api, path: &str, headers: &[(&str, String)], body: &str) -> (u16, Value) {
    let mut request = api.request(Method::POST, path).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

fn svix(id: &str, time: u64, key: &str, body: &str) -> [(&'static str, String); 3] {
    let signature = BASE64_STANDARD.encode(sign(key.as_bytes(), format!("{id}.{time}.{body}").as_bytes()));
    [
        ("svix-id", id.to_owned()),
        ("svix-timestamp", time.to_string()),
        ("svix-signature", format!("v1,x v1,{signature}")),
    ]
}

fn mailgun(time: u64, token: &str, key: &str, event: &Value) -> String {
    let signature = hex::encode(sign(key.as_bytes(), format!("{time}{token}").as_bytes()));
    json!({"signature": {"timestamp": time.to_string(), "token": token, "signature": signature}, "event-data": event})
        .to_string()
}

fn resend_bounce(kind: &str, id: &str) -> String {
    json!({"type": "email.bounced", "created_at": "2026-11-22T23:41:12.126Z", "data": {
        "email_id": "56761188-7520-42d8-8898-ff6fc54ce618", "message_id": format!("<{id}@exams.example>"),
        "from": "no-reply@exams.example", "to": ["Ada@example.com"], "subject": "Result",
        "bounce": {"message": "The recipient's address does not exist.", "subType": "General", "type": kind},
    }})
    .to_string()
}

#[tokio::test]
async fn bounces_and_complaints_end_in_ledger_suppressions_and_status() {
    let api = start().await;
    let admin = api.admin().await;
    let mail = json!({"to": "ada@example.com", "subject": "x", "html": "x", "delayMs": 3_600_000});
    let id = api.expect(202, Method::POST, "/emails", &admin, &mail).await["jobId"].as_str().expect("an id").to_owned();
    accept(&api, &id).await;

    let body = resend_bounce("Transient", &id);
    let soft = send(&api, "/hooks/mail/resend", &svix("msg_1", seconds(), "a key of resend", &body), &body).await;
    assert_eq!(soft, (200, json!({"recorded": 1, "known": 0, "unknown": 0})));
    let list = api.expect(200, Method::GET, "/suppressions", &admin, NOTHING).await;
    assert_eq!(list["items"], json!([]), "a soft bounce suppresses nobody");
    assert_eq!(ledger(&api, &id).await["state"], "bounced");

    let body = resend_bounce("Permanent", &id);
    for recorded in [1, 0] {
        // Below `/api/v1`, too.
        let path = "/api/v1/hooks/mail/resend";
        let answer = send(&api, path, &svix("msg_2", seconds(), "a key of resend", &body), &body).await;
        assert_eq!(answer, (200, json!({"recorded": recorded, "known": 1 - recorded, "unknown": 0})));
    }
    let complaint = json!({"event": "complained", "recipient": "ada@example.com",
                           "message": {"headers": {"message-id": format!("{id}@exams.example")}}});
    let body = mailgun(seconds(), "token-1", "a key of mailgun", &complaint);
    assert_eq!(send(&api, "/hooks/mail/mailgun", &[], &body).await.0, 200);
    let entry = ledger(&api, &id).await;
    assert_eq!((&entry["state"], &entry["result"]["accepted"][0]), (&json!("complained"), &json!("ada@example.com")));

    let status = api.expect(200, Method::GET, &format!("/emails/{id}"), &admin, NOTHING).await;
    let kinds: Vec<_> = status["reports"].as_array().expect("reports").iter().map(|one| &one["kind"]).collect();
    let expected = json!(["softBounce", "hardBounce", "complaint"]);
    assert_eq!((&status["outcome"], json!(kinds)), (&json!("complained"), expected));
    let list = api.expect(200, Method::GET, "/suppressions", &admin, NOTHING).await;
    let only = &list["items"][0];
    assert_eq!(
        (&only["address"], &only["cause"], &only["source"]),
        (&json!("ada@example.com"), &json!("bounced"), &json!("resend"))
    );
    assert!(only["until"].is_string() && only["held"] == false, "{only}");

    let unknown = resend_bounce("Permanent", "m-018f4e3a-0000-7000-8000-00000000ffff").replace("Ada@", "bob@");
    let answer =
        send(&api, "/hooks/mail/resend", &svix("msg_3", seconds(), "a key of resend", &unknown), &unknown).await;
    assert_eq!(answer, (200, json!({"recorded": 0, "known": 0, "unknown": 1})), "it is not sent again");
    let totals: Vec<String> = api.world.redis.cmd("HKEYS mail:reports").await;
    assert_eq!(totals.len(), 4, "{totals:?}");

    // The HTTP face of the list.
    let added = json!({"address": "Eve@Example.com", "reason": "asked for it"});
    let answer = api.send(Method::POST, "/suppressions", &admin, &added).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (201, &"/api/v1/suppressions/eve%40example.com".parse().expect("a header"))
    );
    let read = api.expect(200, Method::GET, "/suppressions/eve%40example.com", &admin, NOTHING).await;
    assert_eq!(
        (&read["reason"], &read["cause"], &read["until"]),
        (&json!("asked for it"), &json!("operator"), NOTHING)
    );
    api.expect(422, Method::POST, "/suppressions", &admin, &json!({"address": "nobody"})).await;
    let page = api.expect(200, Method::GET, "/suppressions?limit=2", &admin, NOTHING).await;
    assert_eq!((page["items"].as_array().map(Vec::len), &page["nextCursor"]), (Some(2), &json!("0-2")));
    let confirmed = api.expect(200, Method::POST, "/suppressions/confirm", &admin, &json!({})).await;
    assert_eq!(confirmed, json!({"confirmed": 0}));
    api.expect(204, Method::DELETE, "/suppressions/eve@example.com", &admin, NOTHING).await;
    api.expect(404, Method::DELETE, "/suppressions/eve@example.com", &admin, NOTHING).await;
    assert_eq!(api.get("/api/v1/suppressions").await.status(), 401);
    api.stop().await;
}

#[tokio::test]
async fn requests_without_proof_of_origin_change_nothing() {
    let api = start().await;
    accept(&api, ID).await;
    let (now, key) = (seconds(), "a key of resend");
    let body = &resend_bounce("Permanent", ID);
    let resend = "/hooks/mail/resend";
    let good = svix("msg_1", now, key, body);
    for (headers, body) in [
        (&[][..], body.clone()),
        (&good[..2], body.clone()),
        (&svix("msg_1", now, "another key", body)[..], body.clone()),
        (&svix("msg_1", now - 600, key, body)[..], body.clone()),
        (&svix("msg_1", now + 600, key, body)[..], body.clone()),
        (&good[..], body.replace("Ada@", "eve@")),
        (&[good[0].clone(), good[1].clone(), ("svix-signature", "v1,".to_owned())][..], body.clone()),
        (&[good[0].clone(), ("svix-timestamp", "now".to_owned()), good[2].clone()][..], body.clone()),
    ] {
        assert_eq!(send(&api, resend, headers, &body).await.0, 403, "{headers:?}");
    }
    let postmark = json!({"RecordType": "Bounce", "Type": "HardBounce", "MessageID": "883953f4", "Details": "x",
                          "Metadata": {"message-id": format!("{ID}@exams.example")}, "Email": "ada@example.com"});
    let basic = |login: &str| [("authorization", format!("Basic {}", BASE64_STANDARD.encode(login)))];
    for headers in [&[][..], &basic("hook:wrong")[..]] {
        let (status, _) = send(&api, "/hooks/mail/postmark", headers, &postmark.to_string()).await;
        assert_eq!(status, 401);
    }
    let event = json!({"event": "failed", "severity": "permanent", "recipient": "ada@example.com",
                       "message": {"headers": {"message-id": format!("{ID}@exams.example")}}});
    let key = "a key of mailgun";
    for body in [
        mailgun(now, "t", "another key", &event),
        mailgun(now - 600, "t", key, &event),
        json!({"event-data": event}).to_string(),
        json!([]).to_string(),
    ] {
        assert_eq!(send(&api, "/hooks/mail/mailgun", &[], &body).await.0, 403, "{body}");
    }
    let sns = include_str!("../../src/hooks/testdata/notification_v2.json");
    let elsewhere = sns.replace("sns.eu-west-1.amazonaws.com", "sns.evil.example");
    for body in [sns, &elsewhere, &sns.replace(":mail\"", ":other\""), "{}"] {
        assert_eq!(send(&api, "/hooks/mail/ses", &[], body).await.0, 403);
    }
    assert_eq!(ledger(&api, ID).await["state"], "accepted");
    assert_eq!(api.world.redis.cmd::<i64>("EXISTS mail:suppressed mail:reports").await, 0);

    assert_eq!(send(&api, "/hooks/mail/postmark", &basic("hook:correct horse"), &postmark.to_string()).await.0, 200);
    assert_eq!(ledger(&api, ID).await["state"], "bounced");
    let replayed = mailgun(now, "t", key, &event);
    assert_eq!(send(&api, "/hooks/mail/mailgun", &[], &replayed).await.0, 200);
    assert_eq!(send(&api, "/hooks/mail/mailgun", &[], &replayed).await.0, 403, "its token was used");
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    assert_eq!(send(&api, "/hooks/mail/postmark", &basic("hook:correct horse"), &large).await.0, 413);
    for (path, body) in [("/hooks/mail/postmark", "no JSON"), ("/hooks/mail/mailgun", "no JSON")] {
        assert_eq!(send(&api, path, &basic("hook:correct horse"), body).await.0, 400, "{path}");
    }
    assert_eq!(send(&api, "/hooks/mail/sendgrid", &[], "{}").await.0, 404);
    assert_eq!(api.get("/hooks/mail/resend").await.status(), 405);
    api.stop().await;
}

#[tokio::test]
async fn hooks_without_settings_are_not_there_and_outages_are_retried() {
    let mut world = World::start().await;
    world.set("MAIL_HOOK_POSTMARK_LOGIN", "hook:correct horse");
    let mut api = Api::start_in(world).await;
    for provider in ["ses", "resend", "mailgun"] {
        let sns = include_str!("../../src/hooks/testdata/notification_v2.json");
        assert_eq!(send(&api, &format!("/hooks/mail/{provider}"), &[], sns).await.0, 404, "{provider}");
    }
    let at = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    let intent = json!({"state": "intent", "messageId": format!("<{ID}@exams.example>"), "at": at}).to_string();
    api.world.redis.command::<()>(&["SET", &format!("mail:sent:{ID}"), &intent]).await;
    let bounce = json!({"RecordType": "Bounce", "Type": "HardBounce", "Email": "ada@example.com",
                        "Metadata": {"message-id": format!("{ID}@exams.example")}});
    let login = [("authorization", format!("Basic {}", BASE64_STANDARD.encode("hook:correct horse")))];
    let post = async |api: &Api| send(api, "/hooks/mail/postmark", &login, &bounce.to_string()).await.0;
    assert_eq!(post(&api).await, 503, "the mailer is about to record that it was accepted");
    accept(&api, ID).await;
    assert_eq!(post(&api).await, 200);
    api.world.redis.kill().await;
    assert_eq!(post(&api).await, 503);
    api.stop().await;
}
