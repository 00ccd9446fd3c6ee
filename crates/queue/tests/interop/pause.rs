//! A queue that is paused: A28 and A29.

use examhall_queue::JobOptions;
use serde_json::json;

use crate::{ours::quick, scenarios, scene::Scene};

scenarios![
    a28_what_we_add_while_node_has_paused_runs_after_node_resumes,
    a29_what_is_added_while_we_have_paused_runs_after_node_resumes,
    a29_what_is_added_while_node_has_paused_runs_after_we_resume,
];

/// Who does it.
#[derive(Clone, Copy)]
enum By {
    Us,
    Node,
}

async fn a28_what_we_add_while_node_has_paused_runs_after_node_resumes(scene: &Scene) {
    pause_and_resume(scene, By::Node, By::Node).await;
}

async fn a29_what_is_added_while_we_have_paused_runs_after_node_resumes(scene: &Scene) {
    pause_and_resume(scene, By::Us, By::Node).await;
}

async fn a29_what_is_added_while_node_has_paused_runs_after_we_resume(scene: &Scene) {
    pause_and_resume(scene, By::Node, By::Us).await;
}

async fn pause_and_resume(scene: &Scene, paused: By, resumed: By) {
    let mut ids = vec![scene.add(json!({}), JobOptions::default()).await];
    match paused {
        By::Us => scene.queue.pause().await.expect("paused"),
        By::Node => drop(scene.node.queue("pause", json!([])).await),
    }
    let ours = scene.ours(quick()).await;
    ids.push(scene.add(json!({}), JobOptions::default()).await);
    ids.push(scene.node.add(json!({}), json!({})).await);
    assert_eq!(scene.node.queue("isPaused", json!([])).await, true);
    assert_eq!(scene.node.queue("getMeta", json!([])).await["paused"], true);
    assert!(scene.queue.is_paused().await.expect("read"));
    // The worker has looked, and slept, and looked again.
    scene.stalled_checks(2).await;
    let now = scene.snapshot().await;
    assert!(ours.runs().is_empty());
    assert!(now.score("marker", "0").is_none(), "a signal to work at a queue that is paused");

    match resumed {
        By::Us => scene.queue.resume().await.expect("resumed"),
        By::Node => drop(scene.node.queue("resume", json!([])).await),
    }
    let now = scene.once_in("completed", 3).await;
    let told: Vec<_> = now.events().into_iter().map(|event| event.name).collect();
    let switches: Vec<_> = told.iter().filter(|name| ["paused", "resumed"].contains(&name.as_str())).collect();
    assert_eq!(switches, ["paused", "resumed"]);
    let mut ran = ours.ran();
    ran.sort();
    assert_eq!(ran, ids);
    assert_eq!(scene.node.queue("isPaused", json!([])).await, false);
    ours.stop().await;
}
