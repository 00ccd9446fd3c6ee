//! Jobs that one side takes by hand and the other one ends: M1 to M3.

use std::time::Duration;

use examhall_queue::{Error, Failure, ManualWorker, Outcome};
use serde_json::{Value, json};

use crate::{
    ours::quick,
    scenario::{PREFIX, Scenario},
    scenarios,
    twins::assert_same,
};

scenarios![
    m1_job_taken_by_one_side_is_ended_by_the_other,
    m2_each_refusal_has_a_code_of_bullmq,
    m3_jobs_end_by_hand_as_those_of_node,
];

fn manual(scenario: &Scenario) -> ManualWorker<Value> {
    ManualWorker::new(scenario.queue.clone(), quick()).expect("good options")
}

async fn take_in_node(scenario: &Scenario, token: &str) -> Value {
    scenario.node.request("take", json!({"token": token})).await.expect("asked")["id"].clone()
}

async fn m1_job_taken_by_one_side_is_ended_by_the_other(scenario: &Scenario) {
    let ours = manual(scenario);
    assert!(ours.get_next_job("t:1").await.expect("asked").is_none());
    for id in ["a", "b"] {
        scenario.node.add(json!({"to": id}), json!({"jobId": id})).await;
    }
    let job = ours.get_next_job("t:1").await.expect("taken").expect("a job");
    assert_eq!((job.id.as_str(), &job.data, job.attempts_started), ("a", &json!({"to": "a"}), 1));
    scenario.node.job("a", "extendLock", json!(["t:1", 60_000])).await;
    assert!(scenario.redis.cmd::<i64>(&format!("PTTL {PREFIX}a:lock")).await > 10_000);
    scenario.node.job("a", "moveToCompleted", json!([7, "t:1", false])).await;

    assert_eq!(take_in_node(scenario, "t:2").await, "b");
    ours.extend_lock("b", "t:2", Duration::from_mins(2)).await.expect("extended");
    assert!(scenario.redis.cmd::<i64>(&format!("PTTL {PREFIX}b:lock")).await > 60_000);
    ours.finish_job("b", "t:2", Outcome::Completed(8.into())).await.expect("ended");
    let now = scenario.once_in("completed", 2).await;
    for (id, value) in [("a", "7"), ("b", "8")] {
        let hash = now.hash(id);
        assert_eq!((hash["returnvalue"].as_str(), hash["atm"].as_str(), hash["ats"].as_str()), (value, "1", "1"));
    }
}

async fn m2_each_refusal_has_a_code_of_bullmq(scenario: &Scenario) {
    let ours = manual(scenario);
    let set = async |command: &str| scenario.redis.cmd::<i64>(&command.replace("P:", PREFIX)).await;
    let end = async |id: &str, token: &str| {
        let theirs =
            scenario.node.request("job", json!({"jobId": id, "call": "moveToCompleted", "args": [1, token, false]}));
        let theirs = theirs.await.expect_err("refused");
        let before = scenario.snapshot().await.events().len();
        let error = ours.finish_job(id, token, Outcome::Completed(1.into())).await.expect_err("refused");
        assert_eq!(scenario.snapshot().await.events().len(), before);
        (theirs, error)
    };
    scenario.node.add(json!({}), json!({"jobId": "a"})).await;
    let (theirs, error) = end("a", "t:1").await;
    assert!(matches!(error, Error::LockMissing(_)) && theirs.contains("Missing lock"), "{theirs}, {error}");
    assert!(matches!(ours.extend_lock("a", "t:1", Duration::from_secs(9)).await, Err(Error::LockMissing(_))));

    ours.get_next_job("t:1").await.expect("taken").expect("a job");
    let (theirs, error) = end("a", "t:2").await;
    assert!(matches!(error, Error::LockMismatch(_)), "{error}");
    assert!(theirs.contains("mismatch") || theirs.contains("not owned"), "{theirs}");
    assert!(matches!(ours.extend_lock("a", "t:2", Duration::from_secs(9)).await, Err(Error::LockMismatch(_))));

    for token in ["", "0", "eh:1:a:1"] {
        assert!(matches!(ours.finish_job("a", token, Outcome::Released).await, Err(Error::BadToken)));
        assert!(matches!(ours.get_next_job(token).await, Err(Error::BadToken)));
    }
    let endless = ours.extend_lock("a", "t:1", Duration::MAX).await;
    assert!(matches!(endless, Err(Error::BadOption { option: "lock", .. })), "{endless:?}");

    // Locked, but taken out of `active` by somebody.
    set("LREM P:active 1 a").await;
    let error = ours.finish_job("a", "t:1", Outcome::Released).await.expect_err("refused");
    assert!(matches!(error, Error::NotActive(_)), "{error}");
    assert!(scenario.redis.cmd::<i64>(&format!("EXISTS {PREFIX}a:lock")).await == 1, "BullMQ deletes the lock");
    let theirs = json!({"jobId": "a", "call": "moveToCompleted", "args": [1, "t:1", false]});
    let theirs = scenario.node.request("job", theirs).await.expect_err("refused");
    assert!(theirs.contains("is not in the active state"), "{theirs}");
    set("LPUSH P:wait a").await;

    let error = ours.finish_job("none", "t:1", Outcome::Released).await.expect_err("refused");
    assert!(matches!(error, Error::NotFound(_)), "{error}");
    assert!(matches!(ours.extend_lock("none", "t:1", Duration::from_secs(9)).await, Err(Error::NotFound(_))));
}

async fn m3_jobs_end_by_hand_as_those_of_node(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    let worker = manual(ours);
    for scenario in [theirs, ours] {
        for id in ["done", "later", "back"] {
            scenario.node.add(json!({}), json!({"jobId": id})).await;
        }
    }
    for id in ["done", "later", "back"] {
        assert_eq!(take_in_node(theirs, id).await, id);
        // Node's taker has no name.
        let nameless = ManualWorker::new(ours.queue.clone(), quick().name("")).expect("good options");
        assert_eq!(nameless.get_next_job(id).await.expect("taken").expect("a job").id, id);
    }
    assert_same(theirs, ours, "taken").await;
    theirs.node.job("done", "moveToCompleted", json!([{"ok": true}, "done", false])).await;
    worker.finish_job("done", "done", Outcome::Completed(json!({"ok": true}))).await.expect("ended");
    let in_an_hour = crate::scenario::now_ms() + 3_600_000;
    theirs.node.job("later", "moveToDelayed", json!([in_an_hour, "later"])).await;
    worker.finish_job("later", "later", Outcome::Snoozed(Duration::from_hours(1))).await.expect("ended");
    theirs.node.job("back", "moveToWait", json!(["back"])).await;
    worker.finish_job("back", "back", Outcome::Released).await.expect("ended");
    for scenario in [theirs, ours] {
        // The delay is counted from the call.
        scenario.redis.cmd::<i64>("HDEL bull:email:later delay").await;
    }
    assert_same(theirs, ours, "ended").await;

    let job = worker.get_next_job("again").await.expect("taken").expect("a job");
    worker.finish_job(&job.id, "again", Outcome::Failed(Failure::new("boom"))).await.expect("ended");
    let failed = ours.snapshot().await;
    assert_eq!((failed.members("failed"), failed.hash("back")["failedReason"].as_str()), (vec!["back".into()], "boom"));
    ours.check().await;
}
