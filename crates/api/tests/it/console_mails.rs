//! Pages of mails in the console: search, actions, held mails, suppressions, bodies.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    Api,
    console::{Browser, header, location},
};

#[tokio::test]
async fn mails_are_searched_changed_and_suppressed_on_pages() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let id = api.send_mail(&admin, "ada@example.com", "Exam <moved>").await;
    api.fail(&id, "suppressed: 550 5.1.1 no such user").await;
    let browser = Browser::logged_in(&api, "operator").await;
    let text = async |path: &str| {
        let answer = browser.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.expect("text")
    };
    let found = text("/console/mails?q=ada%40example.com").await;
    assert!(found.contains("Exam &#60;moved&#62;") && found.contains(">suppressed<"), "{found}");
    assert!(found.contains("/console/mails/actions?action=retry"), "{found}");
    assert!(text("/console/mails?q=state:lost").await.contains("character 1"));
    assert!(text("/console/held").await.contains("No mail fits"));
    let mail = text(&format!("/console/mails/{id}")).await;
    assert!(mail.contains("Committed") && mail.contains("What to do") && !mail.contains("secret body"), "{mail}");
    assert_eq!(browser.get("/console/mails/unknown").await.status(), StatusCode::NOT_FOUND);

    let confirm = text("/console/mails/actions?action=retry&q=state:failed").await;
    assert!(confirm.contains("1 mail</strong>"), "{confirm}");
    let as_of =
        confirm.split("name=\"as_of\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a time");
    let form = [("action", "retry"), ("q", "state:failed"), ("as_of", as_of), ("expected", "1")];
    let done = browser.post("/console/mails/actions", &form).send().await.expect("an answer");
    assert_eq!((done.status(), location(&done)), (StatusCode::SEE_OTHER, "/console/mails?q=state%3Afailed"));
    assert_eq!(api.found(&admin, "state:failed").await, [""; 0]);

    let form = [("address", "bob@example.com"), ("reason", "asked for it")];
    let done = browser.post("/console/suppressions", &form).send().await.expect("an answer");
    assert_eq!(done.status(), StatusCode::SEE_OTHER);
    assert!(text("/console/suppressions?q=bob").await.contains("asked for it"));
    let done = browser.post("/console/suppressions/lift", &form[..1]).send().await.expect("an answer");
    assert_eq!(done.status(), StatusCode::SEE_OTHER);
    assert!(!text("/console/suppressions?q=bob").await.contains("asked for it"));
    let viewer = Browser::logged_in(&api, "viewer").await;
    assert!(
        !viewer.get("/console/mails?q=state:prioritized").await.text().await.expect("text").contains("actions?action=")
    );
    let form = [("action", "retry"), ("q", "state:failed"), ("as_of", "2026-11-23T09:00:00Z"), ("expected", "1")];
    assert_eq!(
        viewer.post("/console/mails/actions", &form).send().await.expect("an answer").status(),
        StatusCode::FORBIDDEN
    );
    api.stop().await;
}

#[tokio::test]
async fn a_body_is_shown_without_its_secrets_if_it_is_small() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let html =
        "<p>Hello <a href='https://exams.example/verify?token=T0pSecretT0pSecret'>here</a><script>x()</script></p>";
    let body =
        json!({"to": "ada@example.com", "subject": "Exam moved", "html": html, "text": "token=T0pSecretT0pSecret"});
    let answer = api.expect(202, reqwest::Method::POST, "/emails", &admin, &body).await;
    let id = answer["jobId"].as_str().expect("an id");
    let viewer = Browser::logged_in(&api, "viewer").await;
    let path = format!("/console/preview/sent?id={id}");
    let mail = viewer.get(&format!("/console/mails/{id}")).await.text().await.expect("a page");
    assert!(mail.contains(&path), "{mail}");
    let page = viewer.get(&path).await;
    let policy = header(&page, "content-security-policy").to_owned();
    assert!(page.status() == StatusCode::OK && policy.contains("frame-src 'self'"), "{policy}");
    let page = page.text().await.expect("a page");
    assert!(page.contains("Exam moved") && page.contains(&format!("/console/mails/{id}")), "{page}");
    assert!(page.contains("sandbox") && !page.contains("T0pSecret"), "{page}");
    let frame = viewer.get(&format!("/console/preview/sent/html?id={id}")).await;
    let policy = header(&frame, "content-security-policy").to_owned();
    assert!(policy.contains("sandbox;") && policy.contains("default-src 'none'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'self'") && header(&frame, "x-frame-options") == "SAMEORIGIN");
    let frame = frame.text().await.expect("a page");
    assert!(frame.contains("Hello") && !frame.contains("T0pSecret"), "{frame}");

    let large = json!({"to": "ada@example.com", "subject": "Large", "html": "x".repeat(2 * 1024 * 1024)});
    api.world.redis.command::<i64>(&["HSET", &format!("bull:email:{id}"), "data", &large.to_string()]).await;
    for path in [path, format!("/console/preview/sent/html?id={id}")] {
        let refused = viewer.get(&path).await;
        assert_eq!(refused.status(), StatusCode::CONFLICT, "{path}");
        assert!(refused.text().await.expect("a page").contains("3 MB"), "{path}");
    }
    for path in ["/console/preview/sent?id=unknown", "/console/preview/sent/html?id=unknown", "/console/mails/unknown"]
    {
        assert_eq!(viewer.get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    api.world.redis.command::<i64>(&["HSET", &format!("bull:email:{id}"), "data", "[7]"]).await;
    assert_eq!(viewer.get(&format!("/console/preview/sent?id={id}")).await.status(), StatusCode::CONFLICT);
    api.stop().await;
}

#[tokio::test]
async fn held_suppressions_are_confirmed_on_their_page() {
    let api = Api::start().await;
    let entry = json!({"reason": "550 5.1.1 no such user", "cause": "refused", "mail": "m-7", "since": 4_000_000_000_000_i64, "held": true});
    api.world.redis.command::<i64>(&["HSET", "mail:suppressed", "ada@example.com", &entry.to_string()]).await;
    let operator = Browser::logged_in(&api, "operator").await;
    let held = async || operator.get("/console/suppressions?held=true").await.text().await.expect("a page");
    let page = held().await;
    assert!(page.contains(">held<") && page.contains("/console/mails/m-7"), "{page}");
    let form = [("address", "ada@example.com")];
    let viewer = Browser::logged_in(&api, "viewer").await;
    for path in ["/console/suppressions/confirm", "/console/suppressions/lift", "/console/suppressions"] {
        let refused = viewer.post(path, &form).send().await.expect("an answer");
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
    }
    let done = operator.post("/console/suppressions/confirm", &form).send().await.expect("an answer");
    assert_eq!((done.status(), location(&done)), (StatusCode::SEE_OTHER, "/console/suppressions?held=true"));
    assert!(held().await.contains("No address is held"));
    let admin = api.admin().await;
    let audit: Value = api.expect(200, reqwest::Method::GET, "/audit?limit=1", &admin, &Value::Null).await;
    assert_eq!(
        (&audit["items"][0]["action"], &audit["items"][0]["filter"]),
        (&json!("confirm"), &json!("to:ada@example.com"))
    );
    assert_eq!(operator.get("/console/suppressions?cursor=x").await.status(), StatusCode::BAD_REQUEST);
    api.stop().await;
}
