//! Event streams: one script of twelve jobs, over all pairs of producer and worker.

use std::time::Duration;

use examhall_queue::{Backoff, JobOptions, Retention, State};
use serde_json::{Value, json};

use crate::{ours::quick, scenario::Scenario};

/// A client in one of its roles.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Us,
    Node,
}

/// Data and options of the jobs; those of Node have the same names as its own.
fn jobs() -> [(Value, Value); 12] {
    let failing = |failures: u32| json!({"failures": failures, "value": 1});
    [
        (json!({"value": {"a": 1}}), json!({})),
        (json!({}), json!({"priority": 5})),
        (json!({}), json!({"priority": 2})),
        (json!({}), json!({"delay": 300})),
        (failing(1), json!({"attempts": 2})),
        (failing(1), json!({"attempts": 2, "backoff": {"type": "fixed", "delay": 100}})),
        (failing(3), json!({"attempts": 2, "backoff": {"type": "exponential", "delay": 50}})),
        (failing(9), json!({})),
        (json!({"unrecoverable": "no"}), json!({"attempts": 3})),
        (json!({}), json!({"jobId": "twice"})),
        (json!({}), json!({"jobId": "twice"})),
        (json!({}), json!({"removeOnComplete": true})),
    ]
}

fn our_options(options: &Value) -> JobOptions {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let mut ours = JobOptions::default()
        .priority(u32::try_from(number(&options["priority"])).expect("small"))
        .delay(Duration::from_millis(number(&options["delay"])))
        .attempts(u32::try_from(number(&options["attempts"])).expect("small"));
    let delay = Duration::from_millis(number(&options["backoff"]["delay"]));
    match options["backoff"]["type"].as_str() {
        Some("fixed") => ours = ours.backoff(Backoff::fixed(delay)),
        Some(_) => ours = ours.backoff(Backoff::exponential(delay)),
        None => {}
    }
    if let Some(id) = options["jobId"].as_str() {
        ours = ours.job_id(id);
    }
    if options["removeOnComplete"] == true {
        ours = ours.remove_on_complete(Retention::Remove);
    }
    ours
}

/// Runs the script: each job is added when the one before has ended, so that the order of the events is certain; then the
/// operator's part. Returns the events, without times.
async fn events(scenario: &Scenario, producer: By, worker: By) -> Vec<String> {
    let ours = match worker {
        By::Us => Some(scenario.ours(quick().concurrency(1)).await),
        By::Node => {
            scenario.node.worker("n", json!({"concurrency": 1, "drainDelay": 1})).await;
            None
        }
    };
    for (n, (data, options)) in jobs().into_iter().enumerate() {
        let ended = |name: &str| ["completed", "failed", "duplicated"].contains(&name);
        match producer {
            By::Us => drop(scenario.add(data, our_options(&options)).await),
            By::Node => drop(scenario.node.add(data, options).await),
        }
        let all =
            |now: &crate::snapshot::Snapshot| now.events().iter().filter(|event| ended(&event.name)).count() == n + 1;
        scenario.once(&format!("job {n} has ended"), all).await;
        settled(scenario).await;
    }
    if let Some(ours) = ours {
        ours.stop().await;
    } else {
        scenario.node.request("stop", json!({"name": "n"})).await.expect("stopped");
    }
    operate(scenario, producer).await;
    let normal = |event: crate::snapshot::Event| {
        let fields = event.fields.into_iter().filter(|(name, _)| name != "delay");
        format!("{} {:?}", event.name, fields.collect::<Vec<_>>())
    };
    scenario.snapshot().await.events().into_iter().map(normal).collect()
}

/// Waits until the worker has polled after the end of a job: it then sleeps on the marker.
async fn settled(scenario: &Scenario) {
    let blocked =
        async || scenario.redis.cmd::<String>("INFO clients").await.contains("blocked_clients:1\r").then_some(());
    examhall_testkit::eventually("the worker is blocked", crate::scenario::TIMEOUT, blocked).await;
}

/// What an operator does: pauses, adds, cleans, removes, drains, resumes.
async fn operate(scenario: &Scenario, by: By) {
    let (queue, node) = (&scenario.queue, &scenario.node);
    let add = async |id: &str| match by {
        By::Us => drop(scenario.add(json!({}), JobOptions::default().job_id(id)).await),
        By::Node => drop(node.add(json!({}), json!({"jobId": id})).await),
    };
    match by {
        By::Us => queue.pause().await.expect("paused"),
        By::Node => drop(node.queue("pause", json!([])).await),
    }
    for id in ["a", "b", "c"] {
        add(id).await;
    }
    match by {
        By::Us => queue.resume().await.expect("resumed"),
        By::Node => drop(node.queue("resume", json!([])).await),
    }
    let old = Duration::from_millis(1);
    tokio::time::sleep(2 * old).await; // the jobs are older than the cleaning's grace
    match by {
        By::Us => {
            queue.clean(State::Waiting, Duration::ZERO, 2).await.expect("cleaned");
            queue.clean(State::Delayed, Duration::ZERO, 2).await.expect("cleaned");
            queue.remove("c").await.expect("removed");
            queue.drain(true).await.expect("drained");
        }
        By::Node => {
            node.queue("clean", json!([0, 2, "wait"])).await;
            node.queue("clean", json!([0, 2, "delayed"])).await;
            node.queue("remove", json!(["c"])).await;
            node.queue("drain", json!([true])).await;
        }
    }
}

async fn are_the_same(version: u8) {
    let mut streams = Vec::new();
    for (producer, worker) in [(By::Node, By::Node), (By::Us, By::Node), (By::Node, By::Us), (By::Us, By::Us)] {
        let scenario = Scenario::start(version).await;
        streams.push(((producer, worker), events(&scenario, producer, worker).await));
        scenario.node.kill().await;
    }
    let (_, expected) = streams.remove(0);
    assert!(expected.iter().any(|event| event.starts_with("drained")), "{expected:#?}");
    for (pair, stream) in streams {
        assert_eq!(stream, expected, "{pair:?}: ours on the left, Node's on the right");
    }
}

#[tokio::test]
async fn event_streams_are_those_of_bullmq_5() {
    are_the_same(5).await;
}

#[tokio::test]
async fn event_streams_are_those_of_bullmq_6() {
    are_the_same(6).await;
}
