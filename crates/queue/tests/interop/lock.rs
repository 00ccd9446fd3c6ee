//! Locks, renewed and lost: A22 and A23.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use crate::{
    ours::quick,
    scenario::{PREFIX, Scenario},
    scenarios,
};

scenarios![a22_lock_is_renewed_while_its_job_runs, a23_job_whose_lock_was_lost_is_not_finished];

async fn a22_lock_is_renewed_while_its_job_runs(scenario: &Scenario) {
    let ours = scenario.ours(quick()).await;
    let id = scenario.add(json!({"takes": 9000}), examhall_queue::JobOptions::default()).await;
    ours.after_runs(1).await;
    scenario.node.worker("node-1", json!({"stalledInterval": 500})).await;
    let (lock, mut shortest, mut tokens) = (format!("{PREFIX}{id}:lock"), i64::MAX, BTreeSet::new());
    loop {
        let token: Option<String> = scenario.redis.cmd(&format!("GET {lock}")).await;
        let left: i64 = scenario.redis.cmd(&format!("PTTL {lock}")).await;
        let Some(token) = token.filter(|_| left >= 0) else { break };
        tokens.insert(token);
        shortest = shortest.min(left);
        tokio::time::sleep(Duration::from_millis(20)).await; // between two reads of the lock
    }
    let now = scenario.once_in("completed", 1).await;
    assert!(shortest >= 1000, "the lock had {shortest} ms left");
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    assert_eq!(scenario.node.messages("worker-stalled"), Vec::<Value>::new());
    assert_eq!(now.history_of(&id), ["added", "waiting", "active<waiting", "completed<active"]);
    assert_eq!((ours.ran().len(), scenario.node.runs().len()), (1, 0));
    ours.stop().await;
}

async fn a23_job_whose_lock_was_lost_is_not_finished(scenario: &Scenario) {
    let ours = scenario.ours(quick()).await;
    let id = scenario.node.add(json!({"gated": 1}), json!({})).await;
    ours.after_runs(1).await;
    assert_eq!(scenario.redis.cmd::<i64>(&format!("DEL {PREFIX}{id}:lock")).await, 1);
    ours.after_loss_of(&id).await;
    ours.release(1);
    // It is recovered as stalled, runs again, and ends the second time.
    ours.after_runs(2).await;
    let now = scenario.snapshot().await;
    assert!(now.history_of(&id).iter().all(|event| !event.starts_with("completed")), "{:?}", now.history_of(&id));
    assert_eq!(now.members("active"), [&*id]);
    ours.release(1);
    let now = scenario.once_in("completed", 1).await;
    assert_eq!([&now.hash(&id)["stc"], &now.hash(&id)["atm"], &now.hash(&id)["ats"]], ["1", "1", "2"]);
    let history = now.history_of(&id);
    assert_eq!(history.iter().filter(|event| event.starts_with("completed")).count(), 1, "{history:?}");
    assert!(history.contains(&"stalled".to_owned()), "{history:?}");
    assert_eq!(ours.ran().len(), 2);
    ours.stop().await;
}
