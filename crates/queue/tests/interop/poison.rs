//! Jobs that no client of BullMQ can read, once our worker has failed them.

use serde_json::json;

use crate::{
    ours::quick,
    scenario::{PREFIX, Scenario},
    scenarios,
};

scenarios![node_lists_what_we_have_failed, freed_slot_wakes_node];

async fn node_lists_what_we_have_failed(scenario: &Scenario) {
    let broken =
        [("data", "{oops"), ("opts", "[1"), ("opts", "null"), ("progress", "{"), ("parent", "{"), ("data", "")];
    for (n, (field, value)) in broken.iter().enumerate() {
        scenario.write_raw(&format!("broken-{n}"), &json!({}), &json!({})).await;
        scenario.redis.command::<i64>(&["HSET", &format!("{PREFIX}broken-{n}"), field, value]).await;
    }
    scenario.write_raw("nameless", &json!({}), &json!({})).await;
    scenario.redis.cmd::<i64>(&format!("HDEL {PREFIX}nameless name")).await;
    scenario.write_raw("cut", &json!({}), &json!({})).await;
    scenario.redis.command::<i64>(&["HSET", &format!("{PREFIX}cut"), "data", r#"{"to":"\ud83d"}"#]).await;
    let listed = scenario.node.request("queue", json!({"call": "getJobs", "args": [["wait"]]})).await;
    assert!(listed.is_err(), "the list of waiting jobs is broken: {listed:?}");
    let ours = scenario.ours(quick()).await;
    scenario.once_in("failed", broken.len() + 1).await;
    scenario.once_in("completed", 1).await;
    let listed = scenario.node.queue("getJobs", json!([["failed"]])).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(broken.len() + 1));
    ours.stop().await;
    // The cut emoji is read by Node as it is, but not by the check of the layout.
    scenario.redis.cmd::<i64>(&format!("HSET {PREFIX}cut data {{}}")).await;
}

async fn freed_slot_wakes_node(scenario: &Scenario) {
    scenario.queue.set_global_concurrency(Some(1)).await.expect("set");
    let ours = scenario.ours(quick()).await;
    scenario.node.add(json!({"gated": 1}), json!({})).await;
    scenario.once_in("active", 1).await;
    scenario.node.worker("n", json!({"drainDelay": crate::scenario::DRAIN_DELAY})).await;
    scenario.node.add(json!({}), json!({})).await;
    // Node finds the queue full, and sleeps on the marker, which is gone.
    examhall_testkit::eventually("Node sleeps", crate::scenario::TIMEOUT, async || {
        let gone = scenario.redis.cmd::<i64>(&format!("EXISTS {PREFIX}marker")).await == 0;
        let asleep = scenario.redis.cmd::<String>("INFO clients").await.contains("blocked_clients:1\r");
        (gone && asleep).then_some(())
    })
    .await;
    let before = crate::scenario::now_ms();
    let stopping = async {
        ours.release(1);
        ours.stop().await;
    };
    stopping.await;
    let runs = scenario.node.after_runs(1).await;
    assert!(runs[0].at - before < crate::scenario::PROMPT, "{} ms", runs[0].at - before);
    scenario.once_in("completed", 2).await;
}
