//! Our producer, Node's worker: A1 to A10.

use std::time::Duration;

use examhall_core::{Backoff, RetryPolicy};
use examhall_queue::{Connection, Error, JobOptions, NewJob, Queue, Retention};
use examhall_testkit::eventually;
use serde_json::{Value, json};

use crate::{
    scenarios,
    scene::{DRAIN_DELAY, PATIENCE, PROMPT, Scene, connect, now_ms},
};

scenarios![
    a01_a_plain_job_runs_in_node_at_once,
    a02_a_job_s_hash_holds_exactly_what_bullmq_writes,
    a03_options_that_are_absent_stop_no_node_worker,
    a04_node_runs_jobs_in_their_order_and_the_last_in_first_where_asked,
    a05_node_runs_priorities_in_order,
    a06_node_runs_a_delayed_job_when_it_is_due,
    a07_a_sooner_delay_wakes_a_worker_that_sleeps_for_a_later_one,
    a08_a_bulk_of_500_is_run_once_each,
    a09_a_taken_id_adds_nothing_whoever_adds_it,
    a10_what_readers_would_misread_is_refused_before_any_write,
];

fn options() -> JobOptions {
    JobOptions::default()
}

/// `"mail"` for its name, so `a` as data tells one from another.
async fn add_labelled(scene: &Scene, label: &str, options: JobOptions) -> String {
    scene.add(json!({"label": label}), options).await
}

fn labels(runs: &[crate::node::NodeRun]) -> Vec<&str> {
    runs.iter().filter_map(|run| run.job["data"]["label"].as_str()).collect()
}

async fn a01_a_plain_job_runs_in_node_at_once(scene: &Scene) {
    scene.node.worker("node-1", json!({"drainDelay": DRAIN_DELAY})).await;
    let data = json!({"to": "ü@x", "n": 1.5});
    let added = now_ms();
    assert_eq!(scene.add(data.clone(), options()).await, "1");
    let run = scene.node.after_runs(1).await.remove(0);
    assert!(run.at - added <= PROMPT, "it ran {} ms after it was added", run.at - added);
    assert_eq!((&run.job["data"], &run.job["name"]), (&data, &json!("mail")));
    assert_eq!((&run.job["attemptsMade"], &run.job["attemptsStarted"]), (&json!(0), &json!(1)));
    assert_eq!(scene.add(data, options()).await, "2");
    let now = scene.once_in("completed", 2).await;
    assert_eq!(now.story_of("1"), ["added", "waiting", "active<waiting", "completed<active"]);
    assert_eq!(now.events_of("1")[0].field("name"), "mail");
}

async fn a02_a_job_s_hash_holds_exactly_what_bullmq_writes(scene: &Scene) {
    let id = scene
        .add(
            json!({}),
            JobOptions {
                retry: RetryPolicy { attempts: 5, backoff: Backoff::exponential(Duration::from_secs(1)) },
                remove_on_complete: Some(Retention::For { age: Duration::from_hours(1), count: Some(1000) }),
                remove_on_fail: Some(Retention::Newest(500)),
                keep_logs: Some(5),
                ..options()
            },
        )
        .await;
    let now = scene.snapshot().await;
    let hash = now.hash(&id);
    let fields: Vec<_> = hash.keys().map(String::as_str).collect();
    assert_eq!(fields, ["data", "delay", "name", "opts", "priority", "timestamp"]);
    assert_eq!((hash["delay"].as_str(), hash["priority"].as_str()), ("0", "0"));
    assert_eq!(now.members("wait"), [id.as_str()]);
    assert_eq!((now.members("marker"), now.score("marker", "0")), (vec!["0".to_owned()], Some(0.0)));
    assert_eq!(now.hash("meta")["opts.maxLenEvents"], "10000");
    let job = scene.node.queue("getJob", json!([id])).await;
    assert_eq!(
        job["opts"],
        json!({
            "attempts": 5, "backoff": {"type": "exponential", "delay": 1000}, "keepLogs": 5,
            "removeOnComplete": {"age": 3600, "count": 1000}, "removeOnFail": 500,
        })
    );
}

async fn a03_options_that_are_absent_stop_no_node_worker(scene: &Scene) {
    let (good, bad) = (scene.add(json!({}), options()).await, scene.add(json!({"failures": 1}), options()).await);
    scene.node.worker("node-1", json!({"stalledInterval": 500, "lockDuration": 1000})).await;
    scene.once("both end", |now| now.members("completed") == [&*good] && now.members("failed") == [&*bad]).await;
    scene.stalled_checks(3).await;
    assert_eq!(scene.node.told("worker-error"), Vec::<Value>::new());
    assert_eq!(scene.node.runs().len(), 2);
}

async fn a04_node_runs_jobs_in_their_order_and_the_last_in_first_where_asked(scene: &Scene) {
    for label in ["a", "b", "c"] {
        add_labelled(scene, label, options()).await;
    }
    add_labelled(scene, "d", JobOptions { lifo: true, ..options() }).await;
    scene.node.worker("node-1", json!({"concurrency": 1})).await;
    assert_eq!(labels(&scene.node.after_runs(4).await), ["d", "a", "b", "c"]);
    scene.once_in("completed", 4).await;
}

async fn a05_node_runs_priorities_in_order(scene: &Scene) {
    let mut ids = Vec::new();
    for (label, priority) in [("p5", 5), ("p1a", 1), ("p1b", 1), ("std", 0), ("p2", 2)] {
        ids.push((add_labelled(scene, label, JobOptions { priority, ..options() }).await, priority));
    }
    let now = scene.snapshot().await;
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
    scene.node.worker("node-1", json!({"concurrency": 1})).await;
    assert_eq!(labels(&scene.node.after_runs(5).await), ["std", "p1a", "p1b", "p2", "p5"]);
    scene.once_in("completed", 5).await;
}

async fn a06_node_runs_a_delayed_job_when_it_is_due(scene: &Scene) {
    scene.node.worker("node-1", json!({"drainDelay": DRAIN_DELAY})).await;
    let added = now_ms();
    let id = scene.add(json!({}), JobOptions { delay: Duration::from_secs(2), ..options() }).await;
    let now = scene.snapshot().await;
    let due: i64 = now.hash(&id)["timestamp"].parse::<i64>().expect("a number") + 2000;
    #[expect(clippy::cast_precision_loss, reason = "exact until 2039")]
    let score = (due * 4096) as f64;
    assert_eq!(now.score("delayed", &id), Some(score));
    assert_eq!(now.hash(&id)["delay"], "2000");
    let delayed = now.events_of(&id).into_iter().find(|event| event.name == "delayed").expect("an event");
    assert_eq!(delayed.field("delay"), due.to_string());
    let run = scene.node.after_runs(1).await.remove(0);
    assert!((2000..2000 + PROMPT).contains(&(run.at - added)), "it ran {} ms after it was added", run.at - added);
    let now = scene.once_in("completed", 1).await;
    assert_eq!(now.hash(&id)["delay"], "0");
    let story = ["added", "delayed", "waiting<delayed", "active<waiting", "completed<active"];
    assert_eq!(now.story_of(&id), story);
}

async fn a07_a_sooner_delay_wakes_a_worker_that_sleeps_for_a_later_one(scene: &Scene) {
    scene.node.worker("node-1", json!({"drainDelay": DRAIN_DELAY})).await;
    let later = scene.add(json!({}), JobOptions { delay: Duration::from_secs(20), ..options() }).await;
    // The worker takes the signal of the later one and sleeps on.
    scene.once("a sleeper that knows", |now| now.members("marker").is_empty()).await;
    let added = now_ms();
    let sooner = scene.add(json!({}), JobOptions { delay: Duration::from_millis(500), ..options() }).await;
    let run = scene.node.after_runs(1).await.remove(0);
    assert_eq!(run.id(), sooner);
    assert!((500..500 + PROMPT).contains(&(run.at - added)), "it ran {} ms after it was added", run.at - added);
    assert_eq!(scene.once_in("completed", 1).await.members("delayed"), [later]);
}

async fn a08_a_bulk_of_500_is_run_once_each(scene: &Scene) {
    let jobs: Vec<_> = (0..500_u32)
        .map(|number| NewJob {
            name: "mail".to_owned(),
            data: json!({"label": number.to_string()}),
            options: JobOptions {
                priority: if number % 3 == 1 { number % 5 + 1 } else { 0 },
                delay: if number % 3 == 2 { Duration::from_millis(500) } else { Duration::ZERO },
                ..options()
            },
        })
        .collect();
    let ids = scene.queue.add_all(&jobs).await.expect("added");
    let expected: Vec<_> = (1..=500).map(|id| id.to_string()).collect();
    assert_eq!(ids, expected);
    let counts = scene.node.queue("getJobCounts", json!(["wait", "prioritized", "delayed"])).await;
    assert_eq!(counts, json!({"wait": 167, "prioritized": 167, "delayed": 166}));
    scene.node.worker("node-1", json!({"concurrency": 20})).await;
    scene.once_in("completed", 500).await;
    let mut ran: Vec<_> = scene.node.runs().iter().map(|run| run.id().to_owned()).collect();
    ran.sort_by_key(|id| id.parse::<u32>().ok());
    assert_eq!(ran, expected);
}

async fn a09_a_taken_id_adds_nothing_whoever_adds_it(scene: &Scene) {
    let id = "exam-7-inv-3";
    let mine = || JobOptions { job_id: Some(id.into()), ..options() };
    assert_eq!(scene.add(json!({}), mine()).await, id);
    assert_eq!(scene.add(json!({}), mine()).await, id);
    assert_eq!(scene.node.add(json!({}), json!({"jobId": id})).await, id);
    let now = scene.snapshot().await;
    assert_eq!(now.story_of(id), ["added", "waiting", "duplicated", "duplicated"]);
    assert_eq!(now.members("wait"), [id]);
    assert_eq!(now.text("id"), "3");
    scene.node.worker("node-1", json!({})).await;
    scene.once_in("completed", 1).await;
    assert_eq!(scene.add(json!({}), mine()).await, id);
    // A job added after it has run, so this one would have too.
    let next = scene.add(json!({}), options()).await;
    scene.once("the next job ends", |now| now.members("completed").contains(&next)).await;
    assert_eq!(scene.node.runs().iter().filter(|run| run.id() == id).count(), 1);
}

/// A priority below 0 cannot be written at all: it is a `u32`.
async fn a10_what_readers_would_misread_is_refused_before_any_write(scene: &Scene) {
    // Node's queue writes its `meta` when it is first used.
    scene.node.queue("waitUntilReady", json!([])).await;
    let size = || async { scene.redis.cmd::<i64>("DBSIZE").await };
    eventually("Node's meta", PATIENCE, || async { (size().await > 0).then_some(()) }).await;
    let before = size().await;
    let add = async |options: JobOptions| {
        let refused = scene.queue.add(NewJob { name: "mail".into(), data: json!({}), options }).await;
        refused.expect_err("refused")
    };
    for id in ["123", "0", "0:x", "a:b", "meta", "wait", "events", ""] {
        let error = add(JobOptions { job_id: Some(id.into()), ..options() }).await;
        assert!(matches!(error, Error::BadJobId { .. }), "{id:?}: {error}");
    }
    let error = add(JobOptions { priority: 2_097_152, ..options() }).await;
    assert!(matches!(error, Error::BadPriority(2_097_152)), "{error}");
    let connection: Connection = connect(&scene.redis.url()).await;
    let error = Queue::<Value>::new(connection, "bull", "a:b").expect_err("refused");
    assert!(matches!(error, Error::BadQueueName { .. }), "{error}");
    assert_eq!(size().await, before);
}
