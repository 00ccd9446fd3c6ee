use std::time::Duration;

use examhall_testkit::{DatabaseKind, World, eventually};
use serde_json::{Value, json};

use crate::{Api, TIMEOUT, problem};

/// Waits until `/readyz` reports this state of the database.
async fn database_is(api: &Api, state: &str) {
    eventually(state, TIMEOUT, async || {
        let body: Value = api.get("/readyz").await.json().await.expect("JSON");
        (body["dependencies"]["database"]["state"] == state).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_the_database_requests_get_503_and_write_nothing() {
    let mut api = Api::start_on(DatabaseKind::Postgres).await;
    api.world.database.server().kill().await;
    let refused = api.sign_up("ada@example.com").await;
    assert_eq!(refused.headers()["retry-after"], "2");
    problem(refused, 503).await;
    database_is(&api, "down").await;

    api.world.database.server().restart().await;
    database_is(&api, "up").await;
    let log_in = json!({"email": "ada@example.com", "password": "correct horse"});
    problem(api.post("/api/v1/auth/login", &log_in).await, 401).await;
    assert_eq!(api.sign_up("ada@example.com").await.status(), 202);
    assert_eq!(api.only_mail().await["subject"], "Confirm your e-mail address");
    api.stop().await;
}

#[tokio::test]
async fn without_redis_reads_and_sign_ups_go_on_and_mail_waits() {
    let mut api = Api::start().await;
    let seeded = api.seed_while_open().await;
    let token = api.log_in(&seeded["studentEmails"][0]).await;
    api.world.redis.kill().await;

    assert_eq!(api.sign_up("ada@example.com").await.status(), 202);
    let path = format!("/api/v1/exams/{}/questions", seeded["examId"].as_str().expect("an id"));
    for _ in 0..3 {
        let read = api.request(reqwest::Method::GET, &path).bearer_auth(&token).send().await.expect("an answer");
        assert_eq!(read.status(), 200);
    }
    let readiness = eventually("redis seen to be down", TIMEOUT, async || {
        let body: Value = api.get("/readyz").await.json().await.expect("JSON");
        (body["dependencies"]["redis"]["state"] == "down").then_some(body)
    })
    .await;
    assert_eq!(readiness["status"], "ready", "requests can be served");

    api.world.redis.restart().await;
    assert_eq!(api.only_mail().await["to"], "ada@example.com");
    assert_eq!(api.world.redis.cmd::<i64>("ZCARD bull:email:prioritized").await, 1);
    api.stop().await;
}

#[tokio::test]
async fn the_api_starts_without_redis_and_uses_it_once_it_is_there() {
    let mut world = World::start().await;
    world.redis.kill().await;
    let mut api = Api::start_in(world).await;
    assert_eq!(api.sign_up("ada@example.com").await.status(), 202);
    api.world.redis.restart().await;
    assert_eq!(api.only_mail().await["to"], "ada@example.com");
    api.stop().await;
}

#[tokio::test]
async fn a_stopping_api_answers_what_it_has_begun() {
    let api = Api::start().await;
    let (client, base) = (api.client.clone(), api.base.clone());
    let requests: Vec<_> = (0..20)
        .map(|n| {
            let (client, url) = (client.clone(), format!("{base}/api/v1/auth/signup"));
            let body = json!({"email": format!("s{n}@example.com"), "name": "S", "password": "correct horse"});
            tokio::spawn(
                async move { client.post(url).json(&body).send().await.map(|answer| answer.status().as_u16()) },
            )
        })
        .collect();
    // All are in flight: hashing twenty passwords takes the two cores a while.
    eventually("some are answered", TIMEOUT, async || {
        (requests.iter().filter(|request| request.is_finished()).count() >= 2).then_some(())
    })
    .await;
    api.stop().await;
    for request in requests {
        match request.await.expect("no panic") {
            Ok(status) => assert_eq!(status, 202),
            Err(error) => assert!(error.is_connect(), "it was not taken, or it was answered: {error}"),
        }
    }
}

#[tokio::test]
async fn the_port_of_operators_shows_what_was_counted() {
    let mut world = World::start().await;
    world.set("API_OPS_BIND", &format!("127.0.0.1:{}", examhall_testkit::free_port()));
    let ops = world.settings().into_iter().rfind(|(name, _)| name == "API_OPS_BIND").expect("set").1;
    let api = Api::start_in(world).await;
    let get = async |path: &str| api.client.get(format!("http://{ops}{path}")).send().await.expect("an answer");
    assert_eq!(get("/healthz").await.status(), 200);
    assert_eq!(get("/readyz").await.status(), 200);
    let seeded = api.seed_while_open().await;
    let token = api.log_in(&seeded["studentEmails"][0]).await;
    let path = format!("/api/v1/exams/{}/questions", seeded["examId"].as_str().expect("an id"));
    for _ in 0..2 {
        api.request(reqwest::Method::GET, &path).bearer_auth(&token).send().await.expect("an answer");
    }
    let metrics = get("/metrics").await.text().await.expect("text");
    let count = |outcome: &str| {
        let name = format!("cache_requests_total{{outcome=\"{outcome}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u32>().ok()).unwrap_or(0)
    };
    assert_eq!((count("loaded"), count("l1") + count("l2")), (1, 1), "{metrics}");
    tokio::time::timeout(Duration::from_secs(30), api.stop()).await.expect("stops");
}

/// What this process has in memory, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn what_nobody_scrapes_does_not_pile_up() {
    const ROUNDS: u64 = 60;
    const SAMPLES: u64 = 200_000; // of eight bytes each
    let api = Api::start().await;
    let before = resident();
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for _ in 0..ROUNDS {
        clock.tick().await;
        (0..SAMPLES).for_each(|_| metrics::histogram!("test_seconds").record(0.5));
    }
    let (grown, all) = (resident().saturating_sub(before), ROUNDS * SAMPLES * 8 / 1024);
    assert!(grown < all / 2, "{grown} KiB more, of {all} KiB measured");
    api.stop().await;
}
