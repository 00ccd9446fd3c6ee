//! Access tokens that end before their time, in every process of the fleet.

use std::time::{Duration, Instant};

use examhall_testkit::{DatabaseKind, Process, World, eventually};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::{Api, on_both};

on_both!(
    access_ends_in_every_process_within_two_seconds,
    access_that_ended_before_a_process_started_has_ended_there,
    revocation_is_seen_while_redis_is_away,
);

const LIMIT: Duration = Duration::from_secs(2);

/// Another process of the same installation.
pub(crate) struct Other {
    _process: Process,
    pub(crate) base: String,
}

impl Other {
    pub(crate) async fn start(world: &World) -> Self {
        let process = world.api();
        let line = process.line("Server running on port").await;
        let port = line.split("on port ").nth(1).expect("a port");
        let port: String = port.chars().take_while(char::is_ascii_digit).collect();
        Self { _process: process, base: format!("http://127.0.0.1:{port}") }
    }
}

pub(crate) async fn status(client: &Client, base: &str, path: &str, token: &str) -> StatusCode {
    client.get(format!("{base}/api/v1{path}")).bearer_auth(token).send().await.expect("an answer").status()
}

/// How long each of these processes takes to refuse a token for `path`.
pub(crate) async fn waits(api: &Api, bases: &[&str], path: &str, token: &str) {
    let since = Instant::now();
    for base in bases {
        let refused = async || (status(&api.client, base, path, token).await == StatusCode::UNAUTHORIZED).then_some(());
        eventually("the token refused", LIMIT, refused).await;
    }
    assert!(since.elapsed() < LIMIT, "{:?}", since.elapsed());
}

async fn access_ends_in_every_process_within_two_seconds(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let other = Other::start(&api.world).await;
    let bases = [api.base.as_str(), other.base.as_str()];
    let seeded = api.seed_with(1, 3).await;
    let emails = seeded["studentEmails"].as_array().expect("addresses");
    let bystander = api.log_in(&emails[2]).await;
    for (change, path) in [
        ("UPDATE users SET role = 'student'", "/queue"),
        ("UPDATE users SET password_hash = 'x'", "/users/me"),
        ("UPDATE users SET verified_at = NULL", "/exams"),
        ("DELETE FROM users", "/exams"),
    ] {
        let token = api.admin().await;
        for base in bases {
            assert_eq!(status(&api.client, base, path, &token).await, 200, "{change}: before it, at {base}");
        }
        api.world.database.sql(&format!("{change} WHERE email = 'root@example.com'")).await;
        waits(&api, &bases, path, &token).await;
        api.world.database.sql("DELETE FROM users WHERE email = 'root@example.com'").await;
    }
    let token = api.log_in(&emails[0]).await;
    reset(&api, &emails[0]).await;
    waits(&api, &bases, "/exams", &token).await;
    let again = json!({"email": emails[0], "password": "battery staple"});
    let again: Value = api.post("/api/v1/auth/login", &again).await.json().await.expect("JSON");
    for base in bases {
        let token = again["accessToken"].as_str().expect("a token");
        assert_eq!(status(&api.client, base, "/exams", token).await, 200, "a token of the new password");
        assert_eq!(status(&api.client, base, "/exams", &bystander).await, 200, "somebody else's");
    }
    api.stop().await;
}

async fn reset(api: &Api, email: &Value) {
    api.post("/api/v1/auth/forgot", &json!({ "email": email })).await;
    let mail = api.mails_to(email.as_str().expect("text"), 1).await.remove(0);
    let text = mail["text"].as_str().expect("text");
    let token = text.split("/reset?token=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a link");
    let body = json!({"token": token, "password": "battery staple"});
    assert_eq!(api.post("/api/v1/auth/reset", &body).await.status(), 200);
}

async fn access_that_ended_before_a_process_started_has_ended_there(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let token = api.admin().await;
    api.world.database.sql("UPDATE users SET role = 'student'").await;
    let other = Other::start(&api.world).await;
    assert_eq!(status(&api.client, &other.base, "/users/me", &token).await, 401, "with its first answer");
    api.stop().await;
}

async fn revocation_is_seen_while_redis_is_away(database: DatabaseKind) {
    let mut api = Api::start_on(database).await;
    let token = api.admin().await;
    api.world.redis.kill().await;
    assert_eq!(status(&api.client, &api.base, "/users/me", &token).await, 200);
    api.world.database.sql("UPDATE users SET role = 'student'").await;
    waits(&api, &[&api.base], "/users/me", &token).await;
    api.stop().await;
}
