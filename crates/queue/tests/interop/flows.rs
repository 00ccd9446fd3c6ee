//! Flows that run: F1 to F4. Parents are in the queue `up`, children in `email`, as in most scenarios.

use examhall_queue::{FlowJob, FlowProducer, JobKey, Queue, State, WorkerOptions};
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
    f10_flow_is_read_as_by_node,
    f11_active_job_that_becomes_a_child_moves_its_parent,
];

const UP: &str = "bull:up:";

pub(crate) fn alone(queue: &str) -> WorkerOptions {
    quick().concurrency(1).name(format!("w-{queue}"))
}

pub(crate) async fn producer(scenario: &Scenario) -> FlowProducer {
    FlowProducer::new(connect(&scenario.redis.url()).await, "bull")
}

pub(crate) async fn up_queue(scenario: &Scenario) -> Queue<Value> {
    Queue::new(connect(&scenario.redis.url()).await, "bull", "up").expect("good names")
}

pub(crate) async fn add_by_node(scenario: &Scenario, flow: &Value) {
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

pub(crate) async fn start_ours(scenario: &Scenario) -> [Ours; 2] {
    let url = scenario.redis.url();
    [Ours::start(&url, alone("email")).await, Ours::of(&url, "bull", "up", alone("up")).await]
}

pub(crate) async fn stop(ours: [Ours; 2]) {
    for worker in ours {
        worker.stop().await;
    }
}

/// Waits until a snapshot of the queue `up` is as wanted.
pub(crate) async fn once_up(scenario: &Scenario, what: &str, ready: impl Fn(&Snapshot) -> bool) -> Snapshot {
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

pub(crate) async fn assert_same_flows(theirs: &Scenario, ours: &Scenario, what: &str) {
    for scenario in [theirs, ours] {
        forget_traces_of_workers(scenario).await;
    }
    assert_same_in(theirs, ours, UP, what).await;
    assert_same(theirs, ours, what).await;
}

pub(crate) fn child(id: &str, data: Value, mut opts: Value) -> Value {
    opts["jobId"] = id.into();
    let mut job = json!({"name": "child", "queueName": "email"});
    job["data"] = data;
    job["opts"] = opts;
    job
}

pub(crate) fn parent(mut opts: Value, children: Vec<Value>) -> Value {
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

/// Whichever side adds the flow, and however the job ends.
async fn f11_active_job_that_becomes_a_child_moves_its_parent(scenario: &Scenario) {
    let gated = |id: &str, data: Value, opts: Value| {
        let mut job = child(id, data, opts);
        job["data"]["gated"] = 1.into();
        job
    };
    let kept = json!({"value": {"pages": 3}});
    let workers = start_ours(scenario).await;
    let (producer, queue) = (producer(scenario).await, up_queue(scenario).await);
    for (name, by_node, data, opts) in [
        ("completes", true, kept.clone(), json!({})),
        ("completes, added by us", false, kept.clone(), json!({})),
        ("is removed", true, kept.clone(), json!({"removeOnComplete": true})),
        ("fails", true, json!({"unrecoverable": "boom"}), json!({"failParentOnFailure": true})),
    ] {
        scenario.redis.cmd::<String>("FLUSHALL").await;
        // The second is taken by the poll that reports the first, and so knows how many jobs were added.
        let jobs = [gated("first", json!({}), json!({})), gated("x", data.clone(), opts.clone())];
        for job in &jobs {
            scenario.node.add(job["data"].clone(), job["opts"].clone()).await;
        }
        scenario.once("one is active", |now| now.members("active").len() == 1).await;
        workers[0].release(1);
        scenario.once("the other one is active", |now| now.members("active") == ["x"]).await;
        let flow = parent(json!({}), vec![child("x", data, opts)]);
        if by_node {
            add_by_node(scenario, &flow).await;
        } else {
            producer.add(&to_flow(&flow)).await.expect("added");
        }
        workers[0].release(1);
        let ended = if name == "fails" { State::Failed } else { State::Completed };
        let up = async || queue.get("top").await.ok()?.filter(|job| job.state == ended);
        eventually(&format!("the parent of a child that {name} ends"), TIMEOUT, up).await;
        let values = queue.children_values("top").await.expect("read");
        let expected = (ended == State::Completed).then(|| json!({"pages": 3}));
        assert_eq!(values.get("bull:email:x").cloned(), expected, "{name}");
    }
    stop(workers).await;
}

async fn f10_flow_is_read_as_by_node(scenario: &Scenario) {
    let fails = |id: &str, flag: &str| child(id, json!({"failures": 9}), json!({flag: true}));
    let mut middle = child("middle", json!({"value": {"pages": 3}}), json!({}));
    middle["children"] = json!([child("leaf", json!({"value": 7}), json!({}))]);
    let later = child("later", json!({}), json!({"delay": 60_000}));
    let others =
        vec![middle, later, fails("ignored", "ignoreDependencyOnFailure"), fails("gone", "removeDependencyOnFailure")];
    add_by_node(scenario, &parent(json!({}), others)).await;
    let workers = start_ours(scenario).await;
    scenario.once_in("completed", 2).await;
    scenario.once_in("failed", 2).await;
    let producer = producer(scenario).await;
    let top = JobKey::new("bull", "up", "top").expect("good names");
    for (depth, children) in [(10, 20), (2, 20), (1, 20)] {
        let request = json!({"queueName": "up", "id": "top", "depth": depth, "maxChildren": children});
        let theirs = scenario.node.request("flow", json!({"call": "getFlow", "args": [request]})).await.expect("read");
        let ours = producer.get_flow(&top, depth, children).await.expect("read").expect("stored");
        assert_eq!(of_ours(&ours), of_node(&theirs), "{depth} levels");
    }
    let top = JobKey::new("bull", "up", "none").expect("good names");
    assert_eq!(producer.get_flow(&top, 10, 20).await.expect("read"), None);
    stop(workers).await;
}

/// What of a flow's jobs counts, in the order of their ids.
fn tree(id: &Value, parts: &[Value; 3], mut children: Vec<Value>) -> Value {
    children.sort_by_key(|child| child["id"].to_string());
    json!({"id": id, "parts": parts, "children": children})
}

fn of_ours(node: &examhall_queue::FlowNode) -> Value {
    let job = &node.job;
    let parts = [job.data.clone(), job.returnvalue.clone().unwrap_or_default(), json!(job.failed_reason)];
    tree(&json!(job.id), &parts, node.children.iter().map(of_ours).collect())
}

fn of_node(node: &Value) -> Value {
    let job = &node["job"];
    let parts = ["data", "returnvalue", "failedReason"].map(|part| job[part].clone());
    let children = node["children"].as_array().map(|all| all.iter().map(of_node).collect());
    tree(&job["id"], &parts, children.unwrap_or_default())
}
