//! Ids that are names of other keys of the queue.

use std::time::Duration;

use examhall_queue::{Among, Attempts, Error, JobOptions, State};
use serde_json::json;

use crate::{Bench, done, job, named};

/// Names of keys, and of a job's other keys.
const NAMES: [&str; 14] = [
    "meta",
    "events",
    "wait",
    "id",
    "marker",
    "completed",
    "repeat:report",
    "metrics:completed",
    "metrics:completed:data",
    "de:mail",
    "dn:mail",
    "guest:logs",
    "guest:lock",
    "",
];

#[tokio::test]
async fn names_of_keys_are_refused_by_every_call() {
    let bench = Bench::start().await;
    bench.add(named("guest")).await;
    bench.drain(done).await;
    bench.add(named("waits")).await;
    bench.queue.pause().await.expect("paused");
    for (key, fields) in [("repeat:report", "name x every 1000"), ("dn:mail", "name x data {} opts {}")] {
        bench.redis.cmd::<i64>(&format!("HSET bull:email:{key} {fields}")).await;
    }
    bench.redis.cmd::<i64>("HSET bull:email:metrics:completed count 7").await;
    let (before, queue) = (bench.dump().await, &bench.queue);
    for id in NAMES {
        let calls = [
            queue.get(id).await.map(drop),
            queue.raw(id).await.map(drop),
            queue.logs(id, 0, 9).await.map(drop),
            queue.retry(id, Attempts::Reset).await,
            queue.promote(id).await,
            queue.remove(id).await,
            queue.update_data(id, &json!({})).await,
            queue.change_delay(id, Duration::ZERO).await,
            queue.change_priority(id, 1, Among::First).await,
            queue.set_progress(id, &1).await,
            queue.add_log(id, "line", None).await.map(drop),
            queue.clear_logs(id, 0).await,
            queue.wait_for_end(id, Duration::ZERO).await.map(drop),
            queue.add(job(JobOptions::default().job_id(id))).await.map(drop),
        ];
        for (call, result) in calls.into_iter().enumerate() {
            assert!(
                matches!(&result, Err(Error::BadJobId { id: of, .. }) if of == id),
                "{id:?}, call {call}: {result:?}"
            );
        }
        assert_eq!(queue.states(&[id.to_owned()]).await.expect("asked"), [None]);
    }
    assert_eq!(bench.dump().await, before);
    assert!(queue.is_paused().await.expect("asked"));
}

#[tokio::test]
async fn hash_that_is_no_job_is_not_found() {
    let bench = Bench::start().await;
    bench.redis.cmd::<i64>("HSET bull:email:other name x").await;
    bench.redis.cmd::<String>("SET bull:email:text x").await;
    let before = bench.dump().await;
    for id in ["other", "text", "none"] {
        let removed = bench.queue.remove(id).await;
        assert!(matches!(removed, Err(Error::NotFound(_))), "{id}: {removed:?}");
        assert_eq!(bench.queue.get(id).await.expect("read"), None, "{id}");
    }
    assert_eq!(bench.dump().await, before);
}

#[tokio::test]
async fn getters_leave_a_parent_that_waits_as_it_is() {
    let bench = Bench::start().await;
    bench.redis.cmd::<i64>("HSET bull:email:parent name x data {} opts {} timestamp 1").await;
    bench.redis.cmd::<i64>("SADD bull:email:parent:dependencies bull:email:child").await;
    bench.redis.cmd::<i64>("ZADD bull:email:waiting-children 1 parent").await;
    let before = bench.dump().await;
    let states = bench.queue.states(&["parent".to_owned()]).await.expect("asked");
    assert_eq!(states, [Some(State::WaitingChildren)]);
    assert_eq!(bench.queue.get("parent").await.expect("read").map(|job| job.state), Some(State::WaitingChildren));
    assert_eq!(bench.dump().await, before);
    bench.queue.remove("parent").await.expect("removed");
    let left = "EXISTS bull:email:parent bull:email:parent:dependencies bull:email:waiting-children";
    assert_eq!(bench.redis.cmd::<i64>(left).await, 0);
}
