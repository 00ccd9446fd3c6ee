//! How runs end, by our worker and by Node's: R1 to R4.

use std::time::Duration;

use examhall_queue::{AfterFailure, Backoffs, JobOptions, WorkerOptions};
use examhall_testkit::eventually;
use serde_json::{Value, json};

use crate::{
    ours::quick,
    scenario::{Scenario, TIMEOUT},
    scenarios,
    snapshot::Snapshot,
};

scenarios![
    r1_named_backoff_decides_on_both_sides,
    r2_cancelled_job_ends_as_its_handler_decides,
    r3_job_started_too_often_fails_without_a_run,
    r4_last_start_is_not_retried,
];

fn with_linear() -> WorkerOptions {
    let linear = Backoffs::NONE
        .with("linear", |run| AfterFailure::RetryAfter(run.options.retry.backoff.delay * run.attempts_made))
        .with("gives-up", |_| AfterFailure::GiveUp);
    quick().backoffs(linear)
}

/// Lets a job fail twice, and checks its delays.
async fn fails_twice(scenario: &Scenario, id: &str) {
    for (failures, delay) in [("1", "300000"), ("2", "600000")] {
        let failed = |now: &Snapshot| now.hash(id).get("atm").is_some_and(|made| made == failures);
        let now = scenario.once(&format!("failure {failures}"), failed).await;
        assert_eq!((now.hash(id)["delay"].as_str(), now.members("delayed")), (delay, vec![id.to_owned()]));
        scenario.queue.promote(id).await.expect("promoted");
    }
}

async fn r1_named_backoff_decides_on_both_sides(scenario: &Scenario) {
    let backoff = |name: &str| json!({"attempts": 3, "backoff": {"type": name, "delay": 300_000}});
    let given_up = scenario.node.add(json!({"failures": 9}), backoff("gives-up")).await;
    let ours = scenario.ours(with_linear()).await;
    let now = scenario.once_in("failed", 1).await;
    assert_eq!(now.hash(&given_up)["atm"], "1");
    assert_eq!(now.history_of(&given_up).last().map(String::as_str), Some("failed<active"), "attempts are left");
    let id = scenario.node.add(json!({"failures": 2}), backoff("linear")).await;
    fails_twice(scenario, &id).await;
    scenario.once_in("completed", 1).await;
    ours.stop().await;

    scenario.node.worker("node", json!({})).await;
    let named = |name: &str| JobOptions::default().attempts(3).backoff_strategy(name, Duration::from_mins(5));
    scenario.add(json!({"failures": 9}), named("gives-up")).await;
    scenario.once_in("failed", 2).await;
    let id = scenario.add(json!({"failures": 2}), named("linear")).await;
    fails_twice(scenario, &id).await;
    scenario.once_in("completed", 2).await;
}

async fn r2_cancelled_job_ends_as_its_handler_decides(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    for scenario in [theirs, ours] {
        let options = json!({"jobId": "c", "attempts": 5});
        scenario.node.add(json!({"cancellable": true}), options).await;
    }
    theirs.node.worker("rust-1", json!({})).await;
    let worker = ours.ours(quick()).await;
    for run in 1..=2 {
        theirs.node.after_runs(run).await;
        let cancel = || async {
            let request = json!({"name": "rust-1", "jobId": "c", "reason": "by hand"});
            let is_cancelled = theirs.node.request("cancel", request).await.expect("asked");
            (is_cancelled == json!(true)).then_some(())
        };
        eventually("Node cancels", TIMEOUT, cancel).await;
        worker.after_runs(run).await;
        assert!(worker.control().cancel_job("c", "by hand"));
        // The entry with the first cancellation ends before the second run is cancelled.
        let attempts = |now: &Snapshot| now.hash("c").get("atm").cloned().unwrap_or_default();
        for scenario in [theirs, ours] {
            scenario.once("the run has ended", |now| attempts(now) == run.to_string()).await;
        }
    }
    let [theirs_now, ours_now] = [theirs.once_in("failed", 1).await, ours.once_in("failed", 1).await];
    assert_eq!(ours_now.hash("c")["failedReason"], "cancelled 1");
    for field in ["failedReason", "atm", "ats"] {
        assert_eq!(ours_now.hash("c")[field], theirs_now.hash("c")[field]);
    }
    assert_eq!(ours_now.history_of("c"), theirs_now.history_of("c"));
    assert!(!worker.control().cancel_job("c", "too late"));
    worker.stop().await;
    ours.check().await;
}

async fn r3_job_started_too_often_fails_without_a_run(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    for scenario in [theirs, ours] {
        scenario.node.add(json!({}), json!({"jobId": "j", "attempts": 5})).await;
        scenario.redis.cmd::<i64>("HSET bull:email:j ats 2").await;
    }
    theirs.node.worker("rust-1", json!({"maxStartedAttempts": 2})).await;
    let worker = ours.ours(quick().max_started_attempts(2)).await;
    let [theirs_now, ours_now] = [theirs.once_in("failed", 1).await, ours.once_in("failed", 1).await];
    worker.stop().await;
    assert!(theirs.node.runs().is_empty());
    for field in ["failedReason", "atm", "ats"] {
        assert_eq!(ours_now.hash("j")[field], theirs_now.hash("j")[field]);
    }
    assert_eq!(ours_now.hash("j")["failedReason"], "job started more than allowable limit");
    assert_eq!(ours_now.history_of("j"), theirs_now.history_of("j"));
    ours.check().await;
}

async fn r4_last_start_is_not_retried(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    for scenario in [theirs, ours] {
        scenario.node.add(json!({"failures": 9}), json!({"jobId": "j", "attempts": 5})).await;
    }
    theirs.node.worker("rust-1", json!({"maxStartedAttempts": 2})).await;
    let worker = ours.ours(quick().max_started_attempts(2)).await;
    let fields = |now: Snapshot| ["failedReason", "atm", "ats"].map(|field| Value::from(now.hash("j")[field].clone()));
    let [theirs_now, ours_now] = [theirs.once_in("failed", 1).await, ours.once_in("failed", 1).await];
    assert_eq!(worker.runs().len(), 2);
    assert_eq!(theirs.node.runs().len(), 2);
    let of_ours = fields(ours_now);
    assert_eq!(of_ours, ["boom2", "2", "2"].map(Value::from));
    if theirs.node.version() == 6 {
        assert_eq!(of_ours, fields(theirs_now), "BullMQ 5 takes it a third time to fail it");
    }
    worker.stop().await;
    ours.check().await;
}
