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

/// Waits until the named dependency is in this state, and gives what `/readyz` says of it.
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
async fn a_dependency_is_up_while_it_answers_and_says_why_when_not() {
    let (health, works) = (Health::default(), Arc::new(AtomicBool::new(true)));
    let probed = Arc::clone(&works);
    health.watch("redis", OFTEN, CancellationToken::new(), move || {
        let works = probed.load(Ordering::SeqCst);
        async move { if works { Ok(()) } else { Err("connection refused".to_owned()) } }
    });
    assert!(!health.is_up("redis"), "unknown until it was asked");
    in_state(&health, "redis", "up").await;
    assert!(health.is_up("redis") && health.answered_within("redis", Duration::from_secs(5)));

    works.store(false, Ordering::SeqCst);
    let down = in_state(&health, "redis", "down").await;
    assert_eq!(down["reason"], "connection refused");
    assert!(!health.is_up("redis") && health.answered_within("redis", Duration::from_secs(5)));
    assert_eq!(serde_json::to_value(health.readiness(false)).expect("serializes")["status"], "unready");
}

#[tokio::test]
async fn a_dependency_that_hangs_is_down_and_its_state_keeps_its_beginning() {
    let health = Health::default();
    health.watch("database", OFTEN, CancellationToken::new(), std::future::pending);
    let first = in_state(&health, "database", "down").await;
    assert_eq!(first["reason"], "no answer within 2 s");
    health.report("database", Err("no answer within 2 s".to_owned()));
    assert_eq!(in_state(&health, "database", "down").await["since"], first["since"]);
}

#[test]
fn what_nobody_has_tried_is_unknown() {
    let health = Health::default();
    health.expect("smtp");
    let body = serde_json::to_value(health.readiness(true)).expect("serializes");
    assert_eq!((&body["status"], &body["dependencies"]["smtp"]["state"]), (&"ready".into(), &"unknown".into()));
}
