//! Deduplication: D1 to D5. Where both can, Node does something to one queue and we do it to another, which then are the
//! same.

use examhall_queue::{Failure, JobOptions, ManualWorker, NewJob, Outcome};
use serde_json::{Value, json};

use crate::{
    ours::quick,
    scenario::{PREFIX, Scenario},
    scenarios,
    twins::assert_same,
};

scenarios![
    d1_delayed_job_is_replaced,
    d2_time_to_live_is_extended,
    d3_last_job_is_kept_while_one_is_active,
    d4_kept_job_is_added_however_the_run_ends,
    d5_delayed_job_is_rescheduled,
];

/// Two queues, on which Node and we do the same.
struct Twins<'a> {
    theirs: &'a Scenario,
    ours: Scenario,
}

impl<'a> Twins<'a> {
    async fn start(theirs: &'a Scenario) -> Self {
        let ours = Scenario::start(theirs.node.version()).await;
        for scenario in [theirs, &ours] {
            scenario.node.queue("getMeta", json!([])).await; // Node writes its version
        }
        Self { theirs, ours }
    }

    fn scenarios(&self) -> [&Scenario; 2] {
        [self.theirs, &self.ours]
    }

    /// Adds a job on either side, and returns the id that both got.
    async fn add(&self, data: Value, options: Value) -> String {
        let theirs = self.theirs.node.add(data.clone(), options.clone()).await;
        let ours = add(&self.ours, data, &options).await;
        assert_eq!(ours, theirs, "{options}");
        assert_same(self.theirs, &self.ours, &options.to_string()).await;
        ours
    }

    /// Takes a job on either side, by hand.
    async fn take(&self, token: &str) -> [String; 2] {
        let mut ids = [String::new(), String::new()];
        for (id, scenario) in ids.iter_mut().zip(self.scenarios()) {
            *id = take(scenario, token).await;
        }
        ids
    }

    async fn pttl(&self) -> [i64; 2] {
        let mut ttls = [0, 0];
        for (ttl, scenario) in ttls.iter_mut().zip(self.scenarios()) {
            *ttl = scenario.redis.cmd(&format!("PTTL {PREFIX}de:d")).await;
        }
        ttls
    }
}

async fn add(scenario: &Scenario, data: Value, options: &Value) -> String {
    scenario.add(data, JobOptions::from_json(options)).await
}

fn manual(scenario: &Scenario) -> ManualWorker<Value> {
    ManualWorker::new(scenario.queue.clone(), quick().name("")).expect("good options")
}

async fn take(scenario: &Scenario, token: &str) -> String {
    manual(scenario).get_next_job(token).await.expect("taken").expect("a job").id
}

async fn d1_delayed_job_is_replaced(theirs: &Scenario) {
    let twins = Twins::start(theirs).await;
    let options = |delay: u64, deduplication: Value| match delay {
        0 => json!({"deduplication": deduplication}),
        delay => json!({"delay": delay, "deduplication": deduplication}),
    };
    let replace = || json!({"id": "d", "replace": true});
    assert_eq!(twins.add(json!(1), options(60_000, replace())).await, "1");
    assert_eq!(twins.add(json!(2), options(60_000, replace())).await, "2", "it replaces 1");
    assert_eq!(twins.add(json!(3), options(0, replace())).await, "3", "it replaces 2");
    assert_eq!(twins.add(json!(4), options(0, replace())).await, "3", "3 is not delayed");
    assert_eq!(twins.pttl().await, [-1, -1]);
    for scenario in twins.scenarios() {
        scenario.queue.drain(true).await.expect("drained");
    }

    let with_ttl = json!({"id": "d", "replace": true, "ttl": 90_000});
    let extending = json!({"id": "d", "replace": true, "extend": true, "ttl": 90_000});
    let first = twins.add(json!(5), options(60_000, with_ttl.clone())).await;
    for scenario in twins.scenarios() {
        scenario.redis.cmd::<i64>(&format!("PEXPIRE {PREFIX}de:d 50000")).await;
    }
    let second = twins.add(json!(6), options(60_000, with_ttl.clone())).await;
    assert_ne!(first, second);
    assert!(twins.pttl().await.iter().all(|ttl| (1..=50_000).contains(ttl)), "the time to live goes on");
    twins.add(json!(7), options(60_000, extending)).await;
    assert!(twins.pttl().await.iter().all(|ttl| *ttl > 50_000), "the time to live starts again");
    let named = json!({"jobId": "named", "delay": 60_000, "deduplication": with_ttl.clone()});
    assert_eq!(twins.add(json!(8), named.clone()).await, "named");
    assert_eq!(twins.add(json!(9), named).await, "named", "a duplicate replaces nothing");
    twins.ours.check().await;
}

async fn d2_time_to_live_is_extended(theirs: &Scenario) {
    let twins = Twins::start(theirs).await;
    let throttle = json!({"deduplication": {"id": "d", "ttl": 90_000}});
    let debounce = json!({"deduplication": {"id": "d", "ttl": 90_000, "extend": true}});
    let shorten = async || {
        for scenario in twins.scenarios() {
            scenario.redis.cmd::<i64>(&format!("PEXPIRE {PREFIX}de:d 50000")).await;
        }
    };
    for (options, starts_again) in [(&throttle, false), (&debounce, true), (&throttle, false)] {
        assert_eq!(twins.add(json!(1), debounce.clone()).await, "1");
        shorten().await;
        assert_eq!(twins.add(json!(2), options.clone()).await, "1");
        assert_eq!(twins.pttl().await.map(|ttl| ttl > 50_000), [starts_again; 2]);
    }
    twins.ours.check().await;
}

fn keep() -> Value {
    json!({"deduplication": {"id": "d", "keepLastIfActive": true, "ttl": 90_000}})
}

async fn d3_last_job_is_kept_while_one_is_active(scenario: &Scenario) {
    if scenario.node.version() == 5 {
        return alone(scenario).await;
    }
    let twins = Twins::start(scenario).await;
    assert_eq!(twins.add(json!(1), keep()).await, "1");
    assert_eq!(twins.pttl().await, [-1, -1], "an active job's id does not expire");
    assert_eq!(twins.add(json!(2), keep()).await, "1", "1 waits: 2 is dropped");
    assert_eq!(twins.take("t:1").await, ["1", "1"]);
    assert_eq!(twins.add(json!(3), keep()).await, "1");
    let with_more = json!({"jobId": "last", "priority": 2, "deduplication": keep()["deduplication"]});
    assert_eq!(twins.add(json!(4), with_more).await, "1");
    twins.theirs.node.job("1", "moveToCompleted", json!([1, "t:1", false])).await;
    manual(&twins.ours).finish_job("1", "t:1", Outcome::Completed(1.into())).await.expect("ended");
    assert_same(twins.theirs, &twins.ours, "the end of 1 adds the last").await;
    assert_eq!(twins.ours.snapshot().await.hash("last")["data"], "4");

    // What one side has kept, the other one adds.
    assert_eq!(twins.take("t:2").await, ["last", "last"]);
    let id = add(twins.theirs, json!(5), &keep()).await;
    assert_eq!(id, "last");
    assert_eq!(twins.ours.node.add(json!(5), keep()).await, "last");
    assert_same(twins.theirs, &twins.ours, "kept by the others").await;
    twins.theirs.node.job("last", "moveToCompleted", json!([1, "t:2", false])).await;
    manual(&twins.ours).finish_job("last", "t:2", Outcome::Completed(1.into())).await.expect("ended");
    assert_same(twins.theirs, &twins.ours, "the end of the last").await;
    assert_eq!(twins.take("t:3").await.map(|id| id.len()), [1, 1]);
}

/// BullMQ 5 does not know `keepLastIfActive`, and its workers leave what was kept; ours do not.
async fn alone(scenario: &Scenario) {
    assert_eq!(add(scenario, json!(1), &keep()).await, "1");
    assert_eq!(take(scenario, "t:1").await, "1");
    for n in 2..4 {
        assert_eq!(add(scenario, json!(n), &keep()).await, "1");
    }
    manual(scenario).finish_job("1", "t:1", Outcome::Completed(1.into())).await.expect("ended");
    let now = scenario.snapshot().await;
    assert_eq!((now.members("wait"), now.hash("3")["data"].as_str()), (vec!["3".to_owned()], "3"));
    assert!(!now.keys.contains_key("dn:d"));
    assert_eq!(now.text("de:d"), "3");
}

async fn d4_kept_job_is_added_however_the_run_ends(scenario: &Scenario) {
    let worker = manual(scenario);
    let options = |more: Value| {
        let mut options = keep();
        options.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        options
    };
    let kept = |n: u64| options(json!({"jobId": format!("kept-{n}"), "lifo": true}));
    for (n, more, outcome) in [
        (1, json!({}), Outcome::Failed(Failure::new("boom"))),
        (2, json!({"attempts": 9}), Outcome::Unrecoverable(Failure::new("boom"))),
        (3, json!({"removeOnComplete": true}), Outcome::Completed(Value::Null)),
        (4, json!({"removeOnFail": true}), Outcome::Failed(Failure::new("boom"))),
    ] {
        let id = add(scenario, json!(n), &options(more)).await;
        assert_eq!(take(scenario, "t").await, id);
        assert_eq!(add(scenario, json!("kept"), &kept(n)).await, id);
        worker.finish_job(&id, "t", outcome).await.expect("ended");
        let now = scenario.snapshot().await;
        assert_eq!(now.members("wait"), [format!("kept-{n}")]);
        scenario.queue.remove(&format!("kept-{n}")).await.expect("removed");
        assert!(!scenario.snapshot().await.keys.contains_key("de:d"));
    }

    // A retry and a snooze keep the id, and what was kept.
    let id = add(scenario, json!(5), &options(json!({"attempts": 9}))).await;
    for outcome in [Outcome::Failed(Failure::new("boom")), Outcome::Released] {
        assert_eq!(take(scenario, "t").await, id);
        add(scenario, json!("kept"), &kept(5)).await;
        worker.finish_job(&id, "t", outcome).await.expect("ended");
        assert!(scenario.snapshot().await.keys.contains_key("dn:d"));
    }
    // Removed by hand, it takes with it what was kept.
    scenario.queue.remove(&id).await.expect("removed");
    assert!(!scenario.snapshot().await.keys.contains_key("dn:d"));

    // Poisoned, and stalled too often.
    for (n, field, value) in [(6, "data", "{"), (7, "defa", "job stalled more than allowable limit")] {
        let id = add(scenario, json!(n), &keep()).await;
        let (key, active) = (format!("{PREFIX}{id}"), format!("{PREFIX}active"));
        // As if it were active elsewhere, and recovered.
        scenario.redis.cmd::<String>(&format!("LMOVE {PREFIX}wait {active} RIGHT LEFT")).await;
        assert_eq!(add(scenario, json!("kept"), &kept(n)).await, id);
        scenario.redis.command::<i64>(&["HSET", &key, field, value]).await;
        scenario.redis.cmd::<String>(&format!("LMOVE {active} {PREFIX}wait RIGHT LEFT")).await;
        assert_eq!(worker.get_next_job("t").await.expect("taken").expect("the kept one").id, format!("kept-{n}"));
        worker.finish_job(&format!("kept-{n}"), "t", Outcome::Completed(Value::Null)).await.expect("ended");
        assert!(!scenario.snapshot().await.keys.contains_key("de:d"));
    }

    // An id that exists by now is not added a second time, and what cannot be read wedges nothing.
    let id = add(scenario, json!(8), &keep()).await;
    assert_eq!(take(scenario, "t").await, id);
    add(scenario, json!("kept"), &kept(8)).await;
    add(scenario, json!("other"), &json!({"jobId": "kept-8"})).await;
    worker.finish_job(&id, "t", Outcome::Completed(Value::Null)).await.expect("ended");
    let now = scenario.snapshot().await;
    assert_eq!((now.members("wait").len(), now.hash("kept-8")["data"].as_str()), (1, "\"other\""));
    scenario.queue.drain(true).await.expect("drained");
    let id = add(scenario, json!(9), &keep()).await;
    assert_eq!(take(scenario, "t").await, id);
    let broken = ["HSET", &format!("{PREFIX}dn:d"), "name", "x", "opts", "{", "jid", "broken"];
    scenario.redis.command::<i64>(&broken).await;
    worker.finish_job(&id, "t", Outcome::Completed(Value::Null)).await.expect("ended");
    assert_eq!(scenario.snapshot().await.members("wait"), ["broken"]);
}

async fn d5_delayed_job_is_rescheduled(theirs: &Scenario) {
    let twins = Twins::start(theirs).await;
    let options = |delay: u64| json!({"delay": delay, "deduplication": {"id": "d", "reschedule": true}});
    if theirs.node.version() == 5 {
        for delay in [60_000, 90_000] {
            assert_eq!(add(&twins.ours, json!(1), &options(delay)).await, "1");
        }
    } else {
        for delay in [60_000, 90_000] {
            assert_eq!(twins.add(json!(1), options(delay)).await, "1");
        }
    }
    let now = twins.ours.snapshot().await;
    assert_eq!(now.hash("1")["delay"], "90000");
    let due = twins.ours.queue.get("1").await.expect("read").expect("there").due.expect("delayed");
    assert!(due - now.hash("1")["timestamp"].parse::<i64>().expect("a time") >= 90_000);
    // Jobs with and without modes in one call.
    let plain = || NewJob::new("mail", json!(0));
    let moded = || plain().options(JobOptions::from_json(&options(1_000)));
    let ids = twins.ours.queue.add_all(&[plain(), moded(), plain(), moded()]).await.expect("added");
    assert_eq!(ids, ["3", "1", "5", "1"]);
    twins.ours.check().await;
}
