use reqwest::Method;
use serde_json::{Value, json};

use crate::{Api, problem};

#[tokio::test]
async fn sign_up_verify_and_log_in() {
    let api = Api::start().await;
    let signed_up = api.sign_up("Ada@example.com").await;
    assert_eq!(signed_up.status(), 202);
    assert_eq!(signed_up.json::<Value>().await.expect("JSON"), json!({"message": "Check your email"}));

    let log_in = json!({"email": "ada@example.com", "password": "correct horse"});
    problem(api.post("/api/v1/auth/login", &log_in).await, 403).await;

    let mail = api.only_mail().await;
    assert_eq!((&mail["to"], &mail["class"]), (&json!("Ada@example.com"), &json!("verification")));
    let token = json!({"token": Api::token_in(&mail)});
    assert_eq!(api.post("/api/v1/auth/verify", &token).await.status(), 200);
    problem(api.post("/api/v1/auth/verify", &token).await, 400).await;

    let tokens: Value = api.post("/api/v1/auth/login", &log_in).await.json().await.expect("JSON");
    assert_eq!((&tokens["tokenType"], &tokens["expiresIn"]), (&json!("Bearer"), &json!(900)));
    assert!(tokens["accessToken"].is_string() && tokens["refreshToken"].is_string());
    api.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_answered_alike_and_told_by_mail() {
    let api = Api::start().await;
    api.sign_up("ada@example.com").await;
    let first = Api::token_in(&api.only_mail().await);
    api.world.redis.cmd::<String>("FLUSHALL").await;
    let again = api.sign_up("ADA@example.com").await;
    assert_eq!(again.status(), 202);
    assert_eq!(again.json::<Value>().await.expect("JSON"), json!({"message": "Check your email"}));
    let mail = api.only_mail().await;
    assert_eq!(mail["subject"], "You already have an account");
    assert!(!mail["text"].as_str().expect("a text").contains("token="));
    assert_eq!(api.post("/api/v1/auth/verify", &json!({ "token": first })).await.status(), 200, "the first one stands");
    api.stop().await;
}

#[tokio::test]
async fn the_link_in_the_mail_is_a_page_with_a_button_that_works_once() {
    let api = Api::start().await;
    api.sign_up("ada@example.com").await;
    let token = Api::token_in(&api.only_mail().await);
    for _ in 0..2 {
        let page = api.get(&format!("/verify?token={token}")).await.text().await.expect("a page");
        assert!(page.contains("<button") && page.contains(&token), "looking at it does not use it up: {page}");
    }
    let press = async || {
        let form = format!("token={token}");
        let request = api.request(Method::POST, "/verify").body(form);
        request.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer")
    };
    let confirmed = press().await;
    assert_eq!(confirmed.status(), 200);
    assert!(confirmed.text().await.expect("a page").contains("is confirmed"));
    assert_eq!(press().await.status(), 400);
    let hostile = api.get("/verify?token=%22%3E%3Cscript%3E").await.text().await.expect("a page");
    assert!(!hostile.contains("<script"), "{hostile}");
    api.stop().await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_refused_alike() {
    let api = Api::start().await;
    let seeded = api.seed().await;
    let answers = [
        json!({"email": seeded["authorEmail"], "password": "wrong password"}),
        json!({"email": "nobody@example.com", "password": "wrong password"}),
    ];
    let mut details = Vec::new();
    for body in answers {
        let response = api.post("/api/v1/auth/login", &body).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        details.push(problem(response, 401).await["detail"].clone());
    }
    assert_eq!(details[0], details[1]);
    api.stop().await;
}
