//! Node's producer, our worker, and jobs that fail: A13 to A18.

use examhall_queue::WorkerOptions;
use serde_json::json;

use crate::{
    ours::quick,
    scenario::{PROMPT, Scenario},
    scenarios,
    snapshot::Snapshot,
};

scenarios![
    a13_backoff_doubles_with_each_failure,
    a14_job_without_backoff_is_retried_at_once,
    a15_job_without_attempts_has_one,
    a16_unrecoverable_failure_is_not_retried,
    a17_unknown_backoff_bounds_the_number_of_runs,
    a18_retried_job_keeps_its_priority,
];

fn alone() -> WorkerOptions {
    quick().concurrency(1)
}

fn traces(now: &Snapshot, id: &str) -> Vec<String> {
    serde_json::from_value(now.json(id, "stacktrace")).expect("a list of texts")
}

/// Returns fields of a job.
fn fields<const N: usize>(now: &Snapshot, id: &str, names: [&str; N]) -> [String; N] {
    names.map(|name| now.hash(id).remove(name).unwrap_or_default())
}

async fn a13_backoff_doubles_with_each_failure(scenario: &Scenario) {
    scenario.node.listen().await;
    let options = json!({"attempts": 3, "backoff": {"type": "exponential", "delay": 600}});
    let id = scenario.node.add(json!({"failures": 3}), options).await;
    let ours = scenario.ours(quick()).await;
    for (made, delay) in [("1", "600"), ("2", "1200")] {
        let waits = |now: &Snapshot| now.members("delayed") == [&*id] && now.hash(&id)["atm"] == made;
        let now = scenario.once(&format!("failure {made}"), waits).await;
        assert_eq!(fields(&now, &id, ["delay", "ats"]), [delay, made]);
        let event = now.events_of(&id).pop().expect("an event");
        let span = event.field("delay").parse::<i64>().expect("ms since 1970") - event.at;
        let wanted = delay.parse::<i64>().expect("ms");
        assert!((wanted - PROMPT..=wanted + 20).contains(&span), "{event:?} is {span} ms ahead");
    }
    let now = scenario.once_in("failed", 1).await;
    assert_eq!(fields(&now, &id, ["atm", "ats", "failedReason", "delay"]), ["3", "3", "boom3", "0"]);
    let traces = traces(&now, &id);
    assert_eq!(traces.len(), 3);
    assert!(
        ["boom1", "boom2", "boom3"].iter().zip(&traces).all(|(reason, trace)| trace.contains(reason)),
        "{traces:?}"
    );
    let history = now.history_of(&id);
    assert_eq!(history[history.len() - 2..], ["failed<active", "retries-exhausted"]);
    assert_eq!(now.events_of(&id).pop().expect("an event").field("attemptsMade"), "3");
    ours.stop().await;
}

async fn a14_job_without_backoff_is_retried_at_once(scenario: &Scenario) {
    let id = scenario.node.add(json!({"failures": 1}), json!({"attempts": 2})).await;
    let ours = scenario.ours(quick()).await;
    let now = scenario.once_in("completed", 1).await;
    let history = ["added", "waiting", "active<waiting", "waiting<active", "active<waiting", "completed<active"];
    assert_eq!(now.history_of(&id), history);
    let made: Vec<_> = ours.runs().iter().map(|run| run.attempts_made).collect();
    assert_eq!(made, [0, 1]);
    assert_eq!(fields(&now, &id, ["atm", "ats", "failedReason"]), ["2", "2", "boom1"]);
    assert_eq!(traces(&now, &id).len(), 1);
    ours.stop().await;
}

async fn a15_job_without_attempts_has_one(scenario: &Scenario) {
    let id = scenario.node.add(json!({"failures": 9}), json!({})).await;
    let ours = scenario.ours(quick()).await;
    let now = scenario.once_in("failed", 1).await;
    assert_eq!(ours.ran(), [&*id]);
    let last = now.events_of(&id).pop().expect("an event");
    assert_eq!((last.name.as_str(), last.field("attemptsMade")), ("retries-exhausted", "1"));
    ours.stop().await;
}

async fn a16_unrecoverable_failure_is_not_retried(scenario: &Scenario) {
    let id = scenario.node.add(json!({"unrecoverable": "no such address"}), json!({"attempts": 5})).await;
    let ours = scenario.ours(quick()).await;
    let now = scenario.once_in("failed", 1).await;
    assert_eq!(ours.ran(), [&*id]);
    assert_eq!(fields(&now, &id, ["atm", "failedReason"]), ["1", "no such address"]);
    assert_eq!(now.history_of(&id), ["added", "waiting", "active<waiting", "failed<active"]);
    ours.stop().await;
}

async fn a17_unknown_backoff_bounds_the_number_of_runs(scenario: &Scenario) {
    scenario.write_raw("number", &json!({"failures": 1}), &json!({"attempts": 2, "backoff": 50})).await;
    let ours = scenario.ours(quick()).await;
    scenario.once_in("completed", 1).await;
    let runs = ours.runs();
    assert_eq!(runs.len(), 2);
    assert!(runs[1].at - runs[0].at >= 50, "the second run started {} ms after the first", runs[1].at - runs[0].at);

    scenario.write_raw("unknown", &json!({"failures": 9}), &json!({"attempts": 3, "backoff": {"type": "nope"}})).await;
    let now = scenario.once_in("failed", 1).await;
    assert!(now.members("active").is_empty());
    let again = ours.ran().iter().filter(|id| *id == "unknown").count();
    assert!((1..=3).contains(&again), "{again} runs");
    ours.stop().await;
}

async fn a18_retried_job_keeps_its_priority(scenario: &Scenario) {
    let retried = scenario.node.add(json!({"failures": 1, "gated": 1}), json!({"priority": 4, "attempts": 2})).await;
    let ours = scenario.ours(alone()).await;
    ours.after_runs(1).await;
    let other = scenario.node.add(json!({}), json!({"priority": 5})).await;
    // No job is taken while the queue is paused, so the state after the failure can be read.
    scenario.node.queue("pause", json!([])).await;
    ours.release(2);
    let now = scenario.once("the job is back", |now| now.score("prioritized", &retried).is_some()).await;
    let score = now.score("prioritized", &retried).expect("it is there");
    let span = 4_294_967_296.0;
    assert!((4.0 * span..5.0 * span).contains(&score), "priority 4 scores {score}");
    scenario.node.queue("resume", json!([])).await;
    scenario.once_in("completed", 2).await;
    assert_eq!(ours.ran(), [&*retried, &*retried, &*other]);
    ours.stop().await;
}
