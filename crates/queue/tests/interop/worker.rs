//! Node's producer, our worker: A11, A12 and A19 to A21.

use std::time::Duration;

use examhall_queue::Retention;
use examhall_testkit::eventually;
use serde_json::{Value, json};

use crate::{
    ours::quick,
    scenario::{DRAIN_DELAY, PROMPT, Scenario, TIMEOUT, now_ms},
    scenarios,
};

scenarios![
    a11_node_sees_that_our_worker_completed_its_job,
    a12_result_null_is_read_by_queue_events,
    a19_idle_worker_is_woken_by_a_job_of_node,
    a20_node_sees_progress_and_the_newest_log_lines,
    a21_finished_jobs_are_kept_as_their_options_say,
];

async fn a11_node_sees_that_our_worker_completed_its_job(scenario: &Scenario) {
    scenario.node.listen().await;
    let value = json!({"messageId": "<1@x>"});
    let id = scenario.node.add(json!({"i": 1, "value": value}), json!({})).await;
    let wait_until_finished = scenario.node.job(&id, "waitUntilFinished", json!([30_000]));
    let (ours, result) = tokio::join!(scenario.ours(quick()), wait_until_finished);
    assert_eq!(result, value);
    let now = scenario.once_in("completed", 1).await;
    assert_eq!(scenario.node.job(&id, "getState", json!([])).await, "completed");
    let hash = now.hash(&id);
    assert_eq!(now.json(&id, "returnvalue"), value);
    assert_eq!([&hash["atm"], &hash["ats"], &hash["pb"]], ["1", "1", "rust-1"]);
    assert_eq!(now.score("completed", &id), hash["finishedOn"].parse().ok());
    assert!(hash["processedOn"] <= hash["finishedOn"]);
    ours.stop().await;
}

async fn a12_result_null_is_read_by_queue_events(scenario: &Scenario) {
    scenario.node.listen().await;
    let ours = scenario.ours(quick()).await;
    let ids = [scenario.node.add(json!({}), json!({})).await, scenario.node.add(json!({"value": 7}), json!({})).await];
    let both = || async { Some(scenario.node.seen("completed")).filter(|seen| seen.len() == 2) };
    let mut seen = eventually("two jobs completed", TIMEOUT, both).await;
    seen.sort_by_key(|event| event["jobId"].as_str().map(ToOwned::to_owned));
    assert_eq!(seen.iter().map(|event| event["jobId"].clone()).collect::<Vec<_>>(), ids);
    assert_eq!([&seen[0]["returnvalue"], &seen[1]["returnvalue"]], [&Value::Null, &json!(7)]);
    let now = scenario.snapshot().await;
    assert_eq!(now.hash(&ids[0])["returnvalue"], "null");
    let event = now.events_of(&ids[0]).pop().expect("an event");
    assert_eq!(event.field("returnvalue"), "null");
    ours.stop().await;
}

async fn a19_idle_worker_is_woken_by_a_job_of_node(scenario: &Scenario) {
    let drain_delay = Duration::from_secs(DRAIN_DELAY);
    let ours = scenario.ours(quick().drain_delay(drain_delay)).await;
    // Long enough for a block to end without a job.
    tokio::time::sleep(Duration::from_secs(DRAIN_DELAY + 2)).await;
    let added = now_ms();
    scenario.node.add(json!({}), json!({})).await;
    let late = ours.after_runs(1).await[0].at - added;
    assert!(late <= PROMPT, "it started {late} ms after it was added");

    let added = now_ms();
    scenario.node.add(json!({}), json!({"delay": 1500})).await;
    let late = ours.after_runs(2).await[1].at - added;
    assert!((1500..1500 + PROMPT).contains(&late), "it started {late} ms after it was added");

    // A lost marker delays a job by the longest block at most.
    scenario.once_in("completed", 2).await;
    let added = now_ms();
    scenario.write_raw("unannounced", &json!({}), &json!({})).await;
    let late = ours.after_runs(3).await[2].at - added;
    assert!(late <= DRAIN_DELAY.cast_signed() * 1000 + PROMPT, "it started {late} ms after it was added");
    scenario.once_in("completed", 3).await;
    ours.stop().await;
}

async fn a20_node_sees_progress_and_the_newest_log_lines(scenario: &Scenario) {
    scenario.node.listen().await;
    let (progress, log) = (json!([42, {"step": "x"}]), json!(["first", "second", "third"]));
    let id = scenario.node.add(json!({"progress": progress, "log": log}), json!({"keepLogs": 2})).await;
    let ours = scenario.ours(quick()).await;
    let now = scenario.once_in("completed", 1).await;
    let both = || async { Some(scenario.node.seen("progress")).filter(|seen| seen.len() == 2) };
    let seen = eventually("Node sees the progress", TIMEOUT, both).await;
    assert_eq!(seen, [json!({"jobId": id, "data": 42}), json!({"jobId": id, "data": {"step": "x"}})]);
    assert_eq!(now.json(&id, "progress"), json!({"step": "x"}));
    let logs = scenario.node.queue("getJobLogs", json!([id])).await;
    assert_eq!(logs, json!({"logs": ["second", "third"], "count": 2}));
    ours.stop().await;
}

async fn a21_finished_jobs_are_kept_as_their_options_say(scenario: &Scenario) {
    scenario.node.listen().await;
    let remove = Retention::Remove;
    let ours = scenario.ours(quick().remove_on_complete(remove).remove_on_fail(remove)).await;
    for (option, state, data) in [
        ("removeOnComplete", "completed", json!({"value": {"kept": 1}})),
        ("removeOnFail", "failed", json!({"unrecoverable": "no"})),
    ] {
        // The worker's retention applies to jobs without one.
        let mut id = String::new();
        for options in [json!({}), json!({option: true})] {
            id = scenario.node.add(data.clone(), options).await;
            let now = scenario.once("its end", |now| now.events_of(&id).iter().any(|event| event.name == state)).await;
            assert!(now.hash(&id).is_empty() && now.members(state).is_empty());
        }
        let event = || async { scenario.node.seen(state).into_iter().find(|event| event["jobId"] == id) };
        let event = eventually("Node sees the end", TIMEOUT, event).await;
        assert_eq!(event.get("returnvalue"), data.get("value"), "{event}");

        let ended = async |id: &str| {
            let id = id.to_owned();
            scenario.once("its end", move |now| now.members(state).contains(&id)).await
        };
        let mut ids = Vec::new();
        for _ in 0..3 {
            let id = scenario.node.add(data.clone(), json!({option: 2})).await;
            let now = ended(&id).await;
            if ids.is_empty() {
                scenario.node.queue("addJobLog", json!([id, "a line", 10])).await;
            } else {
                assert!(now.members(state).contains(&ids[ids.len() - 1]));
            }
            ids.push(id);
        }
        let now = scenario.snapshot().await;
        assert_eq!(now.members(state), ids[1..]);
        assert!(now.hash(&ids[0]).is_empty() && now.members(&format!("{}:logs", ids[0])).is_empty());

        let old = scenario.node.add(data.clone(), json!({option: {"age": 1}})).await;
        let finished: i64 = ended(&old).await.hash(&old)["finishedOn"].parse().expect("ms");
        let old_enough = || async { (now_ms() - finished > 1500).then_some(()) };
        eventually("it is older than a second", TIMEOUT, old_enough).await;
        let new = scenario.node.add(data, json!({option: {"age": 1}})).await;
        let now = ended(&new).await;
        assert_eq!((now.members(state), now.hash(&old).is_empty()), (vec![new], true));
    }
    ours.stop().await;
}
