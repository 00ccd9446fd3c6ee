//! Paused queues: A28 and A29.

use examhall_queue::JobOptions;
use serde_json::json;

use crate::{ours::quick, scenario::Scenario, scenarios};

scenarios![
    a28_jobs_added_while_node_pauses_run_after_it_resumes,
    a29_node_resumes_what_we_have_paused,
    a29_we_resume_what_node_has_paused,
];

/// Client that pauses or resumes.
#[derive(Clone, Copy)]
enum By {
    Us,
    Node,
}

async fn a28_jobs_added_while_node_pauses_run_after_it_resumes(scenario: &Scenario) {
    pause_and_resume(scenario, By::Node, By::Node).await;
}

async fn a29_node_resumes_what_we_have_paused(scenario: &Scenario) {
    pause_and_resume(scenario, By::Us, By::Node).await;
}

async fn a29_we_resume_what_node_has_paused(scenario: &Scenario) {
    pause_and_resume(scenario, By::Node, By::Us).await;
}

async fn pause_and_resume(scenario: &Scenario, paused: By, resumed: By) {
    let mut ids = vec![scenario.add(json!({}), JobOptions::default()).await];
    match paused {
        By::Us => scenario.queue.pause().await.expect("paused"),
        By::Node => drop(scenario.node.queue("pause", json!([])).await),
    }
    let ours = scenario.ours(quick()).await;
    ids.push(scenario.add(json!({}), JobOptions::default()).await);
    ids.push(scenario.node.add(json!({}), json!({})).await);
    assert_eq!(scenario.node.queue("isPaused", json!([])).await, true);
    assert_eq!(scenario.node.queue("getMeta", json!([])).await["paused"], true);
    assert!(scenario.queue.is_paused().await.expect("read"));
    // The worker has polled, blocked and polled again.
    scenario.stalled_checks(2).await;
    let now = scenario.snapshot().await;
    assert!(ours.runs().is_empty());
    assert!(now.score("marker", "0").is_none(), "a marker in a paused queue");

    match resumed {
        By::Us => scenario.queue.resume().await.expect("resumed"),
        By::Node => drop(scenario.node.queue("resume", json!([])).await),
    }
    let now = scenario.once_in("completed", 3).await;
    let names: Vec<_> = now.events().into_iter().map(|event| event.name).collect();
    let switches: Vec<_> = names.iter().filter(|name| ["paused", "resumed"].contains(&name.as_str())).collect();
    assert_eq!(switches, ["paused", "resumed"]);
    let mut ran = ours.ran();
    ran.sort();
    assert_eq!(ran, ids);
    assert_eq!(scenario.node.queue("isPaused", json!([])).await, false);
    ours.stop().await;
}
