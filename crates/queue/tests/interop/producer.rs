//! Our producer, Node's worker: A1 to A10.

use std::time::Duration;

use examhall_queue::{Backoff, Connection, Error, JobOptions, NewJob, Queue, Retention, RetryPolicy};
use examhall_testkit::eventually;
use serde_json::{Value, json};

use crate::{
    scenario::{DRAIN_DELAY, PROMPT, Scenario, TIMEOUT, connect, now_ms},
    scenarios,
};

scenarios![
    a01_node_runs_a_plain_job_at_once,
    a02_hash_has_exactly_the_fields_of_bullmq,
    a03_node_worker_accepts_absent_options,
    a04_node_runs_jobs_in_order_and_lifo_jobs_first,
    a05_node_runs_priorities_in_order,
    a06_node_runs_a_delayed_job_when_it_is_due,
    a07_sooner_delay_wakes_a_worker_blocked_for_a_later_one,
    a08_node_runs_500_added_jobs_once_each,
    a09_adding_an_existing_id_changes_nothing,
    a10_invalid_jobs_are_rejected_before_a_write,
];

fn options() -> JobOptions {
    JobOptions::default()
}

/// Adds a job with a label in its data.
async fn add_labelled(scenario: &Scenario, label: &str, options: JobOptions) -> String {
    scenario.add(json!({"label": label}), options).await
}

fn labels(runs: &[crate::node::NodeRun]) -> Vec<&str> {
    runs.iter().filter_map(|run| run.job["data"]["label"].as_str()).collect()
}

async fn a01_node_runs_a_plain_job_at_once(scenario: &Scenario) {
    scenario.node.worker("node-1", json!({"drainDelay": DRAIN_DELAY})).await;
    let data = json!({"to": "ü@x", "n": 1.5});
    let added = now_ms();
    assert_eq!(scenario.add(data.clone(), options()).await, "1");
    let run = scenario.node.after_runs(1).await.remove(0);
    assert!(run.at - added <= PROMPT, "it ran {} ms after it was added", run.at - added);
    assert_eq!((&run.job["data"], &run.job["name"]), (&data, &json!("mail")));
    assert_eq!((&run.job["attemptsMade"], &run.job["attemptsStarted"]), (&json!(0), &json!(1)));
    assert_eq!(scenario.add(data, options()).await, "2");
    let now = scenario.once_in("completed", 2).await;
    assert_eq!(now.history_of("1"), ["added", "waiting", "active<waiting", "completed<active"]);
    assert_eq!(now.events_of("1")[0].field("name"), "mail");
}

async fn a02_hash_has_exactly_the_fields_of_bullmq(scenario: &Scenario) {
    let id = scenario
        .add(
            json!({}),
            options()
                .retry(RetryPolicy::new(5, Backoff::exponential(Duration::from_secs(1))))
                .remove_on_complete(Retention::age(Duration::from_hours(1)).count(1000))
                .remove_on_fail(Retention::Newest(500))
                .keep_logs(5),
        )
        .await;
    let now = scenario.snapshot().await;
    let hash = now.hash(&id);
    let fields: Vec<_> = hash.keys().map(String::as_str).collect();
    assert_eq!(fields, ["data", "delay", "name", "opts", "priority", "timestamp"]);
    assert_eq!((hash["delay"].as_str(), hash["priority"].as_str()), ("0", "0"));
    assert_eq!(now.members("wait"), [id.as_str()]);
    assert_eq!((now.members("marker"), now.score("marker", "0")), (vec!["0".to_owned()], Some(0.0)));
    assert_eq!(now.hash("meta")["opts.maxLenEvents"], "10000");
    let job = scenario.node.queue("getJob", json!([id])).await;
    assert_eq!(
        job["opts"],
        json!({
            "attempts": 5, "backoff": {"type": "exponential", "delay": 1000}, "keepLogs": 5,
            "removeOnComplete": {"age": 3600, "count": 1000}, "removeOnFail": 500,
        })
    );
}

async fn a03_node_worker_accepts_absent_options(scenario: &Scenario) {
    let (good, bad) = (scenario.add(json!({}), options()).await, scenario.add(json!({"failures": 1}), options()).await);
    scenario.node.worker("node-1", json!({"stalledInterval": 500, "lockDuration": 1000})).await;
    scenario.once("both end", |now| now.members("completed") == [&*good] && now.members("failed") == [&*bad]).await;
    scenario.stalled_checks(3).await;
    assert_eq!(scenario.node.messages("worker-error"), Vec::<Value>::new());
    assert_eq!(scenario.node.runs().len(), 2);
}

async fn a04_node_runs_jobs_in_order_and_lifo_jobs_first(scenario: &Scenario) {
    for label in ["a", "b", "c"] {
        add_labelled(scenario, label, options()).await;
    }
    add_labelled(scenario, "d", options().lifo(true)).await;
    scenario.node.worker("node-1", json!({"concurrency": 1})).await;
    assert_eq!(labels(&scenario.node.after_runs(4).await), ["d", "a", "b", "c"]);
    scenario.once_in("completed", 4).await;
}

async fn a05_node_runs_priorities_in_order(scenario: &Scenario) {
    let mut ids = Vec::new();
    for (label, priority) in [("p5", 5), ("p1a", 1), ("p1b", 1), ("std", 0), ("p2", 2)] {
        ids.push((add_labelled(scenario, label, options().priority(priority)).await, priority));
    }
    let now = scenario.snapshot().await;
    let mut before = 0.0;
    for (id, priority) in ids {
        assert_eq!(now.hash(&id)["priority"], priority.to_string());
        let score = now.score("prioritized", &id);
        assert_eq!(score.is_some(), priority > 0);
        if let Some(score) = score {
            let counter = score - f64::from(priority) * 4_294_967_296.0;
            assert!(counter > before && counter < 100.0, "priority {priority} scores {score}");
            before = counter;
        }
    }
    scenario.node.worker("node-1", json!({"concurrency": 1})).await;
    assert_eq!(labels(&scenario.node.after_runs(5).await), ["std", "p1a", "p1b", "p2", "p5"]);
    scenario.once_in("completed", 5).await;
}

async fn a06_node_runs_a_delayed_job_when_it_is_due(scenario: &Scenario) {
    scenario.node.worker("node-1", json!({"drainDelay": DRAIN_DELAY})).await;
    let added = now_ms();
    let id = scenario.add(json!({}), options().delay(Duration::from_secs(2))).await;
    let now = scenario.snapshot().await;
    let due: i64 = now.hash(&id)["timestamp"].parse::<i64>().expect("a number") + 2000;
    #[expect(clippy::cast_precision_loss, reason = "exact until 2039")]
    let score = (due * 4096) as f64;
    assert_eq!(now.score("delayed", &id), Some(score));
    assert_eq!(now.hash(&id)["delay"], "2000");
    let delayed = now.events_of(&id).into_iter().find(|event| event.name == "delayed").expect("an event");
    assert_eq!(delayed.field("delay"), due.to_string());
    let run = scenario.node.after_runs(1).await.remove(0);
    assert!((2000..2000 + PROMPT).contains(&(run.at - added)), "it ran {} ms after it was added", run.at - added);
    let now = scenario.once_in("completed", 1).await;
    assert_eq!(now.hash(&id)["delay"], "0");
    let history = ["added", "delayed", "waiting<delayed", "active<waiting", "completed<active"];
    assert_eq!(now.history_of(&id), history);
}

async fn a07_sooner_delay_wakes_a_worker_blocked_for_a_later_one(scenario: &Scenario) {
    scenario.node.worker("node-1", json!({"drainDelay": DRAIN_DELAY})).await;
    let later = scenario.add(json!({}), options().delay(Duration::from_secs(20))).await;
    // The worker consumes the marker of the later job and blocks again.
    scenario.once("the marker is consumed", |now| now.members("marker").is_empty()).await;
    let added = now_ms();
    let sooner = scenario.add(json!({}), options().delay(Duration::from_millis(500))).await;
    let run = scenario.node.after_runs(1).await.remove(0);
    assert_eq!(run.id(), sooner);
    assert!((500..500 + PROMPT).contains(&(run.at - added)), "it ran {} ms after it was added", run.at - added);
    assert_eq!(scenario.once_in("completed", 1).await.members("delayed"), [later]);
}

async fn a08_node_runs_500_added_jobs_once_each(scenario: &Scenario) {
    let jobs: Vec<_> = (0..500_u32)
        .map(|number| {
            NewJob::new("mail", json!({"label": number.to_string()})).options(
                options().priority(if number % 3 == 1 { number % 5 + 1 } else { 0 }).delay(if number % 3 == 2 {
                    Duration::from_millis(500)
                } else {
                    Duration::ZERO
                }),
            )
        })
        .collect();
    let ids = scenario.queue.add_all(&jobs).await.expect("added");
    let expected: Vec<_> = (1..=500).map(|id| id.to_string()).collect();
    assert_eq!(ids, expected);
    let counts = scenario.node.queue("getJobCounts", json!(["wait", "prioritized", "delayed"])).await;
    assert_eq!(counts, json!({"wait": 167, "prioritized": 167, "delayed": 166}));
    scenario.node.worker("node-1", json!({"concurrency": 20})).await;
    scenario.once_in("completed", 500).await;
    let mut ran: Vec<_> = scenario.node.runs().iter().map(|run| run.id().to_owned()).collect();
    ran.sort_by_key(|id| id.parse::<u32>().ok());
    assert_eq!(ran, expected);
}

async fn a09_adding_an_existing_id_changes_nothing(scenario: &Scenario) {
    let id = "exam-7-inv-3";
    let mine = || options().job_id(id);
    assert_eq!(scenario.add(json!({}), mine()).await, id);
    assert_eq!(scenario.add(json!({}), mine()).await, id);
    assert_eq!(scenario.node.add(json!({}), json!({"jobId": id})).await, id);
    let now = scenario.snapshot().await;
    assert_eq!(now.history_of(id), ["added", "waiting", "duplicated", "duplicated"]);
    assert_eq!(now.members("wait"), [id]);
    assert_eq!(now.text("id"), "3");
    scenario.node.worker("node-1", json!({})).await;
    scenario.once_in("completed", 1).await;
    assert_eq!(scenario.add(json!({}), mine()).await, id);
    // A job that was added later has run, so this one would have run, too.
    let next = scenario.add(json!({}), options()).await;
    scenario.once("the next job ends", |now| now.members("completed").contains(&next)).await;
    assert_eq!(scenario.node.runs().iter().filter(|run| run.id() == id).count(), 1);
}

/// A priority below 0 has no type: it is a `u32`.
async fn a10_invalid_jobs_are_rejected_before_a_write(scenario: &Scenario) {
    // Node's queue writes its `meta` at its first use.
    scenario.node.queue("waitUntilReady", json!([])).await;
    let size = || async { scenario.redis.cmd::<i64>("DBSIZE").await };
    eventually("Node's meta", TIMEOUT, || async { (size().await > 0).then_some(()) }).await;
    let before = size().await;
    let add = async |options: JobOptions| {
        let refused = scenario.queue.add(NewJob::new("mail", json!({})).options(options)).await;
        refused.expect_err("refused")
    };
    for id in ["123", "0", "0:x", "a:b", "meta", "wait", "events", ""] {
        let error = add(options().job_id(id)).await;
        assert!(matches!(error, Error::BadJobId { .. }), "{id:?}: {error}");
    }
    let error = add(options().priority(2_097_152)).await;
    assert!(matches!(error, Error::BadPriority(2_097_152)), "{error}");
    let connection: Connection = connect(&scenario.redis.url()).await;
    let error = Queue::<Value>::new(connection, "bull", "a:b").expect_err("refused");
    assert!(matches!(error, Error::BadQueueName { .. }), "{error}");
    assert_eq!(size().await, before);
}
