//! Workers and producers of all kinds at once: A27.

use std::{collections::BTreeMap, time::Duration};

use examhall_queue::{Backoff, JobOptions, NewJob, RetryPolicy};
use examhall_testkit::eventually;
use serde_json::{Value, json};

use crate::{
    node::Node,
    ours::quick,
    rounds,
    scenario::{Scenario, TIMEOUT},
};

/// Number of jobs of each of the three producers.
const JOBS: u32 = 200;

#[tokio::test]
async fn a27_mixed_fleet_runs_each_attempt_once() {
    for _ in 0..rounds() {
        let scenario = Scenario::start(6).await;
        fleet(&scenario).await;
        scenario.check().await;
    }
}

async fn fleet(scenario: &Scenario) {
    let five = Node::start(&scenario.redis, 5);
    let (nodes, options) = ([&scenario.node, &five], json!({"concurrency": 3, "drainDelay": 1}));
    for node in nodes {
        node.listen().await;
        node.worker("node", options.clone()).await;
    }
    let ours = scenario.ours(quick().concurrency(3)).await;

    let job = |number: u32| {
        let priority = if number.is_multiple_of(3) { number % 5 + 1 } else { 0 };
        let delay = if number.is_multiple_of(2) { u64::from(number * 7 % 500) } else { 0 };
        let failures = if number.is_multiple_of(4) { number % 8 / 4 + 1 } else { 0 };
        (json!({"failures": failures}), priority, delay, u64::from(failures))
    };
    let from_us: Vec<_> = (0..JOBS)
        .map(|number| {
            let (data, priority, delay, _) = job(number);
            let backoff = Backoff::exponential(Duration::from_millis(30)).jitter(0.5);
            let retry = RetryPolicy::new(3, backoff);
            let options = JobOptions::default().priority(priority).delay(Duration::from_millis(delay)).retry(retry);
            NewJob::new("mail", data).options(options)
        })
        .collect();
    let from_node: Vec<Value> = (0..JOBS)
        .map(|number| {
            let (data, priority, delay, _) = job(number);
            let backoff = json!({"type": "exponential", "delay": 30, "jitter": 0.5});
            let options = json!({"priority": priority, "delay": delay, "attempts": 3, "backoff": backoff});
            json!({"name": "mail", "data": data, "opts": options})
        })
        .collect();
    let bulk = json!([from_node]);
    let (added, ..) = tokio::join!(
        scenario.queue.add_all(&from_us),
        scenario.node.queue("addBulk", bulk.clone()),
        five.queue("addBulk", bulk)
    );
    added.expect("added");

    let all = 3 * JOBS as usize;
    let now = scenario.once_in("completed", all).await;
    let expected: u64 = (0..JOBS).map(|number| 1 + job(number).3).sum::<u64>() * 3;
    let mut ledger = BTreeMap::<String, usize>::new();
    let by_node = nodes.iter().flat_map(|node| node.runs()).map(|run| run.id().to_owned());
    for id in by_node.chain(ours.ran()) {
        *ledger.entry(id).or_default() += 1;
    }
    assert_eq!(ledger.values().sum::<usize>() as u64, expected);
    for (id, runs) in ledger {
        let hash = now.hash(&id);
        assert_eq!((hash["atm"].parse(), hash["ats"].parse()), (Ok(runs), Ok(runs)), "job {id}");
    }
    assert!(!ours.ran().is_empty() && nodes.iter().all(|node| !node.runs().is_empty()), "a worker ran no job");
    for node in nodes {
        let seen = || async { (node.seen("completed").len() == all).then_some(()) };
        eventually("each completion is seen", TIMEOUT, seen).await;
        assert_eq!(node.seen("failed").len(), 0);
        assert_eq!(node.messages("worker-error"), Vec::<Value>::new());
    }
    ours.stop().await;
}
