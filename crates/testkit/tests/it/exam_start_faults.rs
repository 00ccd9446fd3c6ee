//! Exam start with a Redis that is slow, forgets, hangs up or is replaced, with two `api` processes.

use std::time::Duration;

use examhall_testkit::{DatabaseKind, Proxy, RedisOptions, Sentinel, World, eventually};
use futures_util::future::join_all;
use serde_json::json;

use crate::{
    TIMEOUT,
    exam_start::{Fleet, LATE},
};

async fn world() -> World {
    World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await
}

/// Reads by both, all of them served, whatever version.
async fn all_are_served(fleet: &Fleet) {
    let answers = join_all((0..100).map(|n| fleet.read(n % 2))).await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
}

#[tokio::test]
async fn a_slow_redis_fails_no_read_and_is_used_again() {
    let mut world = world().await;
    let redis = Proxy::start(world.redis.port()).await;
    world.set("REDIS_URL", &format!("redis://127.0.0.1:{}", redis.port()));
    let fleet = Fleet::start_in(world).await;
    redis.delay(Duration::from_secs(1));
    for _ in 0..5 {
        all_are_served(&fleet).await;
    }
    assert_eq!(fleet.change(0, "Logic").await, 200);
    let seen = async || (fleet.read(1).await.1 == json!(2)).then_some(());
    eventually("the other process to show it", LATE, seen).await;
    redis.delay(Duration::ZERO);
    let stored = format!("EXISTS {}:questions", fleet.exam.trim_start_matches('/').replacen("exams/", "exam:", 1));
    eventually("Redis to be used", TIMEOUT, async || {
        all_are_served(&fleet).await;
        (fleet.world.redis.cmd::<i64>(&stored).await == 1).then_some(())
    })
    .await;
    assert_eq!((fleet.read(0).await, fleet.read(1).await), ((200, json!(2)), (200, json!(2))));
}

#[tokio::test]
async fn what_redis_forgets_is_loaded_once_more() {
    let mut fleet = Fleet::start().await;
    all_are_served(&fleet).await;
    assert_eq!(fleet.loads().await, 1);
    fleet.world.redis.cmd::<String>("FLUSHALL").await;
    while fleet.loads().await < 2 {
        all_are_served(&fleet).await; // memory notices it within a moment
    }
    for _ in 0..5 {
        all_are_served(&fleet).await;
    }
    assert_eq!(fleet.loads().await, 2);
}

#[tokio::test]
async fn a_missed_invalidation_is_made_up_for() {
    let fleet = Fleet::start().await;
    for version in 2..8 {
        fleet.read(0).await;
        fleet.read(1).await;
        fleet.world.redis.cmd::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
        assert_eq!(fleet.change(0, "Logic").await, 200);
        assert_eq!(fleet.read(0).await, (200, json!(version)), "who changed it");
        let seen = async || (fleet.read(1).await.1 == json!(version)).then_some(());
        eventually("the other process to show it", LATE, seen).await;
        all_are_served(&fleet).await;
        assert_eq!(fleet.read(1).await, (200, json!(version)), "never the old one again");
    }
}

#[tokio::test]
async fn no_read_fails_during_a_sentinel_failover() {
    let mut world = world().await;
    let sentinel = Sentinel::watch(&world.redis).await;
    world.set("REDIS_URL", &sentinel.url());
    let mut fleet = Fleet::start_in(world).await;
    all_are_served(&fleet).await;
    fleet.world.redis.kill().await;
    assert_eq!(fleet.change(0, "Logic").await, 200);
    assert_eq!(fleet.read(0).await, (200, json!(2)), "who changed it");
    eventually("another master", TIMEOUT, async || {
        all_are_served(&fleet).await;
        sentinel.has_promoted().then_some(())
    })
    .await;
    // The new master has the old value, and no invalidation of the change has reached it yet.
    let seen = async || (fleet.read(1).await.1 == json!(2)).then_some(());
    eventually("the other process to show it", LATE, seen).await;
    let invalidated = async || {
        let answers = join_all((0..100).map(|n| fleet.read(n % 2))).await;
        assert!(answers.iter().all(|answer| *answer == (200, json!(2))), "never the old one again: {answers:?}");
        (fleet.uncleared().await == "0").then_some(())
    };
    eventually("the new master to be invalidated", TIMEOUT, invalidated).await;
    assert_eq!(fleet.change(1, "Rhetoric").await, 200);
    assert_eq!(fleet.read(1).await, (200, json!(3)), "who changed it");
    let seen = async || (fleet.read(0).await.1 == json!(3)).then_some(());
    eventually("the other process to show it", LATE, seen).await;
}
