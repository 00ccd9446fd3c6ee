//! Rate limits and metrics of workers: L1 to L4.

use std::time::Duration;

use examhall_queue::{EndedState, Error, ManualWorker, Outcome, RateLimit, WorkerOptions};
use examhall_testkit::eventually;
use serde_json::{Value, json};

use crate::{
    ours::quick,
    scenario::{DRAIN_DELAY, PREFIX, PROMPT, Scenario, TIMEOUT, now_ms},
    scenarios,
    twins::assert_same,
};

scenarios![
    l1_limit_of_a_worker_is_shared_with_node,
    l2_limit_of_the_queue_wins,
    l3_metrics_are_written_as_by_node,
    l4_manual_rate_limit_stops_both,
    l5_limited_worker_takes_no_wake_up_from_others,
];

fn limited(jobs: u32, period: Duration) -> WorkerOptions {
    quick().limiter(RateLimit::new(jobs, period))
}

async fn limiter(scenario: &Scenario) -> (Option<String>, i64) {
    let (count, ttl) = (format!("GET {PREFIX}limiter"), format!("PTTL {PREFIX}limiter"));
    (scenario.redis.cmd(&count).await, scenario.redis.cmd(&ttl).await)
}

async fn l1_limit_of_a_worker_is_shared_with_node(scenario: &Scenario) {
    for n in 0..9 {
        scenario.node.add(json!(n), json!({})).await;
    }
    let hour = Duration::from_hours(1);
    let ours = scenario.ours(limited(3, hour)).await;
    scenario.once_in("completed", 3).await;
    let (count, ttl) = limiter(scenario).await;
    assert_eq!(count.as_deref(), Some("3"));
    assert!((3_000_000..=3_600_000).contains(&ttl), "{ttl}");
    ours.stop().await;

    // Node counts on from there: two more.
    let theirs = json!({"limiter": {"max": 5, "duration": 3_600_000}});
    scenario.node.worker("node", theirs).await;
    scenario.once_in("completed", 5).await;
    assert_eq!(limiter(scenario).await.0.as_deref(), Some("5"));
    // And we from there: one more.
    let ours = scenario.ours(limited(6, hour)).await;
    scenario.once_in("completed", 6).await;
    assert_eq!(scenario.queue.rate_limit_ttl(Some(7)).await.expect("read"), None);
    assert!(scenario.queue.rate_limit_ttl(Some(6)).await.expect("read").is_some());
    ours.stop().await;
    assert_eq!(scenario.queue.counts().await.expect("counted").waiting, 3);

    // A worker without a limit neither counts nor waits.
    let ours = scenario.ours(quick()).await;
    scenario.once_in("completed", 9).await;
    assert_eq!(limiter(scenario).await.0.as_deref(), Some("6"));
    ours.stop().await;
    for (options, option) in [
        (limited(0, hour), "limiter"),
        (limited(1, Duration::ZERO), "limiter"),
        (limited(1, Duration::MAX), "limiter"),
        (quick().metrics(0), "metrics"),
        (quick().metrics(u32::MAX), "metrics"),
    ] {
        let refused = ManualWorker::new(scenario.queue.clone(), options).err();
        assert!(matches!(refused, Some(Error::BadOption { option: named, .. }) if named == option), "{refused:?}");
    }
}

async fn l2_limit_of_the_queue_wins(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    for scenario in [theirs, ours] {
        scenario.node.queue("setGlobalRateLimit", json!([2, 60_000])).await;
        for n in 0..5 {
            scenario.node.add(json!(n), json!({})).await;
        }
    }
    theirs.node.worker("rust-1", json!({"limiter": {"max": 4, "duration": 3_600_000}})).await;
    let worker = ours.ours(limited(4, Duration::from_hours(1))).await;
    for scenario in [theirs, ours] {
        scenario.once_in("completed", 2).await;
        let (count, ttl) = limiter(scenario).await;
        assert_eq!(count.as_deref(), Some("2"));
        assert!(ttl > 60_000, "the worker's period counts: {ttl}");
        assert_eq!(scenario.queue.counts().await.expect("counted").waiting, 3);
    }
    worker.stop().await;
    ours.check().await;
}

async fn l3_metrics_are_written_as_by_node(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    for scenario in [theirs, ours] {
        scenario.node.queue("getMeta", json!([])).await; // Node writes its version
    }
    let options = json!({"metrics": {"maxDataPoints": 4}, "concurrency": 1});
    theirs.node.worker("rust-1", options).await;
    let worker = ours.ours(quick().metrics(4).concurrency(1)).await;
    let (mut done, mut failed) = (0, 0);
    for (minutes_ago, jobs) in [(0, 2), (0, 1), (1, 2), (3, 1), (0, 1), (9, 3), (1, 0)] {
        for scenario in [theirs, ours] {
            let_pass(scenario, minutes_ago).await;
        }
        let minute = || now_ms() / 60_000;
        let before = minute();
        for scenario in [theirs, ours] {
            for _ in 0..jobs {
                scenario.node.add(json!({}), json!({})).await;
            }
            scenario.node.add(json!({"failures": 9}), json!({})).await;
        }
        (done, failed) = (done + jobs, failed + 1);
        for scenario in [theirs, ours] {
            scenario.once_in("completed", done).await;
            scenario.once_in("failed", failed).await;
            let count = format!("HGET {PREFIX}metrics:failed count");
            assert_eq!(scenario.redis.cmd::<usize>(&count).await, failed);
        }
        if minute() != before {
            return worker.stop().await; // the clock's minute ended between the two
        }
        for key in ["metrics:completed", "metrics:failed"] {
            let [theirs, ours] = [theirs.snapshot().await, ours.snapshot().await];
            for field in ["count", "prevCount"] {
                assert_eq!(ours.hash(key).get(field), theirs.hash(key).get(field), "{key} {field}, {minutes_ago}");
            }
            let data = format!("{key}:data");
            assert_eq!(ours.members(&data), theirs.members(&data), "{data}, {minutes_ago} minutes, {jobs} jobs");
        }
    }
    for scenario in [theirs, ours] {
        assert_read_as_by_node(scenario).await;
    }
    worker.stop().await;
    ours.check().await;
}

/// Acts as if minutes had passed: the last minute of the metrics is that much older.
async fn let_pass(scenario: &Scenario, minutes: i64) {
    for set in ["completed", "failed"] {
        let key = format!("{PREFIX}metrics:{set}");
        if scenario.redis.cmd::<i64>(&format!("HEXISTS {key} prevTS")).await == 1 {
            scenario.redis.cmd::<i64>(&format!("HINCRBY {key} prevTS {}", -60_000 * minutes)).await;
        }
    }
}

/// Panics if we read other metrics than Node.
async fn assert_read_as_by_node(scenario: &Scenario) {
    for state in [EndedState::Completed, EndedState::Failed] {
        let node = scenario.node.queue("getMetrics", json!([state.as_str(), 0, 2])).await;
        let metrics = scenario.queue.metrics(state, 0, 2).await.expect("read");
        let meta =
            json!({"count": metrics.count, "prevTS": metrics.previous_time, "prevCount": metrics.previous_count});
        assert_eq!(json!({"meta": meta, "data": metrics.per_minute, "count": metrics.minutes}), node);
    }
}

async fn l4_manual_rate_limit_stops_both(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    for scenario in [theirs, ours] {
        scenario.node.add(json!({}), json!({"jobId": "a"})).await;
        scenario.node.queue("setGlobalRateLimit", json!([5, 1000])).await;
    }
    theirs.node.queue("rateLimit", json!([3_600_000])).await;
    ours.queue.rate_limit(Duration::from_hours(1)).await.expect("set");
    assert_same(theirs, ours, "rateLimit").await;
    for scenario in [theirs, ours] {
        let worker = ManualWorker::new(scenario.queue.clone(), quick()).expect("good options");
        assert!(worker.get_next_job("t").await.expect("asked").is_none());
        let taken = scenario.node.request("take", json!({"token": "t"})).await.expect("asked");
        assert_eq!(taken, Value::Null);
        scenario.queue.clear_rate_limit().await.expect("cleared");
        assert!(worker.get_next_job("t").await.expect("asked").is_some());
        worker.finish_job("a", "t", Outcome::Completed(Value::Null)).await.expect("ended");
    }
    ours.check().await;
}

async fn l5_limited_worker_takes_no_wake_up_from_others(scenario: &Scenario) {
    let is_blocked = async |worker: &str| {
        let clients: String = scenario.redis.cmd("CLIENT LIST").await;
        clients.lines().any(|line| line.contains(&format!(":w:{worker} ")) && line.contains(" flags=b "))
    };
    let waits = async |worker: &str| {
        let is_blocked = || async { is_blocked(worker).await.then_some(()) };
        eventually(&format!("{worker} waits for the marker"), TIMEOUT, is_blocked).await;
    };
    let options = limited(1, Duration::from_hours(1)).drain_delay(Duration::from_secs(DRAIN_DELAY));
    let ours = scenario.ours(options).await;
    waits("rust-1").await;
    scenario.node.add(json!({}), json!({})).await;
    ours.after_runs(1).await;
    scenario.once_in("completed", 1).await;
    scenario.node.worker("node", json!({"drainDelay": DRAIN_DELAY})).await;
    waits("node").await;
    assert!(!is_blocked("rust-1").await, "the marker is left to Node");
    for n in 2..5 {
        let added = now_ms();
        scenario.node.add(json!({}), json!({})).await;
        let run = scenario.node.after_runs(n - 1).await.pop().expect("a run");
        assert!(run.at - added <= PROMPT, "it ran {} ms after it was added", run.at - added);
        scenario.once_in("completed", n).await;
    }
    assert_eq!(ours.runs().len(), 1);
    ours.stop().await;
}
