//! Alerts on the API, its dependencies and Redis.

use std::{fs, time::Duration};

use examhall_testkit::{DatabaseKind, Proxy, RedisOptions, World};
use serde_json::json;

use super::Live;
use crate::{Api, seed, token};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(300);

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn api_gone() {
    let mut live = Live::start(World::start().await).await;
    live.api.process.kill().await;
    live.fires("ApiGone").await;
}

/// A login of nobody: it asks the database.
async fn log_in(api: &Api) {
    let body = json!({"email": "nobody@example.com", "password": "correct horse"});
    drop(api.client.post(format!("{}/auth/login", api.base)).json(&body).send().await);
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn api_errors() {
    let mut live = Live::start(World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await).await;
    live.world.database.server().kill().await;
    live.fires_while("ApiErrors", PAUSE, async || log_in(&live.api).await).await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn api_slow() {
    let mut world = World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await;
    let (direct, port) = (world.database.url(), world.database.server().port());
    let proxy = Proxy::start(port).await;
    world.set("DATABASE_URL", &direct.replace(&format!(":{port}"), &format!(":{}", proxy.port())));
    let live = Live::start(world).await;
    proxy.delay(Duration::from_millis(1_500));
    live.fires_while("ApiSlow", PAUSE, async || log_in(&live.api).await).await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn dependency_down() {
    let mut live = Live::start(World::start().await).await;
    live.world.redis.kill().await;
    live.fires("DependencyDown").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn cache_bypassed() {
    let live = Live::start(World::start().await).await;
    let seeded = seed(&live.world).await;
    let student = token(&live.api, seeded["studentEmails"][0].as_str().expect("text"), "examhall-demo").await;
    let exam = format!("{}/exams/{}", live.api.base, seeded["examId"].as_str().expect("an id"));
    live.world.redis.process().freeze();
    live.fires_while("CacheBypassed", PAUSE, async || {
        let read = live.api.client.get(&exam).bearer_auth(&student).send().await;
        assert_eq!(read.expect("an answer").status(), 200);
    })
    .await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn invalidations_pending() {
    let mut live = Live::start(World::start().await).await;
    let seeded = seed(&live.world).await;
    let author = token(&live.api, seeded["authorEmail"].as_str().expect("text"), "examhall-demo").await;
    live.world.redis.kill().await;
    let exam = format!("{}/exams/{}", live.api.base, seeded["examId"].as_str().expect("an id"));
    let change = live.api.client.patch(exam).bearer_auth(&author).json(&json!({"title": "Logic"}));
    assert_eq!(change.send().await.expect("an answer").status(), 200);
    live.fires("InvalidationsPending").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn redis_memory() {
    let live = Live::start(World::start().await).await;
    let used: String = live.world.redis.cmd("INFO memory").await;
    let used = used.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a line");
    let used: u64 = used.trim().parse().expect("a number");
    live.world.redis.cmd::<String>(&format!("CONFIG SET maxmemory {}", used * 10 / 9)).await;
    live.fires("RedisMemory").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn redis_may_evict() {
    let live = Live::start(World::start().await).await;
    live.world.redis.cmd::<String>("CONFIG SET maxmemory-policy allkeys-lru").await;
    live.fires("RedisMayEvict").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn redis_not_saved() {
    let live = Live::start(World::start().await).await;
    let redis = &live.world.redis;
    fs::remove_dir_all(redis.folder()).expect("a folder"); // where it would save
    redis.cmd::<String>("BGSAVE").await;
    live.fires("RedisNotSaved").await;
}
