use examhall_testkit::{Process, World, eventually};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Api, TIMEOUT, problem};

fn wrong_password() -> Value {
    json!({"email": "ada@example.com", "password": "wrong password"})
}

/// Tries to log in until it is refused for being too often; returns how often it was not.
async fn log_in_until_refused(api: &Api) -> (usize, reqwest::Response) {
    let mut tries = 0;
    loop {
        let answer = api.post("/api/v1/auth/login", &wrong_password()).await;
        if answer.status() != 401 {
            return (tries, answer);
        }
        tries += 1;
        assert!(tries < 200, "nobody was ever refused");
    }
}

#[tokio::test]
async fn guessing_a_password_is_slowed_down_for_that_account_only() {
    let api = Api::start().await;
    let (tries, refused) = log_in_until_refused(&api).await;
    assert!((30..40).contains(&tries), "{tries}");
    let wait: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=10).contains(&wait), "{wait}");
    problem(refused, 429).await;
    let other = json!({"email": "bob@example.com", "password": "wrong password"});
    assert_eq!(api.post("/api/v1/auth/login", &other).await.status(), 401);
    let keys: Vec<String> = api.world.redis.cmd("KEYS limit:*").await;
    assert!(!keys.is_empty() && keys.iter().all(|key| !key.contains("ada")), "{keys:?}");
    api.stop().await;
}

#[tokio::test]
async fn while_redis_is_away_a_few_may_try_and_reads_go_on() {
    let mut api = Api::start().await;
    let seeded = api.seed().await;
    let student = api.log_in(&seeded["studentEmails"][0]).await;
    api.world.redis.kill().await;
    let (tries, refused) = log_in_until_refused(&api).await;
    assert!((5..8).contains(&tries), "{tries}");
    problem(refused, 429).await;
    for _ in 0..100 {
        api.expect(200, Method::GET, "/exams", &student, &Value::Null).await;
    }
    api.stop().await;
}

/// Somebody who logs in from an address, as a proxy reports it.
async fn log_in_from(api: &Api, address: &str, email: &Value, password: &str) -> u16 {
    let request = api.request(Method::POST, "/api/v1/auth/login").header("x-forwarded-for", address);
    let answer = request.json(&json!({"email": email, "password": password})).send().await.expect("an answer");
    answer.status().as_u16()
}

#[tokio::test]
async fn a_stranger_who_guesses_does_not_lock_the_owner_out() {
    let mut world = World::start().await;
    world.set("TRUSTED_PROXIES", "127.0.0.1/32");
    let api = Api::start_in(world).await;
    let email = api.seed().await["studentEmails"][0].clone();
    let mut tries = 0;
    while log_in_from(&api, &format!("2001:db8::{tries}"), &email, "wrong password").await == 401 {
        tries += 1;
        assert!(tries < 200, "an IPv6 network has many addresses");
    }
    assert_eq!(log_in_from(&api, "2001:db8::ffff", &email, "examhall-demo").await, 429);
    assert_eq!(log_in_from(&api, "2001:db8:0:1::1", &email, "examhall-demo").await, 200);
    api.stop().await;
}

#[tokio::test]
async fn while_redis_is_away_a_school_stays_logged_in() {
    let mut api = Api::start().await;
    let seeded = api.seed().await;
    let log_in = json!({"email": seeded["studentEmails"][0], "password": "examhall-demo"});
    let mut tokens: Value = api.post("/api/v1/auth/login", &log_in).await.json().await.expect("JSON");
    api.world.redis.kill().await;
    for n in 0..100 {
        let answer = api.post("/api/v1/auth/refresh", &json!({"refreshToken": tokens["refreshToken"]})).await;
        assert_eq!(answer.status(), 200, "{n}");
        tokens = answer.json().await.expect("JSON");
    }
    let log_out = json!({"refreshToken": tokens["refreshToken"]});
    assert_eq!(api.post("/api/v1/auth/logout", &log_out).await.status(), 204);
    api.stop().await;
}

/// Asks forty times for a mail to `ada@example.com`, more often than she gets one.
async fn pester(api: &Api) {
    let body = json!({"email": "ada@example.com"});
    let asked = join_all((0..40).map(|_| api.post("/api/v1/auth/forgot", &body))).await;
    assert!(asked.iter().all(|answer| answer.status() == 202), "{asked:?}");
}

#[tokio::test]
async fn the_mail_limit_is_silent_and_counts_sign_ups() {
    let api = Api::start().await;
    pester(&api).await;
    for email in ["ada@example.com", "ada@example.com", "bob@example.com"] {
        assert_eq!(api.sign_up(email).await.status(), 202);
    }
    eventually("a mail for Bob, who came last", TIMEOUT, async || {
        let ids: Vec<String> = api.world.redis.cmd("ZRANGE bull:email:prioritized 0 -1").await;
        let mut mails = Vec::new();
        for id in ids {
            mails.push(api.world.redis.cmd::<String>(&format!("HGET bull:email:{id} data")).await);
        }
        let to_ada = mails.iter().filter(|mail| mail.contains("ada@")).count();
        mails
            .iter()
            .any(|mail| mail.contains("bob@"))
            .then(|| assert_eq!(to_ada, 1, "the one of her sign-up: {mails:?}"))
    })
    .await;
    api.stop().await;
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let api = Api::start().await;
    for path in ["/healthz", "/nowhere", "/api/v1/exams", "/verify?token=x"] {
        let answer = api.get(path).await;
        for (name, value) in [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY")] {
            assert_eq!(answer.headers()[name], value, "{path}");
        }
        assert!(answer.headers().contains_key("content-security-policy"), "{path}");
        assert!(answer.headers().contains_key("x-request-id"), "{path}");
    }
    api.stop().await;
}

#[tokio::test]
async fn pages_of_allowed_origins_may_call_and_no_others() {
    let mut world = World::start().await;
    world.set("CORS_ORIGINS", "https://exams.example.com");
    let api = Api::start_in(world).await;
    let ask = async |origin: &str| {
        let request = api.request(Method::OPTIONS, "/api/v1/exams").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "authorization,content-type").send().await.expect("an answer")
    };
    let allowed = ask("https://exams.example.com").await;
    assert!(allowed.status().is_success());
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://exams.example.com");
    let refused = ask("https://evil.example.com").await;
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
    let read = api.request(Method::GET, "/healthz").header("origin", "https://evil.example.com");
    assert!(!read.send().await.expect("an answer").headers().contains_key("access-control-allow-origin"));
    api.stop().await;
}

#[tokio::test]
async fn an_administrator_can_be_made_and_logs_in() {
    let api = Api::start().await;
    let create = async |args: &[&str]| {
        let args = [&["create-user"], args].concat();
        let mut command = Process::spawn_binary("api", &args, api.world.settings());
        (command.exit(TIMEOUT).await.code(), command.output())
    };
    let (code, output) = create(&["--email", "root@example.com", "--role", "admin"]).await;
    assert_eq!(code, Some(0), "{output}");
    let password = output.lines().find_map(|line| line.strip_prefix("password ")).expect("a password");
    let body = json!({"email": "root@example.com", "password": password});
    let tokens: Value = api.post("/api/v1/auth/login", &body).await.json().await.expect("JSON");
    let token = tokens["accessToken"].as_str().expect("a token");
    assert_eq!(api.expect(200, Method::GET, "/users/me", token, &Value::Null).await["role"], "admin");
    let (code, output) = create(&["--email", "root@example.com", "--role", "admin"]).await;
    assert_eq!(code, Some(69), "{output}");
    let (code, _) = create(&["--email", "root", "--role", "king"]).await;
    assert_eq!(code, Some(64));
    api.stop().await;
}

#[tokio::test]
async fn every_mail_can_be_looked_at() {
    let world = World::start().await;
    for name in [
        "verification",
        "already-registered",
        "reset",
        "password-changed",
        "new-email",
        "email-changed",
        "account-invitation",
        "account-deleted",
        "exam-invitation",
        "result",
        "result-published",
        "result-changed",
    ] {
        let mut preview = Process::spawn_binary("api", &["preview-mail", name], world.settings());
        assert!(preview.exit(TIMEOUT).await.success(), "{}", preview.output());
        let greeting = if ["verification", "new-email", "account-invitation"].contains(&name) {
            "Hello,"
        } else {
            "Hello Ada Lovelace,"
        };
        assert!(preview.output().contains(greeting), "{}", preview.output());
    }
}
