//! A job's lock, kept and lost: A22 and A23.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use crate::{
    ours::quick,
    scenarios,
    scene::{PREFIX, Scene},
};

scenarios![a22_a_lock_is_kept_while_its_job_runs, a23_a_job_whose_lock_was_lost_is_not_finished_by_us];

async fn a22_a_lock_is_kept_while_its_job_runs(scene: &Scene) {
    let ours = scene.ours(quick()).await;
    let id = scene.add(json!({"takes": 9000}), examhall_queue::JobOptions::default()).await;
    ours.after_runs(1).await;
    scene.node.worker("node-1", json!({"stalledInterval": 500})).await;
    let (lock, mut shortest, mut tokens) = (format!("{PREFIX}{id}:lock"), i64::MAX, BTreeSet::new());
    loop {
        let token: Option<String> = scene.redis.cmd(&format!("GET {lock}")).await;
        let left: i64 = scene.redis.cmd(&format!("PTTL {lock}")).await;
        let Some(token) = token.filter(|_| left >= 0) else { break };
        tokens.insert(token);
        shortest = shortest.min(left);
        tokio::time::sleep(Duration::from_millis(20)).await; // between two looks at the lock
    }
    let now = scene.once_in("completed", 1).await;
    assert!(shortest >= 1000, "the lock had {shortest} ms left");
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    assert_eq!(scene.node.told("worker-stalled"), Vec::<Value>::new());
    assert_eq!(now.story_of(&id), ["added", "waiting", "active<waiting", "completed<active"]);
    assert_eq!((ours.ran().len(), scene.node.runs().len()), (1, 0));
    ours.stop().await;
}

async fn a23_a_job_whose_lock_was_lost_is_not_finished_by_us(scene: &Scene) {
    let ours = scene.ours(quick()).await;
    let id = scene.node.add(json!({"gated": 1}), json!({})).await;
    ours.after_runs(1).await;
    assert_eq!(scene.redis.cmd::<i64>(&format!("DEL {PREFIX}{id}:lock")).await, 1);
    ours.after_loss_of(&id).await;
    ours.let_go(1);
    // Whoever looks for stalled jobs finds it; it runs again, and ends the second time.
    ours.after_runs(2).await;
    let now = scene.snapshot().await;
    assert!(now.story_of(&id).iter().all(|event| !event.starts_with("completed")), "{:?}", now.story_of(&id));
    assert_eq!(now.members("active"), [&*id]);
    ours.let_go(1);
    let now = scene.once_in("completed", 1).await;
    assert_eq!([&now.hash(&id)["stc"], &now.hash(&id)["atm"], &now.hash(&id)["ats"]], ["1", "1", "2"]);
    let story = now.story_of(&id);
    assert_eq!(story.iter().filter(|event| event.starts_with("completed")).count(), 1, "{story:?}");
    assert!(story.contains(&"stalled".to_owned()), "{story:?}");
    assert_eq!(ours.ran().len(), 2);
    ours.stop().await;
}
