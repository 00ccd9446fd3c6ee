use std::time::Duration;

use examhall_queue::{Attempts, Error, Failure, Job, JobOptions, ListOrder, Outcome, RateLimit, State};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{Bench, done, job, named, quick};

/// Returns a queue with one job in each state but active.
async fn one_of_each() -> Bench {
    let bench = Bench::start().await;
    bench.add(named("done")).await;
    bench.add(urgent("broken", 3)).await;
    let handler = |job: Job<Value>| async move {
        if job.id == "done" { Outcome::Completed(Value::Null) } else { Outcome::Failed(Failure::new("451 greylisted")) }
    };
    bench.drain(handler).await;
    bench.add(named("ready")).await;
    bench.add(urgent("urgent", 2)).await;
    bench.add(urgent("later", 4).delay(Duration::from_hours(1))).await;
    bench
}

fn urgent(id: &str, priority: u32) -> JobOptions {
    named(id).priority(priority)
}

async fn ids(bench: &Bench, state: State, order: ListOrder) -> Vec<String> {
    let jobs = bench.queue.list(state, 0, 100, order).await.expect("listed");
    jobs.into_iter().map(|job| job.id).collect()
}

#[tokio::test]
async fn jobs_of_every_state_are_counted_listed_and_read() {
    let bench = one_of_each().await;
    let counts = bench.queue.counts().await.expect("counted");
    assert_eq!((counts.waiting, counts.prioritized, counts.delayed), (1, 1, 1));
    assert_eq!((counts.active, counts.completed, counts.failed), (0, 1, 1));
    for (state, id) in [
        (State::Waiting, "ready"),
        (State::Prioritized, "urgent"),
        (State::Delayed, "later"),
        (State::Completed, "done"),
        (State::Failed, "broken"),
    ] {
        assert_eq!(ids(&bench, state, ListOrder::OldestFirst).await, [id]);
        let record = bench.queue.get(id).await.expect("read").expect("there");
        assert_eq!((record.state, record.data["to"].as_str()), (state, Some("ü@x.example")));
    }
    let later = bench.queue.get("later").await.expect("read").expect("there");
    assert_eq!(later.due, Some(later.timestamp + 3_600_000));
    let broken = bench.queue.get("broken").await.expect("read").expect("there");
    assert_eq!(broken.failed_reason.as_deref(), Some("451 greylisted"));
    assert_eq!((broken.attempts_made, broken.processed_by.as_deref()), (1, Some("rust-1")));
    assert_eq!(bench.queue.get("none").await.expect("read"), None);
}

#[tokio::test]
async fn long_list_is_read_in_pages_from_either_end() {
    let bench = Bench::start().await;
    let jobs: Vec<_> = (0..7).map(|n| job(named(&format!("j{n}")))).collect();
    bench.queue.add_all(&jobs).await.expect("added");
    bench.redis.cmd::<String>("LMOVE bull:email:wait bull:email:paused RIGHT LEFT").await; // as BullMQ 5 does while paused
    let page = async |skip, order| -> Vec<String> {
        let jobs = bench.queue.list(State::Waiting, skip, 3, order).await.expect("listed");
        jobs.into_iter().map(|job| job.id).collect()
    };
    assert_eq!(page(0, ListOrder::OldestFirst).await, ["j1", "j2", "j3"]);
    assert_eq!(page(3, ListOrder::OldestFirst).await, ["j4", "j5", "j6"]);
    assert_eq!(page(6, ListOrder::OldestFirst).await, ["j0"]);
    assert_eq!(page(0, ListOrder::NewestFirst).await, ["j0", "j6", "j5"]);
    assert!(page(9, ListOrder::OldestFirst).await.is_empty());
}

#[tokio::test]
async fn retried_job_keeps_its_priority_and_may_reset_attempts() {
    let bench = one_of_each().await;
    bench.queue.retry("broken", Attempts::Reset).await.expect("retried");
    assert_eq!(ids(&bench, State::Prioritized, ListOrder::OldestFirst).await, ["urgent", "broken"]);
    let record = bench.queue.get("broken").await.expect("read").expect("there");
    assert_eq!((record.attempts_made, record.failed_reason, record.finished_on), (0, None, None));
    bench.queue.retry("done", Attempts::Keep).await.expect("retried");
    assert_eq!(bench.queue.get("done").await.expect("read").expect("there").attempts_made, 1);
    let refused = bench.queue.retry("urgent", Attempts::Keep).await.expect_err("it has not ended");
    assert_eq!(
        refused.to_string(),
        r#"job "urgent" is prioritized, and only a job that is completed or failed can be retried"#
    );
    assert!(matches!(bench.queue.retry("none", Attempts::Keep).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn retry_failed_filters_by_reason_and_keeps_priorities() {
    let bench = Bench::start().await;
    let jobs: Vec<_> = (0..1200).map(|n| job(urgent(&format!("j{n}"), 10))).collect();
    bench.queue.add_all(&jobs).await.expect("added");
    let handler = |job: Job<Value>| async move {
        let reason = if job.id.ends_with('7') { "550 no such user" } else { "451 try later" };
        Outcome::Failed(Failure::new(reason))
    };
    let worker = bench.worker(quick().concurrency(100), handler);
    worker.drain(Duration::ZERO, CancellationToken::new()).await;
    assert_eq!(bench.queue.retry_failed(Some("451"), Attempts::Reset).await.expect("retried"), 1080);
    let counts = bench.queue.counts().await.expect("counted");
    assert_eq!((counts.failed, counts.prioritized, counts.waiting), (120, 1080, 0));
    bench.add(urgent("urgent", 1)).await;
    assert_eq!(
        bench.queue.list(State::Prioritized, 0, 1, ListOrder::OldestFirst).await.expect("listed")[0].id,
        "urgent"
    );
    assert_eq!(bench.queue.retry_failed(None, Attempts::Keep).await.expect("retried"), 120);
}

#[tokio::test]
async fn promoted_job_keeps_its_priority() {
    let bench = one_of_each().await;
    bench.queue.promote("later").await.expect("promoted");
    assert_eq!(ids(&bench, State::Prioritized, ListOrder::OldestFirst).await, ["urgent", "later"]);
    assert!(matches!(bench.queue.promote("later").await, Err(Error::WrongState { .. })));
    bench.add(JobOptions::default().delay(Duration::from_hours(1))).await;
    assert_eq!(bench.queue.promote_all().await.expect("promoted"), 1);
    assert_eq!(bench.queue.counts().await.expect("counted").delayed, 0);
}

#[tokio::test]
async fn remove_works_in_every_state_but_active() {
    let bench = one_of_each().await;
    for id in ["ready", "urgent", "later", "done", "broken"] {
        bench.queue.remove(id).await.expect("removed");
    }
    assert!(matches!(bench.queue.remove("ready").await, Err(Error::NotFound(_))));
    bench.add(named("held")).await;
    bench.redis.cmd::<String>("LMOVE bull:email:wait bull:email:active RIGHT LEFT").await;
    bench.redis.cmd::<String>("SET bull:email:held:lock token").await;
    let refused = bench.queue.remove("held").await.expect_err("a worker has it");
    assert!(matches!(refused, Error::WrongState { state: State::Active, .. }), "{refused}");
}

#[tokio::test]
async fn clean_removes_old_jobs_only() {
    let bench = one_of_each().await;
    assert!(bench.queue.clean(State::Failed, Duration::from_hours(1), 10).await.expect("cleaned").is_empty());
    assert_eq!(bench.queue.clean(State::Failed, Duration::ZERO, 10).await.expect("cleaned"), ["broken"]);
    assert_eq!(bench.queue.clean(State::Waiting, Duration::ZERO, 0).await.expect("cleaned").len(), 0);
    assert_eq!(bench.queue.drain(false).await.expect("drained"), 2);
    assert_eq!(bench.queue.drain(true).await.expect("drained"), 1);
    assert_eq!(bench.redis.cmd::<Vec<String>>("KEYS bull:email:later*").await.len(), 0);
}

#[tokio::test]
async fn paused_queue_keeps_its_jobs_in_order() {
    let bench = Bench::start().await;
    bench.add(named("a")).await;
    bench.queue.pause().await.expect("paused");
    bench.add(named("b")).await;
    bench.queue.pause().await.expect("paused twice");
    assert!(bench.queue.is_paused().await.expect("asked"));
    assert_eq!(bench.drain(done).await.completed, 0);
    assert_eq!(bench.redis.cmd::<Vec<String>>("ZRANGE bull:email:marker 0 -1").await, Vec::<String>::new());
    assert_eq!(ids(&bench, State::Waiting, ListOrder::OldestFirst).await, ["a", "b"]);
    bench.queue.resume().await.expect("resumed");
    assert_eq!(ids(&bench, State::Waiting, ListOrder::OldestFirst).await, ["a", "b"]);
    assert_eq!(bench.drain(done).await.completed, 2);
}

#[tokio::test]
async fn obliterate_leaves_no_key() {
    let bench = one_of_each().await;
    assert!(matches!(bench.queue.obliterate(false).await, Err(Error::NotIdle(_))));
    bench.queue.pause().await.expect("paused");
    bench.queue.obliterate(false).await.expect("obliterated");
    assert_eq!(bench.redis.cmd::<Vec<String>>("KEYS bull:*").await, Vec::<String>::new());
}

#[tokio::test]
async fn oldest_waiting_job_is_read_for_each_priority() {
    let bench = one_of_each().await;
    bench.add(urgent("second", 2)).await;
    let timestamp = async |id| bench.queue.get(id).await.expect("read").expect("there").timestamp;
    let oldest = bench.queue.oldest_waiting().await.expect("asked");
    let expected = [(0, timestamp("ready").await, 1), (2, timestamp("urgent").await, 2)];
    assert_eq!(oldest.iter().map(|job| (job.priority, job.timestamp, job.jobs)).collect::<Vec<_>>(), expected);
    let ended = bench.queue.ended_within(Duration::from_mins(1)).await.expect("asked");
    assert_eq!((ended.completed, ended.failed), (1, 1));
}

#[tokio::test]
async fn drain_waits_for_the_rate_limit() {
    let bench = Bench::start().await;
    bench.queue.set_rate_limit(Some(RateLimit::new(2, Duration::from_millis(400)))).await.expect("set");
    for _ in 0..5 {
        bench.add(JobOptions::default()).await;
    }
    let started = std::time::Instant::now();
    assert_eq!(bench.drain(done).await.completed, 5);
    assert!(started.elapsed() >= Duration::from_millis(800), "2 + 2 + 1: {:?}", started.elapsed());
}

#[tokio::test]
async fn rate_limited_job_runs_again_and_loses_no_attempt() {
    let bench = Bench::start().await;
    bench.add(JobOptions::default()).await;
    let handler = |job: Job<Value>| async move {
        if job.attempts_started == 1 {
            Outcome::RateLimited(Duration::from_millis(300))
        } else {
            Outcome::Completed(job.attempts_made.into())
        }
    };
    let started = std::time::Instant::now();
    bench.worker(quick(), handler).drain(Duration::from_secs(5), CancellationToken::new()).await;
    assert!(started.elapsed() >= Duration::from_millis(300));
    let record = bench.queue.get("1").await.expect("read").expect("there");
    assert_eq!((record.returnvalue, record.attempts_made), (Some(Value::from(0)), 1));
}

#[tokio::test]
async fn connected_worker_is_listed_by_its_name() {
    let bench = Bench::start().await;
    let (stop, running) = bench.run(done);
    let workers = examhall_testkit::eventually("a worker", Duration::from_secs(20), || async {
        bench.queue.workers().await.ok().filter(|workers| !workers.is_empty())
    })
    .await;
    assert_eq!(workers[0].name, "rust-1");
    stop.cancel();
    running.await.expect("stops");
}

#[tokio::test]
async fn server_that_may_evict_jobs_causes_a_warning() {
    let bench = Bench::start().await;
    assert_eq!(bench.queue.check_server().await.expect("checked"), []);
    bench.redis.cmd::<String>("CONFIG SET maxmemory-policy allkeys-lru").await;
    let warnings = bench.queue.check_server().await.expect("checked");
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["Redis may throw away jobs when its memory is full: set maxmemory-policy to noeviction (it is allkeys-lru)"]
    );
}
