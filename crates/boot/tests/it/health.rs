use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use examhall_boot::health::Health;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const OFTEN: Duration = Duration::from_millis(5);

/// Waits until the dependency is in this state, and returns its entry of `/readyz`.
async fn in_state(health: &Health, name: &str, state: &str) -> Value {
    let reached = async {
        let mut clock = tokio::time::interval(OFTEN);
        loop {
            clock.tick().await;
            let body = serde_json::to_value(health.readiness(false)).expect("serializes");
            if body["dependencies"][name]["state"] == state {
                return body["dependencies"][name].clone();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reached).await.expect("in time")
}

#[tokio::test]
async fn a_dependency_is_up_while_it_answers() {
    let (health, works) = (Health::default(), Arc::new(AtomicBool::new(true)));
    let probed = Arc::clone(&works);
    health.watch("redis", OFTEN, CancellationToken::new(), move || {
        let works = probed.load(Ordering::SeqCst);
        async move { if works { Ok(()) } else { Err("connection refused".to_owned()) } }
    });
    assert!(!health.is_up("redis") && !health.has_answered("redis"), "unknown until it is probed");
    in_state(&health, "redis", "up").await;
    assert!(health.is_up("redis") && health.has_answered("redis"));

    works.store(false, Ordering::SeqCst);
    let down = in_state(&health, "redis", "down").await;
    assert_eq!(down["reason"], "connection refused");
    assert!(!health.is_up("redis") && health.has_answered("redis"));
    assert_eq!(serde_json::to_value(health.readiness(false)).expect("serializes")["status"], "unready");
}

#[tokio::test]
async fn a_hanging_dependency_is_down_since_the_first_timeout() {
    let health = Health::default();
    health.watch("database", OFTEN, CancellationToken::new(), std::future::pending);
    let first = in_state(&health, "database", "down").await;
    assert_eq!(first["reason"], "no answer within 2 s");
    health.report("database", Err("no answer within 2 s".to_owned()));
    assert_eq!(in_state(&health, "database", "down").await["since"], first["since"]);
}

#[test]
fn a_dependency_without_a_report_is_unknown() {
    let health = Health::default();
    health.expect("smtp");
    let body = serde_json::to_value(health.readiness(true)).expect("serializes");
    assert_eq!((&body["status"], &body["dependencies"]["smtp"]["state"]), (&"ready".into(), &"unknown".into()));
}
