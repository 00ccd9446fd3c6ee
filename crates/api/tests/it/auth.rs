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
async fn taken_address_is_answered_alike_and_its_owner_mailed() {
    let api = Api::start().await;
    api.sign_up("ada@example.com").await;
    let first = Api::token_in(&api.only_mail().await);
    assert_eq!(api.post("/api/v1/auth/verify", &json!({ "token": first })).await.status(), 200);
    api.world.redis.cmd::<String>("FLUSHALL").await;
    let again = api.sign_up("ADA@example.com").await;
    assert_eq!(again.status(), 202);
    assert_eq!(again.json::<Value>().await.expect("JSON"), json!({"message": "Check your email"}));
    let mail = api.only_mail().await;
    assert_eq!(mail["subject"], "You already have an account");
    assert!(!mail["text"].as_str().expect("a text").contains("token="));
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

/// What a login answers.
pub(crate) async fn log_in_tokens(api: &Api, email: &str, password: &str) -> Value {
    let body = json!({"email": email, "password": password});
    api.post("/api/v1/auth/login", &body).await.json().await.expect("JSON")
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_mail() {
    let api = Api::start().await;
    let seeded = api.seed().await;
    let email = seeded["studentEmails"][0].as_str().expect("text");
    let before = log_in_tokens(&api, email, "examhall-demo").await;
    for address in [email, "nobody@example.com", email] {
        let asked = api.post("/api/v1/auth/forgot", &json!({"email": address})).await;
        assert_eq!(
            (asked.status().as_u16(), asked.text().await.expect("text")),
            (202, r#"{"message":"Check your email"}"#.to_owned())
        );
    }
    let mail = api.only_mail().await;
    assert_eq!((&mail["to"], &mail["class"]), (&json!(email), &json!("reset")));
    assert_eq!(api.world.redis.cmd::<i64>("ZCARD bull:email:prioritized").await, 1, "asked twice, sent once");
    let text = mail["text"].as_str().expect("a text");
    let token = text.split("/reset?token=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a link");
    let reset = async |token: &str, password: &str| {
        api.post("/api/v1/auth/reset", &json!({"token": token, "password": password})).await
    };
    problem(reset(token, "password1").await, 422).await;
    problem(reset("unknown", "battery staple").await, 400).await;
    assert_eq!(reset(token, "battery staple").await.status(), 200);
    problem(reset(token, "another staple").await, 400).await;
    let old = json!({"email": email, "password": "examhall-demo"});
    problem(api.post("/api/v1/auth/login", &old).await, 401).await;
    let old = json!({"refreshToken": before["refreshToken"]});
    problem(api.post("/api/v1/auth/refresh", &old).await, 401).await;
    assert!(log_in_tokens(&api, email, "battery staple").await["accessToken"].is_string());
    api.stop().await;
}

#[tokio::test]
async fn a_lost_verification_mail_is_sent_again() {
    let api = Api::start().await;
    api.sign_up("ada@example.com").await;
    let first = api.only_mail().await;
    let again = api.post("/api/v1/auth/resend", &json!({"email": "ada@example.com"})).await;
    assert_eq!(again.status(), 202, "too soon: nothing is sent, silently");
    let unknown = api.post("/api/v1/auth/resend", &json!({"email": "bob@example.com"})).await;
    assert_eq!(unknown.status(), 202);
    assert_eq!(api.world.redis.cmd::<i64>("ZCARD bull:email:prioritized").await, 1);
    assert_eq!(api.post("/api/v1/auth/verify", &json!({"token": Api::token_in(&first)})).await.status(), 200);
    api.stop().await;
}

#[tokio::test]
async fn two_hundred_concurrent_sign_ups_make_one_account() {
    let api = Api::start().await;
    let body = json!({"email": "ada@example.com", "name": "Ada", "password": "correct horse"});
    let sign_ups = (0..200).map(|_| {
        let request = api.request(Method::POST, "/api/v1/auth/signup").json(&body);
        tokio::spawn(async move {
            // On a busy machine some wait for longer than a request may take, and get Retry-After.
            loop {
                let again = request.try_clone().expect("a body in memory");
                let answer = again.send().await.expect("an answer");
                if answer.status() != 503 {
                    return answer.status().as_u16();
                }
                assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
            }
        })
    });
    for sign_up in sign_ups.collect::<Vec<_>>() {
        assert_eq!(sign_up.await.expect("no panic"), 202);
    }
    let accounts = api.world.database.sql("SELECT count(*) FROM users").await;
    let links = api.world.database.sql("SELECT count(*) FROM mail_tokens WHERE used_at IS NULL").await;
    assert_eq!((accounts.as_str(), links.as_str()), ("1", "1"));
    api.stop().await;
}

#[tokio::test]
async fn a_password_that_is_tried_first_is_refused() {
    let api = Api::start().await;
    for password in ["password1", "ada@example.com", "short"] {
        let body = json!({"email": "ada@example.com", "name": "Ada", "password": password});
        let found = problem(api.post("/api/v1/auth/signup", &body).await, 422).await;
        assert_eq!(found["errors"][0]["pointer"], "/password", "{password}");
    }
    api.stop().await;
}

#[tokio::test]
async fn a_change_of_name_is_seen_at_once_and_not_lost() {
    let api = Api::start().await;
    let seeded = api.seed().await;
    let (author, student) = (api.log_in(&seeded["authorEmail"]).await, api.log_in(&seeded["studentEmails"][0]).await);
    let me = api.expect(200, Method::GET, "/users/me", &author, &Value::Null).await;
    assert_eq!((&me["email"], &me["role"]), (&seeded["authorEmail"], &json!("author")));
    let profile = format!("/users/{}/profile", seeded["authorId"].as_str().expect("an id"));
    let seen = api.expect(200, Method::GET, &profile, &student, &Value::Null).await;
    assert_eq!(seen, json!({"id": seeded["authorId"], "name": "Author", "role": "author"}));
    let rename = async |etag: &str, name: &str| {
        let request = api.request(Method::PATCH, "/api/v1/users/me").bearer_auth(&author).header("if-match", etag);
        request.json(&json!({ "name": name })).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((rename("\"1\"", "Grace").await, rename("\"1\"", "Lost").await), (200, 412));
    assert_eq!(api.expect(200, Method::GET, &profile, &student, &Value::Null).await["name"], "Grace");
    api.expect(422, Method::PATCH, "/users/me", &author, &json!({"name": "A\r\nBcc: x@y"})).await;
    api.expect(422, Method::PATCH, "/users/me", &author, &json!({"role": "admin"})).await;
    api.stop().await;
}

/// How long an answer takes, in milliseconds.
async fn ms(api: &Api, path: &str, body: Value) -> f64 {
    let started = std::time::Instant::now();
    api.post(path, &body).await;
    started.elapsed().as_secs_f64() * 1000.0
}

#[tokio::test]
async fn known_and_unknown_addresses_are_answered_after_the_same_time() {
    let api = Api::start().await;
    let seeded = api.seed_with(1, 11).await;
    for (path, password) in [("/api/v1/auth/forgot", None), ("/api/v1/auth/login", Some("wrong password"))] {
        let body = |email: Value| match password {
            Some(password) => json!({"email": email, "password": password}),
            None => json!({"email": email}),
        };
        // By turns, so that what else the machine does meets both alike.
        let mut ratios = Vec::new();
        for (n, email) in seeded["studentEmails"].as_array().expect("addresses").iter().enumerate() {
            let known = ms(&api, path, body(email.clone())).await;
            ratios.push(known / ms(&api, path, body(json!(format!("nobody-{n}@example.com")))).await);
        }
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[ratios.len() / 2];
        assert!((0.5..2.0).contains(&ratio), "{path}: known by unknown {ratios:.2?}");
    }
    api.stop().await;
}

#[tokio::test]
async fn a_token_that_is_not_known_costs_no_hashing() {
    let api = Api::start().await;
    let mut ratios = Vec::new();
    for n in 0..11 {
        let body = json!({"token": format!("unknown-{n}"), "password": "battery staple"});
        let unknown = ms(&api, "/api/v1/auth/reset", body).await;
        let log_in = json!({"email": format!("nobody-{n}@example.com"), "password": "battery staple"});
        ratios.push(unknown / ms(&api, "/api/v1/auth/login", log_in).await);
    }
    ratios.sort_by(f64::total_cmp);
    assert!(ratios[5] < 0.5, "a reset by a login, which hashes: {ratios:.2?}");
    api.stop().await;
}

#[tokio::test]
async fn invalid_requests_count_against_the_client() {
    let api = Api::start().await;
    let bad = json!({"nonsense": true});
    let mut statuses = std::collections::BTreeMap::<u16, u32>::new();
    for _ in 0..8 {
        let some = (0..500).map(|_| api.post("/api/v1/auth/signup", &bad));
        for response in futures_util::future::join_all(some).await {
            *statuses.entry(response.status().as_u16()).or_default() += 1;
        }
    }
    assert!(statuses.keys().eq([&422, &429]), "{statuses:?}");
    api.stop().await;
}
