//! Flows: F1 to F9. Parents are in the queue `up`, children in `email`, as in most scenarios.

use std::time::Duration;

use examhall_queue::{Attempts, Error, FlowJob, FlowProducer, JobKey, JobOptions, Queue, State, WorkerOptions};
use examhall_testkit::eventually;
use serde_json::{Value, json};

use crate::{
    ours::{Ours, quick, to_flow},
    scenario::{Scenario, TIMEOUT, connect},
    scenarios,
    snapshot::Snapshot,
    twins::{assert_same, assert_same_in},
};

scenarios![
    f1_children_move_their_parent_as_in_node,
    f2_node_worker_runs_our_flows,
    f3_our_flows_are_stored_as_those_of_node,
    f4_parent_waits_for_children_that_it_adds,
    f5_removed_jobs_of_flows_leave_the_rest_as_in_node,
    f6_retried_children_are_linked_again,
    f7_bad_flows_are_rejected_before_a_write,
    f8_parents_of_other_states_and_prefixes_are_reached,
    f9_parent_with_failed_children_does_not_complete,
];

const UP: &str = "bull:up:";

fn alone(queue: &str) -> WorkerOptions {
    quick().concurrency(1).name(format!("w-{queue}"))
}

async fn producer(scenario: &Scenario) -> FlowProducer {
    FlowProducer::new(connect(&scenario.redis.url()).await, "bull")
}

async fn up_queue(scenario: &Scenario) -> Queue<Value> {
    Queue::new(connect(&scenario.redis.url()).await, "bull", "up").expect("good names")
}

async fn add_by_node(scenario: &Scenario, flow: &Value) {
    scenario.node.request("flow", json!({"call": "add", "args": [flow]})).await.expect("added");
}

/// Starts Node's workers of both queues.
async fn start_node(scenario: &Scenario) {
    for queue in ["email", "up"] {
        let request =
            json!({"name": format!("w-{queue}"), "queue": queue, "options": {"concurrency": 1, "drainDelay": 1}});
        scenario.node.request("worker", request).await.expect("started");
    }
}

async fn start_ours(scenario: &Scenario) -> [Ours; 2] {
    let url = scenario.redis.url();
    [Ours::start(&url, alone("email")).await, Ours::of(&url, "bull", "up", alone("up")).await]
}

async fn stop(ours: [Ours; 2]) {
    for worker in ours {
        worker.stop().await;
    }
}

/// Waits until a snapshot of the queue `up` is as wanted.
async fn once_up(scenario: &Scenario, what: &str, ready: impl Fn(&Snapshot) -> bool) -> Snapshot {
    eventually(what, TIMEOUT, || async { Some(Snapshot::of(&scenario.redis, UP).await).filter(&ready) }).await
}

/// Waits until the workers of both queues have nothing more to do.
async fn once_idle(scenario: &Scenario) {
    let idle = || async {
        // Children before their parents, which they make ready.
        for prefix in ["bull:email:", UP] {
            let now = Snapshot::of(&scenario.redis, prefix).await;
            let busy = ["wait", "active", "prioritized", "delayed"].iter().any(|state| !now.members(state).is_empty());
            if busy {
                return None;
            }
        }
        Some(())
    };
    eventually("both queues are idle", TIMEOUT, idle).await;
}

/// Deletes what does not count: wake-ups, and marks of checks for stalled jobs.
async fn forget_traces_of_workers(scenario: &Scenario) {
    for queue in [UP, "bull:email:"] {
        for key in ["marker", "stalled", "stalled-check", "pc"] {
            scenario.redis.command::<i64>(&["DEL", &format!("{queue}{key}")]).await;
        }
    }
}

async fn assert_same_flows(theirs: &Scenario, ours: &Scenario, what: &str) {
    for scenario in [theirs, ours] {
        forget_traces_of_workers(scenario).await;
    }
    assert_same_in(theirs, ours, UP, what).await;
    assert_same(theirs, ours, what).await;
}

fn child(id: &str, data: Value, mut opts: Value) -> Value {
    opts["jobId"] = id.into();
    let mut job = json!({"name": "child", "queueName": "email"});
    job["data"] = data;
    job["opts"] = opts;
    job
}

fn parent(mut opts: Value, children: Vec<Value>) -> Value {
    opts["jobId"] = "top".into();
    let mut job = json!({"name": "parent", "queueName": "up", "data": {"value": "up"}});
    job["opts"] = opts;
    job["children"] = children.into();
    job
}

/// What children do, and a flow with such children.
fn flows() -> Vec<(&'static str, Value)> {
    let fails = |flag: &str| child("bad", json!({"failures": 9}), json!({flag: true}));
    let good = || child("good", json!({"value": {"pages": 3}}), json!({}));
    vec![
        ("complete", parent(json!({}), vec![good(), child("two", json!({}), json!({}))])),
        ("fail without a policy", parent(json!({}), vec![fails("none"), good()])),
        ("fail the parent", parent(json!({}), vec![fails("failParentOnFailure"), good()])),
        ("ignore", parent(json!({}), vec![fails("ignoreDependencyOnFailure"), good()])),
        ("remove the dependency", parent(json!({}), vec![fails("removeDependencyOnFailure"), good()])),
        // Alone: were another one pending, the parent could not complete.
        ("continue", parent(json!({}), vec![fails("continueParentOnFailure")])),
        ("are removed when done", {
            let gone = json!({"removeOnComplete": true, "removeOnFail": true});
            parent(json!({}), vec![child("gone", json!({}), gone.clone()), child("bad", json!({"failures": 1}), gone)])
        }),
        ("retry", parent(json!({}), vec![child("retried", json!({"failures": 1}), json!({"attempts": 2}))])),
        ("have a parent with a priority", parent(json!({"priority": 3}), vec![good()])),
        ("have a delayed parent", parent(json!({"delay": 300}), vec![good()])),
        ("fail a grandparent", {
            let mut middle = child("middle", json!({}), json!({"failParentOnFailure": true}));
            middle["children"] = json!([fails("failParentOnFailure")]);
            parent(json!({}), vec![middle, good()])
        }),
        ("have a grandparent that goes on", {
            let mut middle = child("middle", json!({}), json!({"ignoreDependencyOnFailure": true}));
            middle["children"] = json!([fails("failParentOnFailure")]);
            parent(json!({}), vec![middle])
        }),
    ]
}

async fn f1_children_move_their_parent_as_in_node(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    start_node(theirs).await;
    let workers = start_ours(ours).await;
    for (what, flow) in flows() {
        for scenario in [theirs, ours] {
            add_by_node(scenario, &flow).await;
        }
        once_idle(theirs).await;
        once_idle(ours).await;
        assert_same_flows(theirs, ours, &format!("children {what}")).await;
        for scenario in [theirs, ours] {
            for prefix in [UP, "bull:email:"] {
                let names = Snapshot::of(&scenario.redis, prefix).await;
                for key in names.keys.keys().filter(|key| *key != "meta") {
                    scenario.redis.command::<i64>(&["DEL", &format!("{prefix}{key}")]).await;
                }
            }
        }
    }
    stop(workers).await;
}

async fn f2_node_worker_runs_our_flows(scenario: &Scenario) {
    let flows = producer(scenario).await;
    let page = |n: u32| FlowJob::new("email", "page", &json!({"value": n})).expect("JSON");
    let book = FlowJob::new("up", "book", &json!({})).expect("JSON").children((1..=3).map(page));
    let added = flows.add(&book).await.expect("added");
    assert_eq!(added.children.len(), 3);
    start_node(scenario).await;
    once_up(scenario, "the parent completes", |now| now.members("completed") == [added.id.as_str()]).await;
    let values =
        scenario.node.request("job", json!({"queue": "up", "jobId": added.id, "call": "getChildrenValues"})).await;
    let values = values.expect("read");
    let ours = up_queue(scenario).await.children_values(&added.id).await.expect("read");
    assert_eq!(json!(ours), values);
    for (at, child) in added.children.iter().enumerate() {
        assert_eq!(values[format!("bull:email:{}", child.id)], json!(at + 1));
    }
    let bulk = flows.add_all(&[page(8), book]).await.expect("added");
    assert_eq!((bulk.len(), bulk[1].children.len()), (2, 3));
    once_up(scenario, "the second parent completes", |now| now.members("completed").len() == 2).await;
}

async fn f3_our_flows_are_stored_as_those_of_node(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    let flows = producer(ours).await;
    let mut middle = child("middle", json!({}), json!({"ignoreDependencyOnFailure": true, "priority": 2}));
    middle["children"] = json!([
        child("late", json!({"a": []}), json!({"continueParentOnFailure": true, "delay": 50_000})),
        child("first", json!({}), json!({"removeDependencyOnFailure": true, "lifo": true})),
    ]);
    let urgent = child("urgent", json!({}), json!({"failParentOnFailure": true, "priority": 1, "attempts": 2}));
    let flow = parent(json!({"priority": 3, "attempts": 2}), vec![urgent, middle]);
    for _ in 0..2 {
        // The second time all of them exist.
        add_by_node(theirs, &flow).await;
        flows.add(&to_flow(&flow)).await.expect("added");
        assert_same_in(theirs, ours, UP, "a flow").await;
        assert_same(theirs, ours, "a flow").await;
    }
    let queue = up_queue(ours).await;
    assert_eq!(queue.states(&["top".into()]).await.expect("read"), [Some(State::WaitingChildren)]);
    assert_eq!(queue.counts().await.expect("counted").waiting_children, 1);
    let counts = queue.dependency_counts("top").await.expect("counted");
    assert_eq!((counts.unprocessed, counts.processed, counts.ignored, counts.failed), (2, 0, 0, 0));
    let mut pending = queue.dependencies("top").await.expect("read").unprocessed;
    pending.sort();
    assert_eq!(pending, ["bull:email:middle", "bull:email:urgent"]);
    let record = ours.queue.get("urgent").await.expect("read").expect("a job");
    assert_eq!(record.parent, Some(JobKey::new("bull", "up", "top").expect("good names")));
}

async fn f4_parent_waits_for_children_that_it_adds(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    start_node(theirs).await;
    let workers = start_ours(ours).await;
    // Later than the parent begins to wait: it would not wait for children that have ended.
    let later = || json!({"delay": 500});
    let children = json!([child("a", json!({"value": 1}), later()), child("b", json!({"value": 2}), later())]);
    for scenario in [theirs, ours] {
        let args = json!(["parent", {"children": children, "value": "up"}, {"jobId": "top"}]);
        scenario.node.request("queue", json!({"queue": "up", "call": "add", "args": args})).await.expect("added");
        let now = once_up(scenario, "the parent completes", |now| now.members("completed") == ["top"]).await;
        assert_eq!(
            now.history_of("top"),
            [
                "added",
                "waiting",
                "active<waiting",
                "waiting-children<active",
                "waiting<waiting-children",
                "active<waiting",
                "completed<active"
            ]
        );
        assert_eq!((now.hash("top")["atm"].as_str(), now.hash("top")["ats"].as_str()), ("1", "2"));
        let values = now.hash("top:processed");
        assert_eq!((values["bull:email:a"].as_str(), values["bull:email:b"].as_str()), ("1", "2"));
    }
    stop(workers).await;
}

async fn f5_removed_jobs_of_flows_leave_the_rest_as_in_node(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    let flow = || parent(json!({}), vec![child("a", json!({}), json!({})), child("b", json!({}), json!({}))]);
    let queue = up_queue(ours).await;
    let node = async |queue: &str, call: &str, args: Value| {
        theirs.node.request("queue", json!({"queue": queue, "call": call, "args": args})).await.expect("done");
    };
    let add = async |flow: Value| {
        for scenario in [theirs, ours] {
            add_by_node(scenario, &flow).await;
        }
    };
    // With one child each, as a set has no order.
    let single = || parent(json!({}), vec![child("a", json!({}), json!({}))]);
    add(single()).await;
    node("up", "remove", json!(["top"])).await;
    queue.remove("top").await.expect("removed");
    assert_same_flows(theirs, ours, "the parent is removed").await;

    add(flow()).await;
    for id in ["a", "b"] {
        node("email", "remove", json!([id])).await;
        ours.queue.remove(id).await.expect("removed");
        assert_same_flows(theirs, ours, &format!("{id} is removed")).await;
    }
    node("up", "remove", json!(["top"])).await;
    queue.remove("top").await.expect("removed");

    // A parent in the same queue goes with its last child.
    let mut inner = child("inner", json!({}), json!({}));
    inner["children"] = json!([child("leaf", json!({}), json!({}))]);
    add(inner).await;
    node("email", "clean", json!([0, 100, "wait"])).await;
    ours.queue.clean(State::Waiting, Duration::ZERO, 100).await.expect("cleaned");
    assert_same_flows(theirs, ours, "the child is cleaned").await;

    add(single()).await;
    theirs
        .node
        .request("job", json!({"queue": "up", "jobId": "top", "call": "removeUnprocessedChildren"}))
        .await
        .expect("done");
    queue.remove_unprocessed_children("top").await.expect("removed");
    assert_same_flows(theirs, ours, "pending children are removed").await;
    ours.check().await;
}

async fn f6_retried_children_are_linked_again(scenario: &Scenario) {
    let failing = |id: &str, flag: &str| child(id, json!({"failures": 1}), json!({flag: true}));
    let flow = parent(json!({}), vec![failing("a", "ignoreDependencyOnFailure"), failing("b", "none")]);
    add_by_node(scenario, &flow).await;
    let workers = start_ours(scenario).await;
    scenario.once_in("failed", 2).await;
    let queue = up_queue(scenario).await;
    let failures = queue.ignored_children_failures("top").await.expect("read");
    assert_eq!(failures.get("bull:email:a").map(String::as_str), Some("boom1"));
    scenario.queue.retry("a", Attempts::Keep).await.expect("retried");
    scenario.once_in("completed", 1).await;
    let counts = queue.dependency_counts("top").await.expect("counted");
    assert_eq!((counts.unprocessed, counts.processed, counts.ignored), (1, 1, 0), "the parent waits for b");
    scenario.queue.retry("b", Attempts::Keep).await.expect("retried");
    once_up(scenario, "the parent completes", |now| now.members("completed") == ["top"]).await;
    stop(workers).await;
}

async fn f7_bad_flows_are_rejected_before_a_write(scenario: &Scenario) {
    let flows = producer(scenario).await;
    let job = |queue: &str, id: &str| {
        FlowJob::new(queue, "job", &json!({})).expect("JSON").options(JobOptions::default().job_id(id))
    };
    flows.add(&job("up", "first").children([job("email", "shared")])).await.expect("added");
    let size = async || scenario.redis.cmd::<usize>("DBSIZE").await;
    let before = size().await;
    let nowhere = JobKey::new("bull", "up", "nobody").expect("good names");
    let deduplicated = JobOptions::default().deduplication(examhall_queue::Deduplication::simple("d"));
    let cases = [
        ("a child of another parent", job("up", "second").children([job("email", "x"), job("email", "shared")])),
        ("no such parent", job("email", "x").parent(nowhere.clone())),
        ("a bad id below", job("up", "second").children([job("email", "wait")])),
        ("a bad queue below", job("up", "second").children([job("e:mail", "x")])),
        ("a deduplicated parent", job("up", "x").options(deduplicated).children([job("email", "y")])),
        ("a child with a parent of its own", job("up", "second").children([job("email", "x").parent(nowhere)])),
    ];
    for (what, flow) in cases {
        let added = flows.add(&flow).await;
        let is_typed = matches!(
            added,
            Err(Error::OtherParent(_)
                | Error::ParentMissing(_)
                | Error::BadJobId { .. }
                | Error::BadQueueName { .. }
                | Error::BadFlow(_))
        );
        assert!(is_typed, "{what}: {added:?}");
        assert_eq!(size().await, before, "{what}");
    }
    // A key of another type below, in the second queue.
    scenario.redis.cmd::<String>("SET bull:other:wait x").await;
    let broken = flows.add(&job("up", "second").children([job("email", "x"), job("other", "y")])).await;
    assert!(broken.is_err(), "{broken:?}");
    assert_eq!(size().await, before + 1);
    scenario.redis.cmd::<i64>("DEL bull:other:wait").await;
    let all = flows.add_all(&[job("email", "z"), job("up", "second").children([job("email", "shared")])]).await;
    assert!(matches!(all, Err(Error::OtherParent(_))), "{all:?}");
    assert_eq!(size().await, before, "all or none");
    assert_eq!(flows.add_all(&[]).await.expect("nothing to do"), []);
}

async fn f8_parents_of_other_states_and_prefixes_are_reached(scenario: &Scenario) {
    // A paused queue keeps its parent until it is resumed; another prefix is another queue.
    let far = json!({"name": "far", "queueName": "up", "prefix": "{far}", "opts": {"jobId": "far"},
        "children": [child("b", json!({"value": 2}), json!({}))]});
    up_queue(scenario).await.pause().await.expect("paused");
    add_by_node(scenario, &parent(json!({}), vec![child("a", json!({"value": 1}), json!({}))])).await;
    add_by_node(scenario, &far).await;
    let workers = start_ours(scenario).await;
    scenario.once_in("completed", 2).await;
    let now = once_up(scenario, "the parent is ready", |now| now.members("waiting-children").is_empty()).await;
    assert!(now.members("marker").is_empty(), "nobody is woken while the queue is paused");
    assert_eq!(up_queue(scenario).await.states(&["top".into()]).await.expect("read"), [Some(State::Waiting)]);
    scenario.node.request("queue", json!({"queue": "up", "call": "resume", "args": []})).await.expect("resumed");
    once_up(scenario, "the parent completes", |now| now.members("completed") == ["top"]).await;
    let far = Snapshot::of(&scenario.redis, "{far}:up:").await;
    assert_eq!(
        (far.members("wait"), far.hash("far:processed")["bull:email:b"].as_str()),
        (vec!["far".to_owned()], "2")
    );
    let worker = Ours::of(&scenario.redis.url(), "{far}", "up", alone("up")).await;
    worker.after_runs(1).await;
    worker.stop().await;

    // A child that completed before its flow is added, and a parent whose only child that is.
    let flows = producer(scenario).await;
    let again = parent(json!({}), vec![child("a", json!({}), json!({}))]);
    let mut again = to_flow(&again);
    again.options = JobOptions::default().job_id("again");
    up_queue(scenario).await.remove("top").await.expect("removed"); // and with it its child
    let a =
        FlowJob::new("email", "child", &json!({"value": 7})).expect("JSON").options(JobOptions::default().job_id("a"));
    flows.add(&a).await.expect("added");
    scenario.once("a completes", |now| now.members("completed").contains(&"a".to_owned())).await;
    flows.add(&again).await.expect("added");
    let now = once_up(scenario, "the parent completes at once", |now| now.members("completed") == ["again"]).await;
    assert_eq!(now.hash("again:processed")["bull:email:a"], "7");
    stop(workers).await;
}

async fn f9_parent_with_failed_children_does_not_complete(scenario: &Scenario) {
    let worker = Ours::of(&scenario.redis.url(), "bull", "up", alone("up").concurrency(2)).await;
    let flows = producer(scenario).await;
    let failing = || child("bad", json!({"failures": 9}), json!({"failParentOnFailure": true}));
    for id in ["hasty", "doomed"] {
        let args = json!(["parent", {"gated": 1}, {"jobId": id, "attempts": 1}]);
        scenario.node.request("queue", json!({"queue": "up", "call": "add", "args": args})).await.expect("added");
        once_up(scenario, "the parent runs", |now| now.members("active").contains(&id.to_owned())).await;
        let key = JobKey::new("bull", "up", id).expect("good names");
        if id == "doomed" {
            // One child of its own fails while it runs.
            let ours = scenario.ours(alone("email")).await;
            flows.add(&to_flow(&failing()).parent(key)).await.expect("added");
            scenario.once_in("failed", 1).await;
            ours.stop().await;
        } else {
            flows.add(&to_flow(&child("late", json!({}), json!({"delay": 600_000}))).parent(key)).await.expect("added");
        }
    }
    worker.release(2);
    let now = once_up(scenario, "both fail", |now| now.members("failed").len() == 2).await;
    let reason = |id: &str| now.hash(id).remove("failedReason").unwrap_or_default();
    assert!(reason("hasty").contains("pending children"), "{}", reason("hasty"));
    assert!(reason("doomed").contains("has failed"), "{}", reason("doomed"));
    assert_eq!(now.members("doomed:unsuccessful"), ["bull:email:bad"]);
    worker.stop().await;
}
