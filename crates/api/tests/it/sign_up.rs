//! Signing up with an address that somebody else has signed up with, and that nobody has proven.

use std::time::Instant;

use examhall_testkit::DatabaseKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Api, auth::log_in_tokens, on_both, pages::send, problem};

on_both!(
    account_is_not_hijacked_before_its_owner_comes,
    account_is_not_hijacked_after_its_owner_came,
    password_that_is_typed_with_the_link_counts,
    link_that_has_expired_is_no_dead_end,
    using_up_an_addresss_mails_hijacks_nothing,
    reset_of_an_unverified_account_beats_the_first_password,
    sign_up_takes_the_same_time_whatever_the_address,
);

const MALLORY: &str = "mallory was here";
const VICTIM: &str = "correct horse battery";
const EMAIL: &str = "victim@example.com";

async fn sign_up(api: &Api, email: &str, password: &str) {
    let body = json!({"email": email, "name": "Somebody", "password": password});
    assert_eq!(api.post("/api/v1/auth/signup", &body).await.status(), 202);
}

async fn verify(api: &Api, mail: &Value) -> u16 {
    api.post("/api/v1/auth/verify", &json!({"token": Api::token_in(mail)})).await.status().as_u16()
}

async fn log_in(api: &Api, password: &str) -> u16 {
    log_in_as(api, EMAIL, password).await
}

async fn log_in_as(api: &Api, email: &str, password: &str) -> u16 {
    let body = json!({"email": email, "password": password});
    api.post("/api/v1/auth/login", &body).await.status().as_u16()
}

async fn account_is_not_hijacked_before_its_owner_comes(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    sign_up(&api, EMAIL, MALLORY).await;
    api.mails_to(EMAIL, 1).await;
    sign_up(&api, EMAIL, VICTIM).await;
    let mails = api.mails_to(EMAIL, 2).await;
    assert!(mails.iter().all(|mail| mail["class"] == "verification"), "{mails:?}");
    assert_eq!((log_in(&api, MALLORY).await, log_in(&api, VICTIM).await), (401, 403));
    assert_eq!(verify(&api, &mails[0]).await, 400, "the link of what was replaced");
    assert_eq!(verify(&api, &mails[1]).await, 200);
    assert_eq!((log_in(&api, MALLORY).await, log_in(&api, VICTIM).await), (401, 200));
    sign_up(&api, EMAIL, MALLORY).await;
    assert_eq!((log_in(&api, MALLORY).await, log_in(&api, VICTIM).await), (401, 200), "it is proven now");
    api.stop().await;
}

/// Opens the link of a mail as a person does, with a password where the page asks for one; returns whether it did, and the
/// status of the last answer.
async fn click(api: &Api, mail: &Value, password: &str) -> (bool, u16) {
    let token = Api::token_in(mail);
    let page = api.get(&format!("/verify?token={token}")).await.text().await.expect("a page");
    let asks = page.contains("name=\"password\"");
    let mut fields = vec![("token", token.as_str())];
    fields.extend(asks.then_some(("password", password)));
    (asks, send(api, "/verify", &fields).await.status().as_u16())
}

async fn account_is_not_hijacked_after_its_owner_came(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    // Whichever sign-up is first, and whichever mail the owner takes: theirs is the password that counts.
    for (n, passwords) in [[VICTIM, MALLORY], [MALLORY, VICTIM]].into_iter().enumerate() {
        let email = format!("victim{n}@example.com");
        for password in passwords {
            sign_up(&api, &email, password).await;
        }
        let mails = api.mails_to(&email, 2).await;
        assert_eq!(click(&api, &mails[0], VICTIM).await, (false, 400), "what was replaced proves nothing");
        let short = send(&api, "/verify", &[("token", &Api::token_in(&mails[1])), ("password", "short")]).await;
        assert_eq!(short.status(), 422, "and uses nothing up");
        let page = short.text().await.expect("a page");
        assert!(page.contains("cannot be taken") && page.contains("name=\"password\""), "{page}");
        assert_eq!(click(&api, &mails[1], VICTIM).await, (true, 200));
        assert_eq!(log_in_as(&api, &email, MALLORY).await, 401, "{passwords:?}");
        assert_eq!(log_in_as(&api, &email, VICTIM).await, 200, "{passwords:?}");
        assert_eq!(click(&api, &mails[1], MALLORY).await, (false, 400), "it works once");
    }
    sign_up(&api, "only@example.com", VICTIM).await;
    let mail = api.mails_to("only@example.com", 1).await.remove(0);
    assert_eq!(click(&api, &mail, "").await, (false, 200), "who signed up once is not asked again");
    api.stop().await;
}

async fn password_that_is_typed_with_the_link_counts(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    sign_up(&api, EMAIL, VICTIM).await;
    assert_eq!(api.post("/api/v1/auth/forgot", &json!({"email": EMAIL})).await.status(), 202);
    sign_up(&api, EMAIL, MALLORY).await;
    let mails = api.mails_to(EMAIL, 3).await;
    let verify = async |token: &str, password: &str| {
        let body = json!({"token": token, "password": password});
        api.post("/api/v1/auth/verify", &body).await
    };
    let newest = Api::token_in(&mails[2]);
    let refused = problem(verify(&newest, "password1").await, 422).await;
    assert_eq!(refused["errors"][0]["pointer"], "/password");
    problem(verify("unknown", VICTIM).await, 400).await;
    problem(verify(&Api::token_in(&mails[0]), VICTIM).await, 400).await;
    assert_eq!(verify(&newest, VICTIM).await.status(), 200);
    problem(verify(&newest, MALLORY).await, 400).await;
    assert_eq!((log_in(&api, MALLORY).await, log_in(&api, VICTIM).await), (401, 200));
    api.stop().await;
}

async fn link_that_has_expired_is_no_dead_end(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    sign_up(&api, EMAIL, "a mistyped one").await;
    let old = api.mails_to(EMAIL, 1).await;
    api.world.database.sql("UPDATE mail_tokens SET expires_at = expires_at - 86400000").await;
    problem(api.post("/api/v1/auth/verify", &json!({"token": Api::token_in(&old[0])})).await, 400).await;
    let form = api.request(Method::POST, "/verify").header("content-type", "application/x-www-form-urlencoded");
    let form = form.body(format!("token={}", Api::token_in(&old[0]))).send().await.expect("an answer");
    let page = form.text().await.expect("text");
    assert!(page.contains("sign up again"), "{page}");
    sign_up(&api, EMAIL, VICTIM).await;
    assert_eq!(verify(&api, &api.mails_to(EMAIL, 2).await[1]).await, 200);
    assert!(log_in_tokens(&api, EMAIL, VICTIM).await["accessToken"].is_string());
    api.stop().await;
}

async fn using_up_an_addresss_mails_hijacks_nothing(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    sign_up(&api, EMAIL, MALLORY).await;
    for _ in 0..40 {
        let body = json!({"email": EMAIL, "name": "Somebody", "password": MALLORY});
        assert_eq!(api.post("/api/v1/auth/signup", &body).await.status(), 202);
    }
    sign_up(&api, EMAIL, VICTIM).await; // there is no mail that could say so
    let mails = api.mails_to(EMAIL, 30).await;
    assert!(mails.len() < 35, "{}", mails.len());
    verify(&api, mails.last().expect("a mail")).await;
    assert_eq!((log_in(&api, MALLORY).await, log_in(&api, VICTIM).await), (401, 401));
    api.stop().await;
}

async fn reset_of_an_unverified_account_beats_the_first_password(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    sign_up(&api, EMAIL, MALLORY).await;
    let verification = api.mails_to(EMAIL, 1).await.remove(0);
    assert_eq!(api.post("/api/v1/auth/forgot", &json!({"email": EMAIL})).await.status(), 202);
    let mails = api.mails_to(EMAIL, 2).await;
    let text = mails[1]["text"].as_str().expect("text");
    let token = text.split("/reset?token=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a link");
    let body = json!({"token": token, "password": VICTIM});
    assert_eq!(api.post("/api/v1/auth/reset", &body).await.status(), 200);
    assert_eq!(verify(&api, &verification).await, 400);
    assert_eq!((log_in(&api, MALLORY).await, log_in(&api, VICTIM).await), (401, 200));
    api.stop().await;
}

async fn sign_up_takes_the_same_time_whatever_the_address(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let seeded = api.seed_with(1, 11).await;
    let mut times: [Vec<f64>; 3] = Default::default();
    for (n, taken) in seeded["studentEmails"].as_array().expect("addresses").iter().enumerate() {
        let unverified = format!("unverified-{n}@example.com");
        sign_up(&api, &unverified, MALLORY).await;
        // By turns, so that what else the machine does meets all alike.
        for (times, email) in
            times.iter_mut().zip([format!("new-{n}@example.com"), unverified, taken.as_str().expect("text").to_owned()])
        {
            let started = Instant::now();
            sign_up(&api, &email, VICTIM).await;
            times.push(started.elapsed().as_secs_f64());
        }
    }
    let [new, unverified, taken] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    for (one, other) in [(new, unverified), (new, taken), (unverified, taken)] {
        assert!((0.6..1.7).contains(&(one / other)), "new {new}, unverified {unverified}, taken {taken}");
    }
    api.stop().await;
}
