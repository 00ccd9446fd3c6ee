use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use examhall_core::{Backoff, RetryPolicy};
use examhall_queue::{Failure, Job, JobOptions, Outcome, Retention, State, WorkerOptions};
use examhall_testkit::eventually;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{Bench, quick, watchful};

const PATIENCE: Duration = Duration::from_mins(1);

async fn in_state(bench: &Bench, set: &str, count: i64) {
    eventually(&format!("{count} jobs in {set}"), PATIENCE, || async {
        (bench.redis.cmd::<i64>(&format!("ZCARD bull:email:{set}")).await == count).then_some(())
    })
    .await;
}

fn retried(attempts: u32, backoff: Backoff) -> JobOptions {
    JobOptions { retry: RetryPolicy { attempts, backoff }, ..JobOptions::default() }
}

#[tokio::test]
async fn a_completed_job_has_its_value_and_its_times() {
    let bench = Bench::start().await;
    let id = bench.add(JobOptions::default()).await;
    let (stop, running) =
        bench.run(|job: Job<Value>| async move { Outcome::Completed(json!({"to": job.data["to"]})) }).await;
    in_state(&bench, "completed", 1).await;
    let hash = bench.hash(&id).await;
    assert_eq!(hash["returnvalue"], r#"{"to":"ü@x.example"}"#);
    assert_eq!((hash["atm"].as_str(), hash["ats"].as_str(), hash["pb"].as_str()), ("1", "1", "rust-1"));
    assert!(hash["processedOn"] <= hash["finishedOn"]);
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:1:lock bull:email:active bull:email:wait").await, 0);
    stop.cancel();
    running.await.expect("stops");
}

#[tokio::test]
async fn jobs_run_in_bullmqs_order_first_those_without_priority() {
    let bench = Bench::start().await;
    for (id, priority) in [("p5", 5), ("p1", 1), ("none-a", 0), ("p2", 2), ("none-b", 0)] {
        bench.add(JobOptions { job_id: Some(id.into()), priority, ..JobOptions::default() }).await;
    }
    let (ran, mut order) = mpsc::unbounded_channel();
    let handler = move |job: Job<Value>| {
        ran.send(job.id).expect("the test listens");
        async { Outcome::Completed(Value::Null) }
    };
    let options = examhall_queue::WorkerOptions { concurrency: 1, ..quick() };
    bench.worker(options, handler).await.drain(Duration::ZERO, CancellationToken::new()).await;
    let mut ids = Vec::new();
    while let Ok(id) = order.try_recv() {
        ids.push(id);
    }
    assert_eq!(ids, ["none-a", "none-b", "p1", "p2", "p5"]);
}

#[tokio::test]
async fn a_failure_is_retried_after_the_backoff_and_fails_when_no_attempt_is_left() {
    let bench = Bench::start().await;
    let id = bench.add(retried(3, Backoff::exponential(Duration::from_millis(100)))).await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let (_stop, _running) = bench
        .run(move |_| {
            let run = counted.fetch_add(1, Ordering::SeqCst) + 1;
            async move { Outcome::Failed(Failure::new(format!("boom{run}"))) }
        })
        .await;
    in_state(&bench, "failed", 1).await;
    let hash = bench.hash(&id).await;
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    assert_eq!((hash["atm"].as_str(), hash["ats"].as_str()), ("3", "3"));
    assert_eq!(hash["failedReason"], "boom3");
    assert_eq!(hash["stacktrace"], r#"["Error: boom1","Error: boom2","Error: boom3"]"#);
}

#[tokio::test]
async fn a_retry_keeps_the_jobs_priority() {
    let bench = Bench::start().await;
    let options = JobOptions { priority: 4, ..retried(2, Backoff::fixed(Duration::ZERO)) };
    let id = bench.add(options).await;
    let (reached, mut turns) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(1));
    let open = Arc::clone(&gate);
    let options = examhall_queue::WorkerOptions { concurrency: 1, ..quick() };
    let handler = move |job: Job<Value>| {
        let (reached, gate) = (reached.clone(), Arc::clone(&gate));
        async move {
            reached.send(job.priority).expect("the test listens");
            gate.acquire().await.expect("open").forget();
            if job.attempts_made == 0 { Outcome::Failed(Failure::new("x")) } else { Outcome::Completed(Value::Null) }
        }
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(bench.worker(options, handler).await.run(stop.clone()));
    assert_eq!(turns.recv().await, Some(4));
    assert_eq!(turns.recv().await, Some(4), "the second run");
    open.add_permits(1);
    in_state(&bench, "completed", 1).await;
    assert_eq!(bench.field(&id, "priority").await.as_deref(), Some("4"));
    stop.cancel();
    running.await.expect("stops");
}

#[tokio::test]
async fn a_panicking_handler_fails_its_job_and_not_the_worker() {
    let bench = Bench::start().await;
    let bad = bench.add(JobOptions { job_id: Some("bad".into()), ..JobOptions::default() }).await;
    bench.add(JobOptions { job_id: Some("good".into()), ..JobOptions::default() }).await;
    let (_stop, _running) = bench
        .run(|job: Job<Value>| async move {
            assert!(job.id != "bad", "told to panic");
            Outcome::Completed(Value::Null)
        })
        .await;
    in_state(&bench, "completed", 1).await;
    in_state(&bench, "failed", 1).await;
    assert_eq!(bench.field(&bad, "failedReason").await.as_deref(), Some("the handler panicked"));
}

#[tokio::test]
async fn a_job_that_cannot_be_read_fails_with_a_reason_and_the_next_one_runs() {
    let bench = Bench::start().await;
    bench.redis.command::<i64>(&["HSET", "bull:email:bad", "name", "x", "data", "{", "opts", "{}"]).await;
    bench.redis.cmd::<i64>("LPUSH bull:email:wait bad ghost").await;
    bench.add(JobOptions::default()).await;
    let (_stop, _running) = bench.run(|_| async { Outcome::Completed(Value::Null) }).await;
    in_state(&bench, "completed", 1).await;
    in_state(&bench, "failed", 1).await;
    let reason = bench.field("bad", "failedReason").await.expect("a reason");
    assert!(reason.starts_with("the job's data cannot be read: EOF"), "{reason}");
}

#[tokio::test]
async fn an_id_without_a_hash_is_dropped_and_can_be_added_again() {
    let bench = Bench::start().await;
    bench.redis.cmd::<i64>("LPUSH bull:email:wait ghost other-ghost").await;
    bench.redis.cmd::<i64>("ZADD bull:email:prioritized 1 evicted").await;
    bench.add(JobOptions::default()).await;
    let (_stop, _running) = bench.run(|_| async { Outcome::Completed(Value::Null) }).await;
    in_state(&bench, "completed", 1).await;
    let dropped = async || {
        let left =
            "EXISTS bull:email:wait bull:email:prioritized bull:email:active bull:email:ghost bull:email:ghost:lock";
        (bench.redis.cmd::<i64>(left).await == 0).then_some(())
    };
    eventually("nothing is left of them", PATIENCE, dropped).await;
    bench.add(JobOptions { job_id: Some("ghost".into()), ..JobOptions::default() }).await;
    in_state(&bench, "completed", 2).await;
}

#[tokio::test]
async fn what_is_left_of_a_job_that_no_list_holds_is_removed_once_it_is_asked_after() {
    let bench = Bench::start().await;
    for id in ["waits", "orphan", "held"] {
        bench.add(JobOptions { job_id: Some(id.into()), ..JobOptions::default() }).await;
    }
    bench.redis.cmd::<i64>("LREM bull:email:wait 1 orphan").await;
    bench.redis.cmd::<i64>("LREM bull:email:wait 1 held").await;
    bench.redis.cmd::<String>("SET bull:email:held:lock token").await;
    bench.redis.cmd::<i64>("LPUSH bull:email:wait ghost").await;
    let ids = ["waits", "orphan", "held", "ghost", "none"].map(str::to_owned);
    let states = bench.queue.states(&ids).await.expect("asked");
    assert_eq!(states, [Some(State::Waiting), None, Some(State::Active), None, None]);
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:orphan").await, 0, "its id can be added again");
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:waits bull:email:held").await, 2);
}

#[tokio::test]
async fn a_worker_whose_slots_are_full_wakes_another_at_once() {
    let bench = Bench::start().await;
    let never = WorkerOptions { drain_delay: Duration::from_mins(10), ..quick() };
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let holding = move |job: Job<Value>| {
        let gate = held.clone();
        async move {
            if job.id != "first" || gate.acquire().await.map(SemaphorePermit::forget).is_err() {
                std::future::pending::<()>().await;
            }
            Outcome::Completed(Value::Null)
        }
    };
    let full = bench.worker(WorkerOptions { concurrency: 2, ..never.clone() }, holding).await;
    tokio::spawn(full.run(CancellationToken::new()));
    bench.add(JobOptions { job_id: Some("first".into()), ..JobOptions::default() }).await;
    active(&bench, 1).await;
    sleeping(&bench, 1).await; // for its other slot
    let idle = bench.worker(never, |_| async { Outcome::Completed(Value::Null) }).await;
    tokio::spawn(idle.run(CancellationToken::new()));
    sleeping(&bench, 2).await;
    // Nobody is told of three more. Once the first one has ended, two fill the slots; that there is another one is told to
    // who has slept longest, which is the one that is full.
    for id in ["second", "third", "fourth"] {
        let hash = format!("bull:email:{id}");
        bench.redis.command::<i64>(&["HSET", &hash, "name", "x", "data", "{}", "opts", "{}", "timestamp", "1"]).await;
        bench.redis.cmd::<i64>(&format!("LPUSH bull:email:wait {id}")).await;
    }
    gate.add_permits(1);
    active(&bench, 2).await;
    in_state(&bench, "completed", 2).await;
}

async fn active(bench: &Bench, jobs: i64) {
    let taken = async || (bench.redis.cmd::<i64>("LLEN bull:email:active").await == jobs).then_some(());
    eventually("jobs in hand", PATIENCE, taken).await;
}

/// Waits until that many workers sleep on the marker.
async fn sleeping(bench: &Bench, workers: usize) {
    let asleep = async || {
        let clients = bench.redis.cmd::<String>("CLIENT LIST").await;
        let blocked = clients.lines().filter(|line| line.contains("cmd=bzpopmin") && line.contains("flags=b"));
        (blocked.count() == workers).then_some(())
    };
    eventually("workers asleep", PATIENCE, asleep).await;
}

#[tokio::test]
async fn what_is_to_be_removed_is_removed() {
    let bench = Bench::start().await;
    let removed = JobOptions { remove_on_complete: Some(Retention::Remove), ..JobOptions::default() };
    let newest = JobOptions { remove_on_complete: Some(Retention::Newest(2)), ..JobOptions::default() };
    bench.add(removed).await;
    for _ in 0..3 {
        bench.add(newest.clone()).await;
    }
    let handler = |_| async { Outcome::Completed(Value::Null) };
    let options = examhall_queue::WorkerOptions { concurrency: 1, ..quick() };
    let drained = bench.worker(options, handler).await.drain(Duration::ZERO, CancellationToken::new()).await;
    assert_eq!(drained.completed, 4);
    assert_eq!(bench.redis.cmd::<Vec<String>>("ZRANGE bull:email:completed 0 -1").await, ["3", "4"]);
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:1 bull:email:2").await, 0);
}

#[tokio::test]
async fn a_worker_that_sleeps_is_woken_by_a_job_and_by_a_delay_that_ends() {
    let bench = Bench::start().await;
    let (ran, mut ids) = mpsc::unbounded_channel();
    let options = examhall_queue::WorkerOptions { drain_delay: Duration::from_mins(2), ..quick() };
    let handler = move |job: Job<Value>| {
        ran.send(job.id).expect("the test listens");
        async { Outcome::Completed(Value::Null) }
    };
    let (_stop, _running) = bench.run_with(options, handler).await;
    // Sleeping: BullMQ's marker is waited for.
    eventually("a blocked client", PATIENCE, || async {
        bench.redis.cmd::<String>("INFO clients").await.contains("blocked_clients:1").then_some(())
    })
    .await;
    let started = std::time::Instant::now();
    let delay = Duration::from_secs(2);
    bench.add(JobOptions { job_id: Some("later".into()), delay, ..JobOptions::default() }).await;
    bench.add(JobOptions { job_id: Some("now".into()), ..JobOptions::default() }).await;
    assert_eq!(ids.recv().await.as_deref(), Some("now"));
    assert_eq!(ids.recv().await.as_deref(), Some("later"));
    let waited = started.elapsed();
    assert!(waited >= delay && waited < Duration::from_mins(1), "within the sleep of 2 min: {waited:?}");
}

#[tokio::test]
async fn a_lock_is_kept_while_its_handler_runs() {
    let bench = Bench::start().await;
    bench.add(JobOptions::default()).await;
    let gate = Arc::new(Semaphore::new(0));
    let inside = Arc::clone(&gate);
    let lock = Duration::from_secs(2);
    let options = examhall_queue::WorkerOptions { lock, stalled_interval: lock, ..quick() };
    let handler = move |_| {
        let gate = Arc::clone(&inside);
        async move {
            gate.acquire().await.expect("open").forget();
            Outcome::Completed(Value::Null)
        }
    };
    let (_stop, _running) = bench.run_with(options, handler).await;
    let mut clock = tokio::time::interval(Duration::from_millis(50));
    eventually("the job is active", PATIENCE, || async {
        (bench.redis.cmd::<i64>("LLEN bull:email:active").await == 1).then_some(())
    })
    .await;
    let until = std::time::Instant::now() + 3 * lock;
    while std::time::Instant::now() < until {
        assert!(bench.redis.cmd::<i64>("PTTL bull:email:1:lock").await > 0, "the lock ended");
        clock.tick().await;
    }
    gate.add_permits(1);
    in_state(&bench, "completed", 1).await;
    let hash = bench.hash("1").await;
    assert_eq!((hash["ats"].as_str(), hash.get("stc")), ("1", None));
}

#[tokio::test]
async fn a_job_whose_worker_vanishes_is_run_by_another_with_its_priority() {
    let bench = Bench::start().await;
    let id = bench.add(JobOptions { priority: 3, ..JobOptions::default() }).await;
    let (taken, mut has) = mpsc::unbounded_channel();
    let handler = move |_| {
        taken.send(()).expect("the test listens");
        std::future::pending()
    };
    let options = examhall_queue::WorkerOptions { lock: Duration::from_secs(1), ..quick() };
    let (_stop, vanishing) = bench.run_with(options, handler).await;
    has.recv().await;
    vanishing.abort(); // its locks are renewed no more, and it reports nothing
    let (_stop, _running) = bench.run_with(watchful(), |_| async { Outcome::Completed(Value::Null) }).await;
    in_state(&bench, "completed", 1).await;
    let hash = bench.hash(&id).await;
    assert_eq!((hash["stc"].as_str(), hash["ats"].as_str(), hash["atm"].as_str()), ("1", "2", "1"));
    assert_eq!(hash["priority"], "3");
}

#[tokio::test]
async fn a_job_that_lost_too_many_workers_fails_without_being_run() {
    let bench = Bench::start().await;
    bench.add(JobOptions::default()).await;
    bench
        .redis
        .command::<i64>(&["HSET", "bull:email:1", "stc", "2", "defa", "job stalled more than allowable limit"])
        .await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let (_stop, _running) = bench
        .run(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Outcome::Completed(Value::Null) }
        })
        .await;
    in_state(&bench, "failed", 1).await;
    let hash = bench.hash("1").await;
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    assert_eq!(hash["failedReason"], "job stalled more than allowable limit");
    assert!(!hash.contains_key("defa"), "a retry by hand must run");
}

#[tokio::test]
async fn an_ending_without_the_lock_changes_nothing() {
    let bench = Bench::start().await;
    bench.add(JobOptions::default()).await;
    let gate = Arc::new(Semaphore::new(0));
    let (inside, runs) = (Arc::clone(&gate), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&runs);
    let handler = move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&inside);
        async move {
            gate.acquire().await.expect("open").forget();
            Outcome::Completed(Value::Null)
        }
    };
    let (_stop, _running) = bench.run_with(watchful(), handler).await;
    eventually("taken", PATIENCE, || async { (runs.load(Ordering::SeqCst) == 1).then_some(()) }).await;
    bench.redis.cmd::<i64>("DEL bull:email:1:lock").await;
    gate.add_permits(1);
    eventually("run again", PATIENCE, || async { (runs.load(Ordering::SeqCst) == 2).then_some(()) }).await;
    assert_eq!(bench.redis.cmd::<i64>("ZCARD bull:email:completed").await, 0, "the first ending did not count");
    gate.add_permits(1);
    in_state(&bench, "completed", 1).await;
    assert_eq!(bench.field("1", "stc").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_stopping_worker_finishes_what_it_has_and_takes_nothing_more() {
    let bench = Bench::start().await;
    for _ in 0..3 {
        bench.add(JobOptions::default()).await;
    }
    let gate = Arc::new(Semaphore::new(0));
    let inside = Arc::clone(&gate);
    let (begun, mut running_now) = mpsc::unbounded_channel();
    let handler = move |_| {
        begun.send(()).expect("the test listens");
        let gate = Arc::clone(&inside);
        async move {
            gate.acquire().await.expect("open").forget();
            Outcome::Completed(Value::Null)
        }
    };
    let options = examhall_queue::WorkerOptions { concurrency: 2, ..quick() };
    let stop = CancellationToken::new();
    let running = tokio::spawn(bench.worker(options, handler).await.run(stop.clone()));
    running_now.recv().await;
    running_now.recv().await;
    stop.cancel();
    gate.add_permits(3);
    running.await.expect("stops");
    assert_eq!(bench.redis.cmd::<i64>("ZCARD bull:email:completed").await, 2);
    assert_eq!(bench.redis.cmd::<i64>("LLEN bull:email:wait").await, 1);
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_given_back_and_loses_no_attempt() {
    let bench = Bench::start().await;
    let id = bench.add(JobOptions { priority: 2, ..retried(1, Backoff::fixed(Duration::ZERO)) }).await;
    let (begun, mut running_now) = mpsc::unbounded_channel();
    let handler = move |_| {
        begun.send(()).expect("the test listens");
        std::future::pending()
    };
    let options = examhall_queue::WorkerOptions { grace: Duration::from_millis(50), ..quick() };
    let stop = CancellationToken::new();
    let running = tokio::spawn(bench.worker(options, handler).await.run(stop.clone()));
    running_now.recv().await;
    stop.cancel();
    running.await.expect("stops");
    assert_eq!(bench.redis.cmd::<Vec<String>>("ZRANGE bull:email:prioritized 0 -1").await, ["1"]);
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:1:lock bull:email:active").await, 0);
    assert_eq!(bench.field(&id, "atm").await, None);
}

#[tokio::test]
async fn a_parked_job_runs_later_and_loses_no_attempt() {
    let bench = Bench::start().await;
    bench.add(retried(1, Backoff::fixed(Duration::ZERO))).await;
    let (_stop, _running) = bench
        .run(|job: Job<Value>| async move {
            if job.attempts_started == 1 {
                Outcome::Parked(Duration::from_millis(100))
            } else {
                Outcome::Completed(Value::Null)
            }
        })
        .await;
    in_state(&bench, "completed", 1).await;
    let hash = bench.hash("1").await;
    assert_eq!((hash["ats"].as_str(), hash["atm"].as_str(), hash.get("failedReason")), ("2", "1", None));
}

#[tokio::test]
async fn nothing_is_taken_while_the_queue_is_paused() {
    let bench = Bench::start().await;
    bench.redis.cmd::<i64>("HSET bull:email:meta paused 1").await;
    bench.add(JobOptions::default()).await;
    let handler = |_| async { Outcome::Completed(Value::Null) };
    let drained = bench.worker(quick(), handler).await.drain(Duration::ZERO, CancellationToken::new()).await;
    assert_eq!(drained.completed, 0);
    assert_eq!(bench.redis.cmd::<i64>("LLEN bull:email:paused").await, 1);
}

#[tokio::test]
async fn draining_waits_for_near_retries_and_reports_far_ones() {
    let bench = Bench::start().await;
    bench.add(retried(2, Backoff::fixed(Duration::from_millis(100)))).await;
    bench.add(retried(2, Backoff::fixed(Duration::from_hours(1)))).await;
    let handler = |job: Job<Value>| async move {
        if job.attempts_made == 0 { Outcome::Failed(Failure::new("x")) } else { Outcome::Completed(Value::Null) }
    };
    let drained = bench.worker(quick(), handler).await.drain(Duration::from_secs(15), CancellationToken::new()).await;
    assert_eq!((drained.completed, drained.retried_later, drained.failed.len()), (1, 1, 0));
}
