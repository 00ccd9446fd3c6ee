//! Workers that vanish with a job: A24 to A26.

use examhall_queue::{Backoff, JobOptions, RetryPolicy};
use serde_json::{Value, json};

use crate::{
    node::Node,
    ours::quick,
    process,
    scenario::{PREFIX, Scenario, now_ms},
    scenarios,
    snapshot::Snapshot,
};

scenarios![
    a24_node_recovers_the_job_of_our_killed_worker,
    a25_we_recover_the_job_of_a_killed_node_worker,
    a26_job_that_stalled_too_often_fails_without_a_run,
];

/// Largest time from a kill to the next run, in ms: a lock of 1 s, two intervals of 1 s, and a very busy machine.
const RECOVERED_WITHIN: i64 = 10_000;

fn node_options() -> Value {
    json!({"lockDuration": 1000, "stalledInterval": 1000, "maxStalledCount": 1, "drainDelay": 1})
}

fn assert_recovered(now: &Snapshot, id: &str) {
    let hash = now.hash(id);
    assert_eq!([&hash["stc"], &hash["ats"], &hash["atm"]], ["1", "2", "1"]);
    let history = now.history_of(id);
    let stalled = history.iter().position(|event| event == "stalled").expect("a stalled event");
    assert_eq!(history[stalled - 1], "waiting<active", "{history:?}");
}

async fn a24_node_recovers_the_job_of_our_killed_worker(scenario: &Scenario) {
    let mut ours = process::start(&scenario.redis);
    let id = scenario.add(json!({"hangs": 1}), JobOptions::default()).await;
    scenario.once_in("active", 1).await;
    scenario.node.worker("node-1", node_options()).await;
    ours.kill().await;
    let killed = now_ms();
    let run = scenario.node.after_runs(1).await.remove(0);
    assert!(run.at - killed <= RECOVERED_WITHIN, "it ran {} ms after the kill", run.at - killed);
    assert_recovered(&scenario.once_in("completed", 1).await, &id);
}

async fn a25_we_recover_the_job_of_a_killed_node_worker(scenario: &Scenario) {
    let doomed = Node::start(&scenario.redis, scenario.node.version());
    doomed.worker("node-1", node_options()).await;
    let id = scenario.node.add(json!({"hangs": 1}), json!({})).await;
    scenario.once_in("active", 1).await;
    let ours = scenario.ours(quick()).await;
    doomed.kill().await;
    let killed = now_ms();
    let run = ours.after_runs(1).await.remove(0);
    assert!(run.at - killed <= RECOVERED_WITHIN, "it ran {} ms after the kill", run.at - killed);
    assert_recovered(&scenario.once_in("completed", 1).await, &id);
    ours.stop().await;
}

async fn a26_job_that_stalled_too_often_fails_without_a_run(scenario: &Scenario) {
    let retry = RetryPolicy::new(3, Backoff::fixed(std::time::Duration::ZERO));
    let id = scenario.add(json!({"hangs": 2}), JobOptions::default().retry(retry)).await;
    // Two Node workers take it in turn, each in its only slot, and lose it.
    let options = json!({"concurrency": 1, "lockDuration": 60_000, "stalledInterval": 500, "maxStalledCount": 1});
    for worker in 1..=2 {
        scenario.node.worker(&format!("node-{worker}"), options.clone()).await;
        scenario.node.after_runs(worker).await;
        assert_eq!(scenario.redis.cmd::<i64>(&format!("DEL {PREFIX}{id}:lock")).await, 1);
        let stalls = worker.to_string();
        scenario.once(&format!("stall {worker}"), |now| now.hash(&id).get("stc") == Some(&stalls)).await;
    }
    let ours = scenario.ours(quick().max_stalls(1)).await;
    let now = scenario.once_in("failed", 1).await;
    assert!(ours.runs().is_empty());
    let hash = now.hash(&id);
    assert_eq!(hash["failedReason"], "job stalled more than allowable limit");
    assert_eq!([&hash["stc"], &hash["ats"], &hash["atm"]], ["2", "3", "1"]);
    assert!(!hash.contains_key("defa"));
    ours.stop().await;
}
