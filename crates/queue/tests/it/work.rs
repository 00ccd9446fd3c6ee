use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use examhall_queue::{Backoff, Error, Failure, Job, JobOptions, NewJob, Outcome, Retention, RetryPolicy, Worker};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{Bench, done, gated, named, quick};

fn retried(attempts: u32, backoff: Backoff) -> JobOptions {
    JobOptions::default().retry(RetryPolicy::new(attempts, backoff))
}

#[tokio::test]
async fn completed_job_has_its_value_and_times() {
    let bench = Bench::start().await;
    let id = bench.add(JobOptions::default()).await;
    let (stop, running) = bench.run(|job: Job<Value>| async move { Outcome::Completed(json!({"to": job.data["to"]})) });
    bench.in_state("completed", 1).await;
    let hash = bench.hash(&id).await;
    assert_eq!(hash["returnvalue"], r#"{"to":"ü@x.example"}"#);
    assert_eq!((hash["atm"].as_str(), hash["ats"].as_str(), hash["pb"].as_str()), ("1", "1", "rust-1"));
    assert!(hash["processedOn"] <= hash["finishedOn"]);
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:1:lock bull:email:active bull:email:wait").await, 0);
    stop.cancel();
    running.await.expect("stops");
}

#[tokio::test]
async fn jobs_without_priority_run_first() {
    let bench = Bench::start().await;
    for (id, priority) in [("p5", 5), ("p1", 1), ("none-a", 0), ("p2", 2), ("none-b", 0)] {
        bench.add(named(id).priority(priority)).await;
    }
    let (ran, mut order) = mpsc::unbounded_channel();
    let handler = move |job: Job<Value>| {
        ran.send(job.id).expect("the test listens");
        async { Outcome::Completed(Value::Null) }
    };
    let options = quick().concurrency(1);
    bench.worker(options, handler).drain(Duration::ZERO, CancellationToken::new()).await;
    let mut ids = Vec::new();
    while let Ok(id) = order.try_recv() {
        ids.push(id);
    }
    assert_eq!(ids, ["none-a", "none-b", "p1", "p2", "p5"]);
}

#[tokio::test]
async fn failed_job_is_retried_until_no_attempt_is_left() {
    let bench = Bench::start().await;
    let id = bench.add(retried(3, Backoff::exponential(Duration::from_millis(100)))).await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let (_stop, _running) = bench.run(move |_| {
        let run = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Outcome::Failed(Failure::new(format!("boom{run}"))) }
    });
    bench.in_state("failed", 1).await;
    let hash = bench.hash(&id).await;
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    assert_eq!((hash["atm"].as_str(), hash["ats"].as_str()), ("3", "3"));
    assert_eq!(hash["failedReason"], "boom3");
    assert_eq!(hash["stacktrace"], r#"["Error: boom1","Error: boom2","Error: boom3"]"#);
}

#[tokio::test]
async fn retry_keeps_the_priority() {
    let bench = Bench::start().await;
    let options = retried(2, Backoff::fixed(Duration::ZERO)).priority(4);
    let id = bench.add(options).await;
    let (reached, mut priorities) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(1));
    let open = Arc::clone(&gate);
    let options = quick().concurrency(1);
    let handler = move |job: Job<Value>| {
        let (reached, gate) = (reached.clone(), Arc::clone(&gate));
        async move {
            reached.send(job.priority).expect("the test listens");
            gate.acquire().await.expect("open").forget();
            if job.attempts_made == 0 { Outcome::Failed(Failure::new("x")) } else { Outcome::Completed(Value::Null) }
        }
    };
    let (stop, running) = bench.run_with(options, handler);
    assert_eq!(priorities.recv().await, Some(4));
    assert_eq!(priorities.recv().await, Some(4), "the second run");
    open.add_permits(1);
    bench.in_state("completed", 1).await;
    assert_eq!(bench.field(&id, "priority").await.as_deref(), Some("4"));
    stop.cancel();
    running.await.expect("stops");
}

#[tokio::test]
async fn panicking_handler_fails_its_job_only() {
    let bench = Bench::start().await;
    let bad = bench.add(named("bad")).await;
    bench.add(named("good")).await;
    let (_stop, _running) = bench.run(|job: Job<Value>| async move {
        assert!(job.id != "bad", "a bad job");
        Outcome::Completed(Value::Null)
    });
    bench.in_state("completed", 1).await;
    bench.in_state("failed", 1).await;
    assert_eq!(bench.field(&bad, "failedReason").await.as_deref(), Some("the handler panicked: a bad job"));
}

#[tokio::test]
async fn unreadable_job_fails_with_a_reason_and_the_next_runs() {
    let bench = Bench::start().await;
    bench.redis.command::<i64>(&["HSET", "bull:email:bad", "name", "x", "data", "{", "opts", "{}"]).await;
    bench.redis.cmd::<i64>("LPUSH bull:email:wait bad ghost").await;
    bench.add(JobOptions::default()).await;
    let (_stop, _running) = bench.run(done);
    bench.in_state("completed", 1).await;
    bench.in_state("failed", 1).await;
    let reason = bench.field("bad", "failedReason").await.expect("a reason");
    assert!(reason.starts_with("the job's data cannot be read: EOF"), "{reason}");
}

#[tokio::test]
async fn completed_jobs_are_kept_as_their_retention_says() {
    let bench = Bench::start().await;
    let removed = JobOptions::default().remove_on_complete(Retention::Remove);
    let newest = JobOptions::default().remove_on_complete(Retention::Newest(2));
    bench.add(removed).await;
    for _ in 0..3 {
        bench.add(newest.clone()).await;
    }
    let options = quick().concurrency(1);
    let drained = bench.worker(options, done).drain(Duration::ZERO, CancellationToken::new()).await;
    assert_eq!(drained.completed, 4);
    assert_eq!(bench.redis.cmd::<Vec<String>>("ZRANGE bull:email:completed 0 -1").await, ["3", "4"]);
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:1 bull:email:2").await, 0);
}

#[tokio::test]
async fn limit_of_a_retention_bounds_what_one_end_removes() {
    let bench = Bench::start().await;
    let a_minute = Retention::age(Duration::from_mins(1));
    for _ in 0..5 {
        bench.add(JobOptions::default()).await;
    }
    assert_eq!(bench.drain(done).await.completed, 5);
    for id in 1..=5 {
        bench.redis.cmd::<i64>(&format!("ZADD bull:email:completed {id} {id}")).await; // as if in 1970
    }
    for (retention, left) in [(a_minute.limit(2), 4), (a_minute.limit(1), 4), (a_minute, 3)] {
        bench.add(JobOptions::default().remove_on_complete(retention)).await;
        assert_eq!(bench.drain(done).await.completed, 1);
        assert_eq!(bench.redis.cmd::<i64>("ZCARD bull:email:completed").await, left, "{retention:?}");
    }
}

#[tokio::test]
async fn stopping_worker_finishes_its_jobs_and_takes_no_more() {
    let bench = Bench::start().await;
    for _ in 0..3 {
        bench.add(JobOptions::default()).await;
    }
    let (gate, handler) = gated();
    let (stop, running) = bench.run_with(quick().concurrency(2), handler);
    bench.active(2).await;
    stop.cancel();
    gate.add_permits(3);
    running.await.expect("stops");
    assert_eq!(bench.redis.cmd::<i64>("ZCARD bull:email:completed").await, 2);
    assert_eq!(bench.redis.cmd::<i64>("LLEN bull:email:wait").await, 1);
}

#[tokio::test]
async fn job_is_released_after_the_grace_period() {
    let bench = Bench::start().await;
    let id = bench.add(retried(1, Backoff::fixed(Duration::ZERO)).priority(2)).await;
    let options = quick().grace(Duration::from_millis(50));
    let (stop, running) = bench.run_with(options, |_| std::future::pending::<Outcome>());
    bench.active(1).await;
    stop.cancel();
    running.await.expect("stops");
    assert_eq!(bench.redis.cmd::<Vec<String>>("ZRANGE bull:email:prioritized 0 -1").await, ["1"]);
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:1:lock bull:email:active").await, 0);
    assert_eq!(bench.field(&id, "atm").await, None);
}

#[tokio::test]
async fn snoozed_job_runs_later_and_loses_no_attempt() {
    let bench = Bench::start().await;
    bench.add(retried(1, Backoff::fixed(Duration::ZERO))).await;
    let (_stop, _running) = bench.run(|job: Job<Value>| async move {
        if job.attempts_started == 1 {
            Outcome::Snoozed(Duration::from_millis(100))
        } else {
            Outcome::Completed(Value::Null)
        }
    });
    bench.in_state("completed", 1).await;
    let hash = bench.hash("1").await;
    assert_eq!((hash["ats"].as_str(), hash["atm"].as_str(), hash.get("failedReason")), ("2", "1", None));
}

#[tokio::test]
async fn paused_queue_has_its_jobs_in_bullmqs_list() {
    let bench = Bench::start().await;
    bench.redis.cmd::<i64>("HSET bull:email:meta paused 1").await;
    bench.add(JobOptions::default()).await;
    assert_eq!(bench.drain(done).await.completed, 0);
    assert_eq!(bench.redis.cmd::<i64>("LLEN bull:email:paused").await, 1);
}

#[tokio::test]
async fn drain_waits_for_near_retries_and_counts_far_ones() {
    let bench = Bench::start().await;
    bench.add(retried(2, Backoff::fixed(Duration::from_millis(100)))).await;
    bench.add(retried(2, Backoff::fixed(Duration::from_hours(1)))).await;
    let handler = |job: Job<Value>| async move {
        if job.attempts_made == 0 { Outcome::Failed(Failure::new("x")) } else { Outcome::Completed(Value::Null) }
    };
    let drained = bench.worker(quick(), handler).drain(Duration::from_secs(15), CancellationToken::new()).await;
    assert_eq!((drained.completed, drained.retried_later, drained.failed.len()), (1, 1, 0));
}

#[tokio::test]
async fn worker_with_unusable_options_is_refused() {
    let bench = Bench::start().await;
    for (option, options) in [
        ("lock", quick().lock(Duration::ZERO)),
        ("lock", quick().lock(Duration::MAX)),
        ("stalled_interval", quick().stalled_interval(Duration::ZERO)),
        ("grace", quick().grace(Duration::MAX)),
    ] {
        let refused = Worker::new(bench.queue.clone(), options, done).err();
        assert!(matches!(refused, Some(Error::BadOption { option: of, .. }) if of == option), "{refused:?}");
    }
}

/// Fails by `?` where `to` is no number; an error of any type will do.
async fn halve(job: Job<Value>) -> anyhow::Result<u32> {
    let number: u32 = job.data["to"].as_str().context("to is no text")?.parse().context("to is no number")?;
    assert!(number.is_multiple_of(2), "{number} is odd");
    Ok(number / 2)
}

#[tokio::test]
async fn handler_returns_values_errors_and_panics() {
    let bench = Bench::start().await;
    for (id, to) in [("even", "8"), ("odd", "7"), ("word", "x")] {
        bench.queue.add(NewJob::new("halve", json!({"to": to})).options(named(id))).await.expect("added");
    }
    let drained = bench.drain(halve).await;
    assert_eq!((drained.completed, drained.failed.len()), (1, 2));
    assert_eq!(bench.field("even", "returnvalue").await.as_deref(), Some("4"));
    assert_eq!(bench.field("odd", "failedReason").await.as_deref(), Some("the handler panicked: 7 is odd"));
    let reason = bench.field("word", "failedReason").await;
    assert_eq!(reason.as_deref(), Some("to is no number: invalid digit found in string"));
}
