use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use examhall_boot::health::Health;
use tokio_util::sync::CancellationToken;

#[tokio::test(start_paused = true)]
async fn a_dependency_is_up_while_it_answers_and_says_why_when_not() {
    let (health, works) = (Health::default(), Arc::new(AtomicBool::new(true)));
    let probed = Arc::clone(&works);
    health.watch("redis", Duration::from_secs(1), CancellationToken::new(), move || {
        let works = probed.load(Ordering::SeqCst);
        async move { if works { Ok(()) } else { Err("connection refused".to_owned()) } }
    });
    assert!(!health.is_up("redis"), "unknown until it was asked");

    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(health.is_up("redis") && health.answered_within("redis", Duration::from_secs(5)));

    works.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!health.is_up("redis"));
    let body = serde_json::to_value(health.readiness(false)).expect("serializes");
    assert_eq!(body["status"], "unready");
    assert_eq!(body["dependencies"]["redis"]["state"], "down");
    assert_eq!(body["dependencies"]["redis"]["reason"], "connection refused");
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_hangs_is_down_and_its_state_keeps_its_beginning() {
    let health = Health::default();
    health.watch("database", Duration::from_secs(1), CancellationToken::new(), std::future::pending);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let first = serde_json::to_value(health.readiness(false)).expect("serializes");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let later = serde_json::to_value(health.readiness(false)).expect("serializes");
    assert_eq!(first["dependencies"]["database"]["reason"], "no answer within 2 s");
    assert_eq!(first["dependencies"]["database"]["since"], later["dependencies"]["database"]["since"]);
}
