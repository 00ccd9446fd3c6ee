//! Jobs of which an eviction or another client has deleted a part.

use std::time::Duration;

use examhall_queue::{Error, Failure, JobOptions, ManualWorker, Outcome, Retention, State, WorkerOptions};
use examhall_testkit::eventually;

use crate::{Bench, TIMEOUT, done, named};

#[tokio::test]
async fn id_without_a_hash_is_dropped_and_can_be_added_again() {
    let bench = Bench::start().await;
    bench.redis.cmd::<i64>("LPUSH bull:email:wait ghost other-ghost").await;
    bench.redis.cmd::<i64>("ZADD bull:email:prioritized 1 evicted").await;
    bench.add(JobOptions::default()).await;
    let (_stop, _running) = bench.run(done);
    bench.in_state("completed", 1).await;
    let dropped = async || {
        let left =
            "EXISTS bull:email:wait bull:email:prioritized bull:email:active bull:email:ghost bull:email:ghost:lock";
        (bench.redis.cmd::<i64>(left).await == 0).then_some(())
    };
    eventually("the ids are dropped", TIMEOUT, dropped).await;
    bench.add(named("ghost")).await;
    bench.in_state("completed", 2).await;
}

#[tokio::test]
async fn id_without_a_hash_gets_none_when_it_becomes_ready() {
    let bench = Bench::start().await;
    let due = 4096_i64 << 40; // in the year 2004
    bench.redis.cmd::<i64>(&format!("ZADD bull:email:delayed {due} promoted {due} due")).await;
    let promoted = bench.queue.promote("promoted").await;
    assert!(matches!(promoted, Err(Error::NotFound(id)) if id == "promoted"));
    bench.redis.cmd::<i64>("LPUSH bull:email:active vanished").await;
    bench.redis.cmd::<i64>("SADD bull:email:stalled vanished").await;
    let (_stop, _running) = bench.run(done);
    let dropped = async || {
        let left = "EXISTS bull:email:wait bull:email:active bull:email:delayed";
        (bench.redis.cmd::<i64>(left).await == 0).then_some(())
    };
    eventually("the ids are dropped", TIMEOUT, dropped).await;
    let hashes = "EXISTS bull:email:promoted bull:email:due bull:email:vanished";
    assert_eq!(bench.redis.cmd::<i64>(hashes).await, 0, "a hash would block the id");
}

#[tokio::test]
async fn only_what_is_left_of_jobs_in_no_state_is_deleted() {
    let bench = Bench::start().await;
    for id in ["waits", "orphan", "held"] {
        bench.add(named(id)).await;
    }
    bench.redis.cmd::<i64>("LREM bull:email:wait 1 orphan").await;
    bench.redis.cmd::<i64>("LREM bull:email:wait 1 held").await;
    bench.redis.cmd::<String>("SET bull:email:held:lock token").await;
    bench.redis.cmd::<i64>("LPUSH bull:email:wait ghost").await;
    bench.redis.cmd::<i64>("HSET bull:email:parent name x data {} opts {} timestamp 1").await;
    bench.redis.cmd::<i64>("ZADD bull:email:waiting-children 1 parent").await;
    let ids = ["waits", "orphan", "held", "ghost", "none", "meta", "events", "parent"].map(str::to_owned);
    let before = bench.dump().await;
    let states = bench.queue.states(&ids).await.expect("asked");
    let none = None::<State>;
    assert_eq!(states[..6], [Some(State::Waiting), none, Some(State::Active), none, none, none]);
    assert_eq!(bench.dump().await, before, "a getter writes nothing");
    assert_eq!(bench.queue.remove_orphaned(&ids).await.expect("removed"), ["orphan"]);
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:orphan").await, 0, "its id can be added again");
    let kept = "EXISTS bull:email:waits bull:email:held bull:email:meta bull:email:events bull:email:parent";
    assert_eq!(bench.redis.cmd::<i64>(kept).await, 5);
}

#[tokio::test]
async fn job_that_is_gone_when_its_run_ends_leaves_nothing() {
    let bench = Bench::start().await;
    let worker = |options| ManualWorker::new(bench.queue.clone(), options).expect("good options");
    let kept = worker(WorkerOptions::default());
    let removed = worker(WorkerOptions::default().remove_on_complete(Retention::Remove));
    for (name, worker, outcome) in [
        ("completed", &kept, Outcome::Completed(1.into())),
        ("completed and removed", &removed, Outcome::Completed(1.into())),
        ("failed", &kept, Outcome::Unrecoverable(Failure::new("boom"))),
        ("snoozed", &kept, Outcome::Snoozed(Duration::from_mins(1))),
        ("released", &kept, Outcome::Released),
    ] {
        bench.add(named("x")).await;
        worker.get_next_job("t").await.expect("asked").expect("a job");
        bench.redis.cmd::<i64>("DEL bull:email:x").await;
        let ended = worker.finish_job("x", "t", outcome).await;
        assert!(matches!(ended, Err(Error::NotFound(_))), "{name}: {ended:?}");
        let left = "EXISTS bull:email:x bull:email:x:lock bull:email:active bull:email:completed bull:email:failed \
                    bull:email:delayed bull:email:wait";
        assert_eq!(bench.redis.cmd::<i64>(left).await, 0, "{name}");
    }

    // Only a part is gone, by which the script could take the job for gone.
    bench.add(named("x")).await;
    kept.get_next_job("t").await.expect("asked").expect("a job");
    bench.redis.cmd::<i64>("HDEL bull:email:x ats").await;
    kept.finish_job("x", "t", Outcome::Completed(1.into())).await.expect("ended");
    assert_eq!(bench.queue.get("x").await.expect("read").expect("kept").state, State::Completed);
}
