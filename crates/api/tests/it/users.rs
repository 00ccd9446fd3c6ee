//! Accounts in the hands of administrators.

use examhall_testkit::DatabaseKind;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    Api, on_both,
    revoked::{Other, waits},
};

const NOTHING: &Value = &Value::Null;

on_both!(
    accounts_are_found_and_sorted,
    a_lock_ends_access_everywhere_and_is_taken_back,
    roles_change_and_the_last_administrator_stays,
    an_invited_author_chooses_a_password_and_writes,
    nobody_signs_up_into_an_invitation,
    a_deleted_account_is_recorded,
);

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

async fn emails(api: &Api, admin: &str, query: &str) -> Vec<String> {
    let found = api.expect(200, Method::GET, &format!("/users?{query}"), admin, NOTHING).await;
    found["items"].as_array().expect("items").iter().map(|user| text(&user["email"])).collect()
}

/// A seeded student: id, address and access token.
async fn student(api: &Api) -> (String, Value, String) {
    let seeded = api.seed().await;
    let email = seeded["studentEmails"][0].clone();
    let token = api.log_in(&email).await;
    (text(&seeded["studentIds"][0]), email, token)
}

/// Actions of the audit trail about an account, newest first.
async fn recorded(api: &Api, admin: &str, user: &str) -> Vec<(String, Value, Value)> {
    let path = format!("/audit?userId={user}");
    let found = api.expect(200, Method::GET, &path, admin, NOTHING).await;
    let entry = |entry: &Value| (text(&entry["action"]), entry["before"].clone(), entry["after"].clone());
    found["items"].as_array().expect("items").iter().map(entry).collect()
}

async fn accounts_are_found_and_sorted(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let admin = api.admin().await;
    for name in ["author", "viewer"] {
        api.create_user(name).await;
    }
    assert_eq!(api.sign_up("zoe@example.com").await.status(), StatusCode::ACCEPTED);
    assert_eq!(
        emails(&api, &admin, "sort=email").await,
        ["author@example.com", "root@example.com", "viewer@example.com", "zoe@example.com"]
    );
    assert_eq!(emails(&api, &admin, "sort=-createdAt&limit=1").await, ["zoe@example.com"]);
    assert_eq!(emails(&api, &admin, "q=ZOE").await, ["zoe@example.com"]);
    assert_eq!(emails(&api, &admin, "role=author").await, ["author@example.com"]);
    assert_eq!(emails(&api, &admin, "status=unverified").await, ["zoe@example.com"]);
    assert!(emails(&api, &admin, "status=locked").await.is_empty());
    api.expect(422, Method::GET, "/users?role=king", &admin, NOTHING).await;
    let zoe = api.expect(200, Method::GET, "/users?q=zoe", &admin, NOTHING).await["items"][0].clone();
    let path = format!("/users/{}", text(&zoe["id"]));
    assert_eq!(api.expect(200, Method::GET, &path, &admin, NOTHING).await, zoe);
    // The mail of the sign-up was sent within the last minute: no second one.
    api.expect(202, Method::POST, &format!("{path}/resend"), &admin, NOTHING).await;
    api.world.database.sql("UPDATE mail_tokens SET created_at = created_at - 60000").await;
    api.expect(202, Method::POST, &format!("{path}/resend"), &admin, NOTHING).await;
    assert_eq!(api.mails_to("zoe@example.com", 2).await.len(), 2);
    api.stop().await;
}

async fn a_lock_ends_access_everywhere_and_is_taken_back(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let other = Other::start(&api.world).await;
    let admin = api.admin().await;
    let (id, email, token) = student(&api).await;
    let path = format!("/users/{id}");
    let locked = api.expect(200, Method::POST, &format!("{path}/lock"), &admin, &json!({"reason": "cheating"})).await;
    assert_eq!(locked["status"], "locked");
    waits(&api, &[&api.base, &other.base], "/users/me", &token).await;
    let log_in = json!({"email": email, "password": "examhall-demo"});
    assert_eq!(api.post("/api/v1/auth/login", &log_in).await.status(), 403);
    assert_eq!(emails(&api, &admin, "status=locked").await, [text(&email)]);
    let unlocked = api.expect(200, Method::POST, &format!("{path}/unlock"), &admin, NOTHING).await;
    assert_eq!(unlocked["status"], "active");
    api.log_in(&email).await;
    let trail = recorded(&api, &admin, &id).await;
    assert_eq!((trail[0].0.as_str(), trail[1].0.as_str()), ("unlock user", "lock user"));
    assert_eq!((&trail[1].1["locked"], &trail[1].2["locked"]), (&json!(false), &json!(true)));
    api.stop().await;
}

async fn roles_change_and_the_last_administrator_stays(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let admin = api.admin().await;
    let me = text(&api.expect(200, Method::GET, "/users/me", &admin, NOTHING).await["id"]);
    let (id, email, token) = student(&api).await;
    let path = format!("/users/{id}");
    api.expect(409, Method::PATCH, &format!("/users/{me}"), &admin, &json!({"role": "author"})).await;
    api.expect(409, Method::POST, &format!("/users/{me}/lock"), &admin, NOTHING).await;
    let stale = api.request(Method::PATCH, &format!("/api/v1{path}")).bearer_auth(&admin).header("if-match", "\"99\"");
    assert_eq!(stale.json(&json!({"role": "admin"})).send().await.expect("an answer").status(), 412);
    let promoted = api.expect(200, Method::PATCH, &path, &admin, &json!({"role": "admin"})).await;
    assert_eq!(promoted["role"], "admin");
    waits(&api, &[&api.base], "/users/me", &token).await;
    let second = api.log_in(&email).await;
    // Each takes the other's role at once: one of them stays an administrator.
    let demote = json!({"role": "student"});
    let mine = format!("/users/{me}");
    let (first, second) =
        tokio::join!(api.call(Method::PATCH, &path, &admin, &demote), api.call(Method::PATCH, &mine, &second, &demote));
    let mut found = [first.0, second.0];
    found.sort_unstable();
    assert_eq!(found, [200, 409]);
    let left = api.world.database.sql("SELECT count(*) FROM users WHERE role = 'admin'").await;
    assert_eq!(left, "1");
    api.stop().await;
}

/// The token of an invitation.
fn invited(mail: &Value) -> String {
    let text = text(&mail["text"]);
    text.split("/reset?token=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a link").to_owned()
}

async fn an_invited_author_chooses_a_password_and_writes(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let admin = api.admin().await;
    let grace = json!({"email": "grace@example.com", "name": "Grace Hopper", "role": "author"});
    let made = api.expect(201, Method::POST, "/users", &admin, &grace).await;
    assert_eq!((&made["status"], &made["role"]), (&json!("unverified"), &json!("author")));
    api.expect(409, Method::POST, "/users", &admin, &grace).await;
    let mail = api.mails_to("grace@example.com", 1).await.remove(0);
    assert_eq!(mail["subject"], "You are invited to Examhall");
    let body = json!({"token": invited(&mail), "password": "battery staple"});
    assert_eq!(api.post("/api/v1/auth/reset", &body).await.status(), 200);
    let log_in = json!({"email": "grace@example.com", "password": "battery staple"});
    let tokens: Value = api.post("/api/v1/auth/login", &log_in).await.json().await.expect("JSON");
    let exam = json!({"title": "Compilers", "description": "", "durationMinutes": 60});
    api.expect(201, Method::POST, "/exams", &text(&tokens["accessToken"]), &exam).await;
    let trail = recorded(&api, &admin, &text(&made["id"])).await;
    assert_eq!(trail[0].0, "invite user");
    let resend = format!("/users/{}/resend", text(&made["id"]));
    api.expect(409, Method::POST, &resend, &admin, NOTHING).await;
    api.stop().await;
}

async fn nobody_signs_up_into_an_invitation(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let admin = api.admin().await;
    let grace = json!({"email": "grace@example.com", "name": "Grace Hopper", "role": "author"});
    let made = api.expect(201, Method::POST, "/users", &admin, &grace).await;
    let invitation = api.mails_to("grace@example.com", 1).await.remove(0);
    assert_eq!(api.sign_up("grace@example.com").await.status(), 202);
    let mails = api.mails_to("grace@example.com", 2).await;
    let subjects: Vec<_> = mails.iter().map(|mail| text(&mail["subject"])).collect();
    assert!(subjects.contains(&"You already have an account".to_owned()), "{subjects:?}");
    let body = json!({"token": invited(&invitation), "password": "battery staple"});
    assert_eq!(api.post("/api/v1/auth/reset", &body).await.status(), 200, "the invitation is still good");
    let path = format!("/users/{}", text(&made["id"]));
    let now = api.expect(200, Method::GET, &path, &admin, NOTHING).await;
    assert_eq!((&now["name"], &now["status"]), (&json!("Grace Hopper"), &json!("active")));
    api.stop().await;
}

async fn a_deleted_account_is_recorded(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let admin = api.admin().await;
    let (id, _, token) = student(&api).await;
    api.expect(204, Method::DELETE, &format!("/users/{id}"), &admin, NOTHING).await;
    waits(&api, &[&api.base], "/users/me", &token).await;
    api.expect(404, Method::DELETE, &format!("/users/{id}"), &admin, NOTHING).await;
    assert_eq!(recorded(&api, &admin, &id).await[0].0, "delete user");
    api.stop().await;
}
