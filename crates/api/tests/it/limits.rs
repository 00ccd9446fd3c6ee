//! Rate limits, tried from outside, where a proxy names the clients.

use examhall_testkit::World;
use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::Api;

async fn behind_a_proxy() -> Api {
    let mut world = World::start().await;
    world.set("TRUSTED_PROXIES", "127.0.0.1/32");
    Api::start_in(world).await
}

async fn log_in(api: &Api, from: &str, email: &Value, password: &str) -> Response {
    let request = api.request(Method::POST, "/api/v1/auth/login").header("x-forwarded-for", from);
    request.json(&json!({"email": email, "password": password})).send().await.expect("an answer")
}

/// Guesses until it is refused for that, from the networks of one line in turn; returns how often it could.
async fn guesses(api: &Api, email: &Value, most: usize, network: impl Fn(usize) -> String) -> usize {
    for n in 0..most {
        let answer = log_in(api, &network(n), email, "wrong password").await;
        if answer.status() == 429 {
            assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
            return n;
        }
        assert_eq!(answer.status(), 401);
    }
    unreachable!("{most} guesses from one line, and no end");
}

#[tokio::test]
async fn guesses_from_one_line_end_and_lock_no_student_out() {
    let api = behind_a_proxy().await;
    let email = api.seed().await["studentEmails"][0].clone();
    let of_56 = guesses(&api, &email, 90, |n| format!("2001:db8:1:{:x}::1", 0x100 + n % 256)).await;
    assert!(of_56 >= 60, "{of_56} guesses from a /56");
    let of_48 = guesses(&api, &email, 160, |n| format!("2001:db8:2:{:x}::1", (n * 0x1357) % 0x1_0000)).await;
    assert!(of_48 >= 120, "{of_48} guesses from a /48");
    for owner in ["198.51.100.7", "2001:db8:3::1"] {
        assert_eq!(log_in(&api, owner, &email, "examhall-demo").await.status(), 200, "{owner}");
    }
    api.stop().await;
}

#[tokio::test]
async fn who_has_logged_in_before_gets_in_however_many_guess() {
    let mut api = behind_a_proxy().await;
    let email = api.seed().await["studentEmails"][0].clone();
    let home = "198.51.100.7:4711";
    assert_eq!(log_in(&api, home, &email, "examhall-demo").await.status(), 200);
    api.world.redis.kill().await; // each process lets few guess then: two hundred, five of them from one client
    let mut guessed = 0;
    // One more may be had every 1.5 s: so it is used up again, until a stranger with the password comes too late.
    loop {
        while log_in(&api, &format!("203.0.113.{}", guessed / 4), &email, "wrong password").await.status() == 401 {
            guessed += 1;
            assert!(guessed < 900, "no end of guesses");
        }
        if log_in(&api, "192.0.2.1", &email, "examhall-demo").await.status() == 429 {
            break;
        }
    }
    assert!(guessed >= 199, "{guessed}");
    assert_eq!(log_in(&api, home, &email, "examhall-demo").await.status(), 200);
    api.stop().await;
}

#[tokio::test]
async fn logins_with_the_right_password_are_no_guesses() {
    let api = behind_a_proxy().await;
    let email = api.seed().await["studentEmails"][0].clone();
    for n in 0..50 {
        assert_eq!(log_in(&api, "2001:db8::1", &email, "examhall-demo").await.status(), 200, "{n}");
    }
    api.stop().await;
}

#[tokio::test]
async fn a_crowd_without_redis_closes_the_login_to_nobody_else() {
    let mut api = behind_a_proxy().await;
    let email = api.seed().await["studentEmails"][0].clone();
    api.world.redis.kill().await;
    let request = async |from: String| {
        let request = api.request(Method::POST, "/api/v1/auth/verify").header("x-forwarded-for", from);
        request.json(&json!({"token": "x"})).send().await.expect("an answer").status().as_u16()
    };
    let mut let_in = 0;
    for line in 0..50 {
        let requests = (0..10).map(|n| request(format!("2001:db8:7:{:x}::1", line * 10 + n)));
        let_in += join_all(requests).await.into_iter().filter(|status| *status == 400).count();
    }
    assert!((240..500).contains(&let_in), "{let_in} of 500 from one line");
    assert_eq!(log_in(&api, "2001:db8:8::1", &email, "examhall-demo").await.status(), 200);
    api.stop().await;
}

#[tokio::test]
async fn changes_of_one_user_are_limited_and_of_another_not() {
    let api = Api::start().await;
    let seeded = api.seed_with(1, 2).await;
    let students = [api.log_in(&seeded["studentEmails"][0]).await, api.log_in(&seeded["studentEmails"][1]).await];
    let rename = |token: &str| {
        let request = api.request(Method::PATCH, "/api/v1/users/me").bearer_auth(token).json(&json!({"name": "Ada"}));
        async move { request.send().await.expect("an answer") }
    };
    let mut refused = Vec::new();
    for _ in 0..10 {
        let answers = join_all((0..50).map(|_| rename(&students[0]))).await;
        refused.extend(answers.into_iter().filter(|answer| answer.status() == 429));
    }
    let wait: u64 =
        refused.first().expect("refused").headers()["retry-after"].to_str().expect("text").parse().expect("s");
    assert!((1..=10).contains(&wait), "{wait}");
    assert_eq!(rename(&students[1]).await.status(), 200);
    api.expect(200, Method::GET, "/users/me", &students[0], &Value::Null).await;
    api.stop().await;
}

/// Whether one of many requests at once is refused.
async fn is_used_up(api: &Api, headers: &[(&str, String)]) -> bool {
    let request = || {
        let request = api.request(Method::POST, "/api/v1/auth/verify").json(&json!({"token": "x"}));
        headers.iter().fold(request, |request, (name, value)| request.header(*name, value)).send()
    };
    let answers = join_all((0..40).map(|_| request())).await;
    answers.into_iter().any(|answer| answer.expect("an answer").status() == 429)
}

#[tokio::test]
async fn a_proxy_that_writes_forwarded_tells_clients_apart() {
    let mut api = behind_a_proxy().await;
    api.world.redis.kill().await;
    let of = |name, value: &str| (name, value.to_owned());
    let client = of("forwarded", "for=\"[2001:db8:1::1]:4711\";proto=https");
    while !is_used_up(&api, std::slice::from_ref(&client)).await {}
    let forged = [of("forwarded", "for=6.6.6.6;host=\""), of("forwarded", "For=\"[2001:DB8:1::2]\"")];
    assert!(is_used_up(&api, &forged).await);
    let both = [of("forwarded", "for=203.0.113.1"), of("x-forwarded-for", "2001:db8:1::3")];
    assert!(is_used_up(&api, &both).await, "X-Forwarded-For counts where both are there");
    assert!(!is_used_up(&api, &[of("forwarded", "for=\"[2001:db8:1:1::1]:4711\"")]).await, "another client");
    assert!(!is_used_up(&api, &[of("forwarded", "for=203.0.113.1")]).await, "another client");
    // Words that a proxy makes up for each request are one client: the proxy.
    let mut words = 0;
    while !is_used_up(&api, &[of("forwarded", &format!("for=_{words}"))]).await {
        words += 1;
        assert!(words < 5, "a new client with each word");
    }
    assert!(is_used_up(&api, &[of("x-forwarded-for", "unknown")]).await);
    api.stop().await;
}
