//! Verbs of operators: V1 to V5, by Node on one queue and by us on another, which then are the same.

use std::time::Duration;

use examhall_queue::{Among, Attempts, EndedState, Error, JobOptions, NewJob, QueueMeta, RateLimit, RetryJobs};
use serde_json::json;

use crate::{
    ours::quick,
    scenario::{PREFIX, Scenario},
    scenarios,
    twins::assert_same,
};

scenarios![
    v1_edits_of_jobs_are_those_of_node,
    v2_deduplication_ids_are_read_and_freed,
    v3_limits_are_read_by_both,
    v4_ended_jobs_are_retried_in_bulk,
    v5_counts_are_those_of_node,
    v6_options_are_written_and_read_as_by_node,
];

/// Adds jobs `a`, `b` and `c` without a priority, `p` and `q` with one, and `later` with a delay.
async fn fill(scenario: &Scenario) {
    for id in ["a", "b", "c"] {
        scenario.node.add(json!({"value": id}), json!({"jobId": id})).await;
    }
    for (id, priority) in [("p", 3), ("q", 5)] {
        scenario.node.add(json!({}), json!({"jobId": id, "priority": priority})).await;
    }
    scenario.node.add(json!({}), json!({"jobId": "later", "delay": 60_000})).await;
}

async fn v1_edits_of_jobs_are_those_of_node(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    fill(theirs).await;
    fill(ours).await;
    let (node, queue) = (&theirs.node, &ours.queue);

    node.job("a", "updateData", json!([{"to": "ü@x"}])).await;
    queue.update_data("a", &json!({"to": "ü@x"})).await.expect("updated");
    assert_same(theirs, ours, "updateData").await;

    node.job("a", "updateProgress", json!([{"step": 1}])).await;
    queue.set_progress("a", &json!({"step": 1})).await.expect("stored");
    assert_same(theirs, ours, "updateProgress").await;

    for line in ["one", "two", "three"] {
        node.job("a", "log", json!([line])).await;
        queue.add_log("a", line, None).await.expect("stored");
    }
    assert_same(theirs, ours, "log").await;
    node.job("a", "clearLogs", json!([2])).await;
    queue.clear_logs("a", 2).await.expect("cleared");
    assert_same(theirs, ours, "clearLogs(2)").await;
    node.job("a", "clearLogs", json!([])).await;
    queue.clear_logs("a", 0).await.expect("cleared");
    assert_same(theirs, ours, "clearLogs").await;

    node.job("later", "changeDelay", json!([120_000])).await;
    queue.change_delay("later", Duration::from_mins(2)).await.expect("changed");
    assert_same(theirs, ours, "changeDelay").await;
    let due = async |scenario: &Scenario| scenario.snapshot().await.score("delayed", "later").expect("delayed");
    let apart = (due(theirs).await - due(ours).await).abs() / 4096.0;
    assert!(apart < 30_000.0, "the times due are {apart} ms apart");

    for (id, priority, lifo) in
        [("b", 4, false), ("c", 5, true), ("q", 3, true), ("p", 0, false), ("later", 7, false), ("c", 0, true)]
    {
        node.job(id, "changePriority", json!([{"priority": priority, "lifo": lifo}])).await;
        let among = if lifo { Among::First } else { Among::Last };
        queue.change_priority(id, priority, among).await.expect("changed");
        assert_same(theirs, ours, &format!("changePriority of {id} to {priority}, lifo {lifo}")).await;
    }

    assert!(matches!(queue.change_delay("a", Duration::ZERO).await, Err(Error::WrongState { .. })));
    assert!(matches!(queue.change_priority("a", 2_097_152, Among::Last).await, Err(Error::BadPriority(_))));
    for missing in [
        queue.update_data("none", &json!(1)).await,
        queue.change_delay("none", Duration::ZERO).await,
        queue.change_priority("none", 1, Among::Last).await,
        queue.set_progress("none", &1).await,
        queue.add_log("none", "line", None).await.map(drop),
    ] {
        assert!(matches!(missing, Err(Error::NotFound(_))), "{missing:?}");
    }
    assert_same(theirs, ours, "refused calls").await;
    ours.check().await;
}

async fn v2_deduplication_ids_are_read_and_freed(scenario: &Scenario) {
    let options = json!({"deduplication": {"id": "d"}});
    let id = scenario.node.add(json!({}), options.clone()).await;
    assert_eq!(scenario.queue.deduplication_owner("d").await.expect("read"), Some(id.clone()));
    assert_eq!(scenario.queue.deduplication_owner("other").await.expect("read"), None);
    assert!(!scenario.queue.free_deduplication_id("d", Some("other")).await.expect("asked"));
    assert!(scenario.queue.free_deduplication_id("d", Some(&id)).await.expect("freed"));
    assert!(!scenario.queue.free_deduplication_id("d", None).await.expect("asked"), "it is free");
    let second = scenario.node.add(json!({}), options).await;
    assert_ne!(second, id);
    assert_eq!(scenario.node.queue("getDeduplicationJobId", json!(["d"])).await, second.as_str());
    assert!(scenario.queue.free_deduplication_id("d", None).await.expect("freed"));
    assert_eq!(scenario.node.queue("getDeduplicationJobId", json!(["d"])).await, json!(null));
}

async fn v3_limits_are_read_by_both(scenario: &Scenario) {
    let (node, queue) = (&scenario.node, &scenario.queue);
    let limit = RateLimit::new(7, Duration::from_secs(2));
    assert_eq!(queue.global_rate_limit().await.expect("read"), None);
    node.queue("setGlobalRateLimit", json!([7, 2000])).await;
    node.queue("setGlobalConcurrency", json!([1])).await;
    assert_eq!(queue.global_rate_limit().await.expect("read"), Some(limit));
    assert_eq!(queue.global_concurrency().await.expect("read"), Some(1));
    let QueueMeta { version, is_paused, max_events, .. } = queue.meta().await.expect("read");
    assert!(version.is_some_and(|version| version.starts_with("bullmq:")));
    assert_eq!((is_paused, max_events), (false, Some(10_000)));
    queue.set_rate_limit(None).await.expect("removed");
    queue.set_global_concurrency(None).await.expect("removed");
    assert_eq!(node.queue("getGlobalRateLimit", json!([])).await, json!(null));
    assert_eq!(node.queue("getGlobalConcurrency", json!([])).await, json!(null));
    queue.set_rate_limit(Some(limit)).await.expect("set");
    queue.set_global_concurrency(Some(1)).await.expect("set");
    assert_eq!(node.queue("getGlobalRateLimit", json!([])).await, json!({"max": 7, "duration": 2000}));
    assert_eq!(node.queue("getGlobalConcurrency", json!([])).await, 1);

    assert_eq!(queue.rate_limit_ttl(None).await.expect("read"), None);
    node.queue("rateLimit", json!([60_000])).await;
    let theirs = scenario.redis.cmd::<String>(&format!("GET {PREFIX}limiter")).await;
    let left = queue.rate_limit_ttl(None).await.expect("read").expect("limited");
    assert!(left <= Duration::from_mins(1), "{left:?}");
    queue.clear_rate_limit().await.expect("cleared");
    assert_eq!(node.queue("getRateLimitTtl", json!([])).await, 0, "below the queue's limit");
    queue.rate_limit(Duration::from_mins(1)).await.expect("set");
    assert_eq!(scenario.redis.cmd::<String>(&format!("GET {PREFIX}limiter")).await, theirs);
    let left = node.queue("getRateLimitTtl", json!([])).await.as_i64().expect("ms");
    assert!((1..=60_000).contains(&left), "{left}");
    scenario.redis.cmd::<String>(&format!("SET {PREFIX}limiter 3 PX 60000")).await;
    assert_eq!(queue.rate_limit_ttl(None).await.expect("read"), None, "3 of 7 are used");
    assert_eq!(queue.rate_limit_ttl(Some(5)).await.expect("read"), None);
    assert!(queue.rate_limit_ttl(Some(3)).await.expect("read").is_some());
    queue.clear_rate_limit().await.expect("cleared");

    assert!(!queue.is_maxed().await.expect("asked"));
    let ours = scenario.ours(quick()).await;
    scenario.node.add(json!({"gated": 1}), json!({})).await;
    ours.after_runs(1).await;
    assert!(queue.is_maxed().await.expect("asked"));
    assert_eq!(node.queue("isMaxed", json!([])).await, true);
    ours.release(1);
    scenario.once_in("completed", 1).await;
    ours.stop().await;
}

async fn v4_ended_jobs_are_retried_in_bulk(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    for scenario in [theirs, ours] {
        let worker = scenario.ours(quick()).await;
        for id in ["a", "b", "c"] {
            scenario.node.add(json!({"failures": 9}), json!({"jobId": format!("failed-{id}")})).await;
            scenario.node.add(json!({}), json!({"jobId": format!("done-{id}")})).await;
            scenario.once("both ended", |now| now.members("active").is_empty() && now.members("wait").is_empty()).await;
        }
        scenario.once_in("failed", 3).await;
        scenario.once_in("completed", 3).await;
        worker.stop().await;
    }
    let (node, queue) = (&theirs.node, &ours.queue);
    let before_all = RetryJobs::default().until(1);
    assert_eq!(queue.retry_jobs(&before_all).await.expect("retried"), 0);
    for state in [EndedState::Completed, EndedState::Failed] {
        node.queue("retryJobs", json!([{"state": state.as_str(), "count": 2}])).await;
        let which = RetryJobs::default().state(state).step(2);
        assert_eq!(queue.retry_jobs(&which).await.expect("retried"), 3);
        let (theirs, ours) = (theirs.snapshot().await, ours.snapshot().await);
        assert_eq!(ours.members("wait"), theirs.members("wait"));
        for id in ["failed-a", "done-a"] {
            let fields = |hash: std::collections::BTreeMap<String, String>| -> Vec<_> {
                hash.into_keys().filter(|field| field != "retriedOn").collect()
            };
            assert_eq!(fields(ours.hash(id)), fields(theirs.hash(id)), "{id} after {state:?}");
            assert_eq!(ours.history_of(id), theirs.history_of(id));
        }
    }
    // Retried with their attempts: each has one more run.
    let worker = ours.ours(quick()).await;
    ours.once_in("failed", 3).await;
    assert_eq!(ours.snapshot().await.hash("failed-a")["atm"], "2");
    worker.stop().await;
    assert_eq!(queue.retry_failed(Some("boom"), Attempts::Reset).await.expect("retried"), 3);
    assert_eq!(ours.snapshot().await.hash("failed-a").get("atm"), None);
    ours.check().await;
}

async fn v5_counts_are_those_of_node(scenario: &Scenario) {
    fill(scenario).await;
    let (node, queue) = (&scenario.node, &scenario.queue);
    scenario.node.add(json!({}), json!({"priority": 3})).await;
    let priorities = [0, 1, 3, 5, 2_097_151];
    let theirs = node.queue("getCountsPerPriority", json!([priorities])).await;
    let ours = queue.counts_per_priority(&priorities).await.expect("counted");
    assert_eq!(ours, priorities.map(|priority| theirs[priority.to_string()].as_u64().expect("a number")));
    assert_eq!(ours, [3, 0, 2, 1, 0]);
    let counts = queue.counts().await.expect("counted");
    let states = [examhall_queue::State::Waiting, examhall_queue::State::Delayed];
    assert_eq!(counts.sum(&states), 4);
    assert_eq!(node.queue("getJobCountByTypes", json!(["wait", "delayed"])).await, 4);
    let due = counts.next_due.expect("a delayed job");
    assert_eq!(queue.delayed_before(due).await.expect("counted"), 0);
    assert_eq!(queue.delayed_before(due + 1).await.expect("counted"), 1);
    assert_eq!(queue.logs("a", 0, 0).await.expect("read"), Vec::<String>::new());
    queue.add_log("a", "one", None).await.expect("stored");
    assert_eq!(queue.logs("a", 0, 0).await.expect("read"), Vec::<String>::new(), "none is asked for");
    assert_eq!(queue.logs("a", 0, 1).await.expect("read"), ["one"]);
    // Stream nodes have 100 entries, and only whole ones are removed.
    for _ in 0..250 {
        queue.set_progress("a", &1).await.expect("stored");
    }
    assert!(queue.trim_events(10).await.expect("trimmed") >= 100);
    let left = scenario.snapshot().await.events().len();
    node.queue("trimEvents", json!([10])).await;
    assert_eq!(scenario.snapshot().await.events().len(), left, "nothing is left for Node to trim");
}

async fn v6_options_are_written_and_read_as_by_node(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    let options = json!({
        "jobId": "all", "attempts": 3, "backoff": {"type": "mine", "delay": 50}, "keepLogs": 4, "stackTraceLimit": 2,
        "removeOnComplete": {"age": 60, "count": 5, "limit": 10}, "removeOnFail": 7, "sizeLimit": 100,
        "timestamp": 1_700_000_000_000_i64, "delay": 5, "priority": 3,
    });
    theirs.node.add(json!({"to": "a"}), options.clone()).await;
    let read = JobOptions::from_json(&options);
    ours.node.queue("getMeta", json!([])).await; // Node writes its version
    ours.add(json!({"to": "a"}), read.clone()).await;
    assert_same(theirs, ours, "a job with all options").await;
    for scenario in [theirs, ours] {
        assert_eq!(scenario.snapshot().await.hash("all")["timestamp"], "1700000000000");
        assert_eq!(scenario.queue.get("all").await.expect("read").expect("there").options, read);
    }

    let long = "x".repeat(200);
    let add = |options: JobOptions| ours.queue.add(NewJob::new("mail", json!({"to": long})).options(options));
    add(JobOptions::default().size_limit(209)).await.expect("added");
    let refused = add(JobOptions::default().size_limit(208)).await.expect_err("too long");
    assert!(matches!(refused, Error::TooLong { bytes: 209, limit: 208 }), "{refused}");
    let request = json!({"call": "add", "args": ["mail", {"to": long}, {"sizeLimit": 208}]});
    let theirs = theirs.node.request("queue", request).await.expect_err("too long");
    assert!(theirs.contains("exceeds the limit"), "{theirs}");
    for time in [0, -1, i64::MAX, 1 << 41] {
        let refused = add(JobOptions::default().timestamp(time)).await.expect_err("no time");
        assert!(matches!(refused, Error::BadTimestamp(_)), "{refused}");
    }
    ours.check().await;
}
