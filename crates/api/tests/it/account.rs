//! An account's life: its password and its sessions.

use examhall_testkit::DatabaseKind;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{
    Api,
    auth::log_in_tokens,
    on_both, problem,
    revoked::{Other, status, waits},
};

const NOTHING: &Value = &Value::Null;
const PASSWORD: &str = "examhall-demo";

on_both!(
    changing_the_password_ends_all_other_sessions,
    of_two_password_changes_at_once_one_counts,
    sessions_are_listed_and_ended_one_by_one,
    ending_all_other_sessions_keeps_this_one,
);

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

async fn refresh(api: &Api, tokens: &Value) -> Response {
    api.post("/api/v1/auth/refresh", &json!({"refreshToken": tokens["refreshToken"]})).await
}

/// Two logins of a seeded student; returns their address, too.
async fn two_sessions(api: &Api) -> (String, Value, Value) {
    let seeded = api.seed().await;
    let email = text(&seeded["studentEmails"][0]);
    let first = log_in_tokens(api, &email, PASSWORD).await;
    let second = log_in_tokens(api, &email, PASSWORD).await;
    (email, first, second)
}

async fn changing_the_password_ends_all_other_sessions(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let other = Other::start(&api.world).await;
    let (email, mine, others) = two_sessions(&api).await;
    let token = text(&mine["accessToken"]);
    let change = |current: &str, new: &str| json!({"currentPassword": current, "newPassword": new});
    let path = "/users/me/password";
    let wrong = api.send(Method::POST, path, &token, &change("wrong horse", "battery staple")).await;
    assert_eq!(problem(wrong, 422).await["errors"][0]["pointer"], "/currentPassword");
    let weak = api.send(Method::POST, path, &token, &change(PASSWORD, "short")).await;
    assert_eq!(problem(weak, 422).await["errors"][0]["pointer"], "/newPassword");
    let own_address = api.send(Method::POST, path, &token, &change(PASSWORD, &email)).await;
    assert_eq!(problem(own_address, 422).await["errors"][0]["pointer"], "/newPassword");

    let renewed = api.expect(200, Method::POST, path, &token, &change(PASSWORD, "battery staple")).await;
    assert_eq!((&renewed["tokenType"], &renewed["expiresIn"]), (&json!("Bearer"), &json!(900)));
    for old in [&mine, &others] {
        waits(&api, &[&api.base, &other.base], "/users/me", &text(&old["accessToken"])).await;
    }
    for base in [&api.base, &other.base] {
        assert_eq!(status(&api.client, base, "/users/me", &text(&renewed["accessToken"])).await, 200);
    }
    problem(refresh(&api, &others).await, 401).await;
    assert_eq!(refresh(&api, &mine).await.status(), 200, "this session goes on");
    let log_in = async |password: &str| {
        api.post("/api/v1/auth/login", &json!({"email": email, "password": password})).await.status().as_u16()
    };
    assert_eq!((log_in(PASSWORD).await, log_in("battery staple").await), (401, 200));
    let mails = api.mails_to(&email, 1).await;
    assert_eq!(mails[0]["subject"], "Your password was changed");
    api.stop().await;
}

async fn of_two_password_changes_at_once_one_counts(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let (email, mine, others) = two_sessions(&api).await;
    let change = async |tokens: &Value, new: &str| {
        let body = json!({"currentPassword": PASSWORD, "newPassword": new});
        api.call(Method::POST, "/users/me/password", &text(&tokens["accessToken"]), &body).await.0
    };
    let (first, second) = tokio::join!(change(&mine, "battery staple"), change(&others, "purple monkey"));
    let (won, lost) = if first == 200 { ("battery staple", second) } else { ("purple monkey", first) };
    assert!([first, second].contains(&200) && [401, 409, 422].contains(&lost), "{first} {second}");
    log_in_tokens(&api, &email, won).await;
    assert_eq!(api.mails_to(&email, 1).await.len(), 1);
    api.stop().await;
}

async fn sessions_are_listed_and_ended_one_by_one(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let other = Other::start(&api.world).await;
    let (_, mine, others) = two_sessions(&api).await;
    let token = text(&mine["accessToken"]);
    let list = async |token: &str| {
        let listed = api.expect(200, Method::GET, "/users/me/sessions", token, NOTHING).await;
        assert_eq!(listed["nextCursor"], Value::Null);
        listed["items"].as_array().expect("items").clone()
    };
    let sessions = list(&token).await;
    assert_eq!(sessions.len(), 2);
    assert_eq!([&sessions[0]["current"], &sessions[1]["current"]], [false, true], "newest first");
    assert_eq!((&sessions[0]["kind"], &sessions[0]["network"]), (&json!("api"), &json!("127.0.0.1")));
    // A refresh is the same session, with later times.
    let mine: Value = refresh(&api, &mine).await.json().await.expect("JSON");
    let again = list(&text(&mine["accessToken"])).await;
    assert_eq!((again.len(), &again[1]["id"], &again[1]["current"]), (2, &sessions[1]["id"], &json!(true)));
    assert_eq!(again[1]["createdAt"], sessions[1]["createdAt"]);

    let stranger = api.log_in_as("author").await;
    let path = format!("/users/me/sessions/{}", text(&sessions[0]["id"]));
    api.expect(404, Method::DELETE, &path, &stranger, NOTHING).await;
    api.expect(404, Method::DELETE, "/users/me/sessions/7", &token, NOTHING).await;
    api.expect(204, Method::DELETE, &path, &token, NOTHING).await;
    api.expect(404, Method::DELETE, &path, &token, NOTHING).await;
    waits(&api, &[&api.base, &other.base], "/users/me", &text(&others["accessToken"])).await;
    problem(refresh(&api, &others).await, 401).await;
    assert_eq!(list(&token).await.len(), 1);
    assert_eq!(refresh(&api, &mine).await.status(), 200);
    api.stop().await;
}

async fn ending_all_other_sessions_keeps_this_one(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let (email, mine, others) = two_sessions(&api).await;
    let third = log_in_tokens(&api, &email, PASSWORD).await;
    let token = text(&mine["accessToken"]);
    api.expect(204, Method::DELETE, "/users/me/sessions", &token, NOTHING).await;
    for ended in [&others, &third] {
        waits(&api, &[&api.base], "/users/me", &text(&ended["accessToken"])).await;
        problem(refresh(&api, ended).await, 401).await;
    }
    api.expect(204, Method::DELETE, "/users/me/sessions", &token, NOTHING).await;
    let left = api.expect(200, Method::GET, "/users/me/sessions", &token, NOTHING).await;
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(refresh(&api, &mine).await.status(), 200);
    api.stop().await;
}
