//! Flows that are changed, rejected or fail: F5 to F9.

use std::time::Duration;

use examhall_queue::{Attempts, Error, FlowJob, JobKey, JobOptions, State};
use serde_json::{Value, json};

use crate::{
    flows::{add_by_node, alone, assert_same_flows, child, once_up, parent, producer, start_ours, stop, up_queue},
    ours::{Ours, to_flow},
    scenario::Scenario,
    scenarios,
    snapshot::Snapshot,
};

scenarios![
    f5_removed_jobs_of_flows_leave_the_rest_as_in_node,
    f6_retried_children_are_linked_again,
    f7_bad_flows_are_rejected_before_a_write,
    f8_parents_of_other_states_and_prefixes_are_reached,
    f9_parent_with_failed_children_does_not_complete,
];

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
