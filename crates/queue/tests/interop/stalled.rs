//! Workers that vanish with a job in hand: A24 to A26.

use examhall_core::{Backoff, RetryPolicy};
use examhall_queue::{JobOptions, WorkerOptions};
use serde_json::{Value, json};

use crate::{
    node::Node,
    ours::quick,
    process, scenarios,
    scene::{PREFIX, Scene, now_ms},
    snapshot::Snapshot,
};

scenarios![
    a24_node_runs_the_job_of_our_worker_that_was_killed,
    a25_we_run_the_job_of_a_node_worker_that_was_killed,
    a26_a_job_that_stalled_too_often_fails_without_a_run,
];

/// From a kill to the next run, in ms: the lock of 1 s, two intervals of 1 s, and a very busy machine.
const RECOVERED_WITHIN: i64 = 10_000;

fn node_options() -> Value {
    json!({"lockDuration": 1000, "stalledInterval": 1000, "maxStalledCount": 1, "drainDelay": 1})
}

fn assert_recovered(now: &Snapshot, id: &str) {
    let hash = now.hash(id);
    assert_eq!([&hash["stc"], &hash["ats"], &hash["atm"]], ["1", "2", "1"]);
    let story = now.story_of(id);
    let told = story.iter().position(|event| event == "stalled").expect("a stalled event");
    assert_eq!(story[told - 1], "waiting<active", "{story:?}");
}

async fn a24_node_runs_the_job_of_our_worker_that_was_killed(scene: &Scene) {
    let mut ours = process::start(&scene.redis);
    let id = scene.add(json!({"hangs": 1}), JobOptions::default()).await;
    scene.once_in("active", 1).await;
    scene.node.worker("node-1", node_options()).await;
    ours.kill().await;
    let killed = now_ms();
    let run = scene.node.after_runs(1).await.remove(0);
    assert!(run.at - killed <= RECOVERED_WITHIN, "it ran {} ms after the kill", run.at - killed);
    assert_recovered(&scene.once_in("completed", 1).await, &id);
}

async fn a25_we_run_the_job_of_a_node_worker_that_was_killed(scene: &Scene) {
    let doomed = Node::start(&scene.redis, scene.node.version());
    doomed.worker("node-1", node_options()).await;
    let id = scene.node.add(json!({"hangs": 1}), json!({})).await;
    scene.once_in("active", 1).await;
    let ours = scene.ours(quick()).await;
    doomed.kill().await;
    let killed = now_ms();
    let run = ours.after_runs(1).await.remove(0);
    assert!(run.at - killed <= RECOVERED_WITHIN, "it ran {} ms after the kill", run.at - killed);
    assert_recovered(&scene.once_in("completed", 1).await, &id);
    ours.stop().await;
}

async fn a26_a_job_that_stalled_too_often_fails_without_a_run(scene: &Scene) {
    let retry = RetryPolicy { attempts: 3, backoff: Backoff::fixed(std::time::Duration::ZERO) };
    let id = scene.add(json!({"hangs": 2}), JobOptions { retry, ..JobOptions::default() }).await;
    // Two workers of Node have it, one after the other, each with its only slot, and lose it.
    let options = json!({"concurrency": 1, "lockDuration": 60_000, "stalledInterval": 500, "maxStalledCount": 1});
    for worker in 1..=2 {
        scene.node.worker(&format!("node-{worker}"), options.clone()).await;
        scene.node.after_runs(worker).await;
        assert_eq!(scene.redis.cmd::<i64>(&format!("DEL {PREFIX}{id}:lock")).await, 1);
        let stalls = worker.to_string();
        scene.once(&format!("stall {worker}"), |now| now.hash(&id).get("stc") == Some(&stalls)).await;
    }
    let ours = scene.ours(WorkerOptions { max_stalls: 1, ..quick() }).await;
    let now = scene.once_in("failed", 1).await;
    assert!(ours.runs().is_empty());
    let hash = now.hash(&id);
    assert_eq!(hash["failedReason"], "job stalled more than allowable limit");
    assert_eq!([&hash["stc"], &hash["ats"], &hash["atm"]], ["2", "3", "1"]);
    assert!(!hash.contains_key("defa"));
    ours.stop().await;
}
