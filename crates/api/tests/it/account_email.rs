//! Another address of an account: proven by a mail to it, taken back by a mail to the former one.

use examhall_testkit::DatabaseKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Api, auth::log_in_tokens, on_both, problem, revoked::waits};

const PASSWORD: &str = "examhall-demo";

on_both!(
    a_new_address_counts_once_its_mail_is_answered,
    a_change_that_was_not_the_owners_is_taken_back,
    addresses_of_others_are_not_given_away,
    two_accounts_that_want_one_address_do_not_both_get_it,
);

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// The token of the link to a page in the newest mail to an address.
async fn token_to(api: &Api, email: &str, page: &str) -> String {
    let link = format!("/{page}?token=");
    let of_mail = |mail: &Value| {
        let token = text(&mail["text"]).split(&link).nth(1)?.split_whitespace().next()?.to_owned();
        Some(token)
    };
    examhall_testkit::eventually("a mail with a link", crate::TIMEOUT, async || {
        api.mails_to(email, 1).await.iter().rev().find_map(of_mail)
    })
    .await
}

async fn ask(api: &Api, token: &str, email: &str) -> u16 {
    let body = json!({"email": email, "password": PASSWORD});
    api.call(Method::POST, "/users/me/email", token, &body).await.0
}

async fn verify(api: &Api, token: &str) -> u16 {
    api.post("/api/v1/auth/verify", &json!({"token": token})).await.status().as_u16()
}

async fn me(api: &Api, token: &str) -> String {
    text(&api.expect(200, Method::GET, "/users/me", token, &Value::Null).await["email"])
}

async fn log_in_status(api: &Api, email: &str, password: &str) -> u16 {
    api.post("/api/v1/auth/login", &json!({"email": email, "password": password})).await.status().as_u16()
}

/// A seeded student's address and access token.
async fn student(api: &Api) -> (String, String) {
    let seeded = api.seed().await;
    let email = text(&seeded["studentEmails"][0]);
    let token = text(&log_in_tokens(api, &email, PASSWORD).await["accessToken"]);
    (email, token)
}

async fn a_new_address_counts_once_its_mail_is_answered(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let (old, token) = student(&api).await;
    let wrong = json!({"email": "new@example.com", "password": "wrong horse"});
    let refused = api.send(Method::POST, "/users/me/email", &token, &wrong).await;
    assert_eq!(problem(refused, 422).await["errors"][0]["pointer"], "/password");
    for bad in [old.as_str(), "no address"] {
        let body = json!({"email": bad, "password": PASSWORD});
        let refused = api.send(Method::POST, "/users/me/email", &token, &body).await;
        assert_eq!(problem(refused, 422).await["errors"][0]["pointer"], "/email", "{bad}");
    }
    assert_eq!(ask(&api, &token, "first@example.com").await, 202);
    assert_eq!(ask(&api, &token, "New@Example.com").await, 202);
    assert_eq!(me(&api, &token).await, old, "nothing is changed yet");
    let replaced = token_to(&api, "first@example.com", "verify").await;
    assert_eq!(verify(&api, &replaced).await, 400, "the newest request counts");
    let link = token_to(&api, "New@example.com", "verify").await;
    let page = api.get(&format!("/verify?token={link}")).await;
    assert_eq!(page.status(), 200);
    assert_eq!(verify(&api, &link).await, 200);
    assert_eq!(verify(&api, &link).await, 400, "once");
    assert_eq!(me(&api, &token).await, "New@example.com", "the session goes on");
    assert_eq!(
        (log_in_status(&api, &old, PASSWORD).await, log_in_status(&api, "new@example.com", PASSWORD).await),
        (401, 200)
    );
    let told = api.mails_to(&old, 1).await;
    assert_eq!(told[0]["subject"], "Your e-mail address was changed");
    api.stop().await;
}

async fn a_change_that_was_not_the_owners_is_taken_back(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let (old, token) = student(&api).await;
    for next in ["mallory@example.com", "mallory2@example.com"] {
        assert_eq!(ask(&api, &token, next).await, 202);
        assert_eq!(verify(&api, &token_to(&api, next, "verify").await).await, 200);
    }
    let (undo, of_mallory) =
        (token_to(&api, &old, "undo-email").await, token_to(&api, "mallory@example.com", "undo-email").await);
    assert!(api.get(&format!("/undo-email?token={undo}")).await.text().await.expect("text").contains("<button"));
    let post =
        async |token: &str| api.post("/api/v1/auth/undo-email", &json!({"token": token})).await.status().as_u16();
    assert_eq!(post("nonsense").await, 400);
    assert_eq!(post(&undo).await, 200);
    assert_eq!((post(&undo).await, post(&of_mallory).await), (400, 400), "once, and none of later changes");
    waits(&api, &[&api.base], "/users/me", &token).await;
    for email in ["mallory@example.com", "mallory2@example.com", &old] {
        assert_eq!(log_in_status(&api, email, PASSWORD).await, 401, "{email}");
    }
    let reset = token_to(&api, &old, "reset").await;
    let body = json!({"token": reset, "password": "battery staple"});
    assert_eq!(api.post("/api/v1/auth/reset", &body).await.status(), 200);
    assert_eq!(log_in_status(&api, &old, "battery staple").await, 200);
    api.stop().await;
}

async fn addresses_of_others_are_not_given_away(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let (_, token) = student(&api).await;
    let (author, _) = api.create_user("author").await;
    assert_eq!(ask(&api, &token, &author).await, 202, "nobody learns that it has an account");
    let mail = api.mails_to(&author, 1).await;
    assert_eq!(mail[0]["subject"], "You already have an account");
    // One that nobody has proven gives way to who proves it.
    assert_eq!(api.sign_up("squatted@example.com").await.status(), 202);
    let squatter = token_to(&api, "squatted@example.com", "verify").await;
    assert_eq!(ask(&api, &token, "squatted@example.com").await, 202);
    let mails = api.mails_to("squatted@example.com", 2).await;
    let link = mails.iter().map(Api::token_in).find(|link| *link != squatter).expect("another link");
    assert_eq!((verify(&api, &link).await, verify(&api, &squatter).await), (200, 400));
    assert_eq!(me(&api, &token).await, "squatted@example.com");
    api.stop().await;
}

async fn two_accounts_that_want_one_address_do_not_both_get_it(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let seeded = api.seed_with(1, 2).await;
    let mut links = Vec::new();
    for n in 0..2 {
        let token = api.log_in(&seeded["studentEmails"][n]).await;
        assert_eq!(ask(&api, &token, "wanted@example.com").await, 202);
        links = api.mails_to("wanted@example.com", n + 1).await.iter().map(Api::token_in).collect();
    }
    let (first, second) = tokio::join!(verify(&api, &links[0]), verify(&api, &links[1]));
    let mut found = [first, second];
    found.sort_unstable();
    assert_eq!(found, [200, 409]);
    assert_eq!(log_in_status(&api, "wanted@example.com", PASSWORD).await, 200);
    api.stop().await;
}
