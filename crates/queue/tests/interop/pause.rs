//! A queue that is paused: A28 and A29.

use examhall_queue::JobOptions;
use serde_json::json;

use crate::{ours::quick, scenarios, scene::Scene};

scenarios![a28_what_we_add_while_node_has_paused_runs_after_node_resumes];

async fn a28_what_we_add_while_node_has_paused_runs_after_node_resumes(scene: &Scene) {
    let mut ids = vec![scene.add(json!({}), JobOptions::default()).await];
    scene.node.queue("pause", json!([])).await;
    let ours = scene.ours(quick()).await;
    ids.push(scene.add(json!({}), JobOptions::default()).await);
    ids.push(scene.node.add(json!({}), json!({})).await);
    // The worker has looked, and slept, and looked again.
    scene.stalled_checks(2).await;
    let now = scene.snapshot().await;
    assert!(ours.runs().is_empty());
    assert!(now.score("marker", "0").is_none(), "a signal to work at a queue that is paused");
    assert_eq!(now.hash("meta")["paused"], "1");

    scene.node.queue("resume", json!([])).await;
    scene.once_in("completed", 3).await;
    let mut ran = ours.ran();
    ran.sort();
    assert_eq!(ran, ids);
    ours.stop().await;
}
