//! Bull Board on our queue: A30.

use std::time::Duration;

use examhall_queue::JobOptions;
use examhall_testkit::eventually;
use serde_json::{Value, json};

use crate::{
    ours::quick,
    scenario::{Scenario, TIMEOUT},
    scenarios,
};

scenarios![a30_bull_board_shows_and_changes_our_jobs, a30_bull_board_lists_our_worker];

const STATES: &[&str] = &["waiting", "prioritized", "active", "delayed", "completed", "failed"];

/// Returns what the page shows in one tab.
async fn tab(scenario: &Scenario, status: &str) -> Value {
    let query = json!({"activeQueue": "email", "status": status});
    let request = json!({"method": "get", "route": "/api/queues", "query": query});
    let answer = scenario.node.request("board", request).await.expect("the board answers");
    let queue = &answer["body"]["queues"][0];
    assert_eq!(queue["name"], "email", "{answer}");
    queue.clone()
}

/// Presses a button; `what` follows the queue's address.
async fn press(scenario: &Scenario, what: &str, params: Value) -> Value {
    let mut params = params;
    params["queueName"] = "email".into();
    let request = json!({"method": "put", "route": format!("/api/queues/:queueName/{what}"), "params": params});
    let answer = scenario.node.request("board", request).await.expect("the board answers");
    assert!(answer["status"].as_u64().is_some_and(|status| status < 300), "{what}: {answer}");
    answer
}

async fn a30_bull_board_shows_and_changes_our_jobs(scenario: &Scenario) {
    let options = JobOptions::default;
    let ours = scenario.ours(quick().concurrency(1)).await;
    let done = scenario.add(json!({"value": {"messageId": "<1@x>"}}), options()).await;
    let failed = scenario.add(json!({"failures": 1, "label": "it fails"}), options()).await;
    let gated = scenario.add(json!({"gated": 1}), options()).await;
    ours.after_runs(3).await;
    let waiting = scenario.add(json!({}), options()).await;
    let prioritized = scenario.add(json!({}), options().priority(3)).await;
    let delayed = scenario.add(json!({}), options().delay(Duration::from_hours(1))).await;

    let ids = [&waiting, &prioritized, &gated, &delayed, &done, &failed];
    for (status, id) in STATES.iter().zip(ids) {
        let tab = tab(scenario, status).await;
        let counts: Vec<_> = STATES.iter().map(|status| tab["counts"][status].clone()).collect();
        assert_eq!(counts, vec![json!(1); STATES.len()], "{status}: {}", tab["counts"]);
        assert_eq!((&tab["jobs"][0]["id"], &tab["jobs"][0]["name"]), (&json!(id), &json!("mail")), "{status}");
        assert_eq!(tab["isPaused"], false);
    }
    let shown = tab(scenario, "completed").await["jobs"][0].clone();
    assert_eq!((&shown["attempts"], &shown["returnValue"]), (&json!(1), &json!({"messageId": "<1@x>"})));
    assert_eq!((&shown["processedBy"], &shown["isFailed"]), (&json!("rust-1"), &json!(false)));
    let shown = tab(scenario, "failed").await["jobs"][0].clone();
    assert_eq!((&shown["attempts"], &shown["failedReason"]), (&json!(1), &json!("boom1")));
    assert_eq!((&shown["data"]["label"], &shown["isFailed"]), (&json!("it fails"), &json!(true)));
    assert!(shown["stacktrace"][0].as_str().is_some_and(|trace| trace.contains("boom1")), "{shown}");

    ours.release(1);
    scenario.once_in("completed", 4).await;
    press(scenario, ":jobId/retry", json!({"jobId": failed})).await;
    let now = scenario.once("the retried job ends", |now| now.members("completed").contains(&failed)).await;
    assert_eq!(now.hash(&failed)["atm"], "2");
    press(scenario, ":jobId/promote", json!({"jobId": delayed})).await;
    scenario.once_in("completed", 6).await;
    press(scenario, ":jobId/clean", json!({"jobId": failed})).await;
    assert!(scenario.once_in("completed", 5).await.hash(&failed).is_empty());
    // The button keeps jobs that ended within the last 5 s.
    let clean = || async {
        press(scenario, "clean/:queueStatus", json!({"queueStatus": "completed"})).await;
        scenario.snapshot().await.members("completed").is_empty().then_some(())
    };
    eventually("everything is cleaned", TIMEOUT, clean).await;
    ours.stop().await;
}

async fn a30_bull_board_lists_our_worker(scenario: &Scenario) {
    let ours = scenario.ours(quick()).await;
    scenario.add(json!({}), JobOptions::default()).await;
    scenario.once_in("completed", 1).await;
    eventually("the worker is listed", TIMEOUT, || async {
        (tab(scenario, "latest").await["hasWorkers"] == true).then_some(())
    })
    .await;
    let params = json!({"queueName": "email"});
    let request = json!({"method": "get", "route": "/api/queues/:queueName/workers", "params": params});
    let answer = scenario.node.request("board", request).await.expect("the board answers");
    let workers = answer["body"]["workers"].as_array().cloned().unwrap_or_default();
    let names: Vec<_> = workers.iter().map(|worker| &worker["name"]).collect();
    assert_eq!(names, ["rust-1"], "{answer}");
    ours.stop().await;
}
