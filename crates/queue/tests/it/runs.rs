//! How runs end: cancelled, with traces, unrecorded.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use examhall_queue::{
    AfterFailure, Backoffs, Deduplication, Error, Failure, Job, JobOptions, ManualWorker, Outcome, State, Worker,
    WorkerEvent,
};
use examhall_testkit::eventually;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{Bench, TIMEOUT, gated, job, named, quick};

#[tokio::test]
async fn cancelled_jobs_learn_the_reason() {
    let bench = Bench::start().await;
    for id in ["a", "b", "c"] {
        bench.add(named(id)).await;
    }
    let handler = |job: Job<Value>| async move {
        let passed_on = job.claim.cancellation();
        let reason = job.claim.cancelled().await;
        assert!(passed_on.is_cancelled());
        Outcome::Completed(format!("{reason} {:?}", job.claim.cancel_reason()).into())
    };
    let worker = bench.worker(quick(), handler);
    let (control, stop) = (worker.control(), CancellationToken::new());
    let running = tokio::spawn(worker.run(stop.clone()));
    bench.active(3).await;
    eventually("the job is in flight", TIMEOUT, || async { control.cancel_job("a", "by hand").then_some(()) }).await;
    bench.in_state("completed", 1).await;
    assert_eq!(bench.field("a", "returnvalue").await.as_deref(), Some(r#""by hand Some(\"by hand\")""#));
    assert!(!control.cancel_job("none", "by hand"));
    assert_eq!(control.cancel_all_jobs("all"), 2);
    bench.in_state("completed", 3).await;
    stop.cancel();
    running.await.expect("stops");
}

#[tokio::test]
async fn trace_has_name_and_stack_of_the_error() {
    let bench = Bench::start().await;
    bench.add(named("a")).await;
    let failure = || Failure::new("550 no such user").name("SmtpError").stack("    at deliver (smtp.rs:17)");
    bench.drain(move |_| async move { Outcome::Failed(failure()) }).await;
    let record = bench.queue.get("a").await.expect("read").expect("there");
    assert_eq!(record.failed_reason.as_deref(), Some("550 no such user"));
    assert_eq!(record.stacktrace, ["SmtpError: 550 no such user\n    at deliver (smtp.rs:17)"]);
}

#[tokio::test]
async fn lost_report_is_counted() {
    let bench = Bench::start().await;
    for id in ["lost", "kept"] {
        bench.add(named(id)).await;
    }
    let (gate, handler) = gated();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    let builder = Worker::builder(bench.queue.clone()).options(quick()).on(move |event| {
        if let WorkerEvent::Error { error, .. } = event {
            hook.lock().expect("no panic").push(error.to_string());
        }
    });
    let worker = builder.build(handler).expect("good options");
    let (control, stop) = (worker.control(), CancellationToken::new());
    let running = tokio::spawn(worker.run(stop.clone()));
    bench.active(2).await;
    bench.redis.cmd::<String>("SET bull:email:lost:lock another").await;
    gate.add_permits(2);
    bench.in_state("completed", 1).await;
    let lost = eventually("the report is lost", TIMEOUT, || async { Some(control.tally().lost).filter(|n| *n > 0) });
    assert_eq!((lost.await, control.tally().completed), (1, 1));
    assert_eq!(*told.lock().expect("no panic"), [r#"the lock of job "lost" has another token"#]);
    stop.cancel();
    running.await.expect("stops");
}

#[tokio::test]
async fn panic_in_a_backoff_costs_no_other_job() {
    let bench = Bench::start().await;
    let options = JobOptions::default().job_id("a").attempts(2);
    bench.add(options.backoff_strategy("broken", Duration::from_millis(1))).await;
    bench.add(named("b")).await;
    let handler = |job: Job<Value>| async move {
        let is_first = job.id == "a" && job.attempts_made == 0;
        if is_first { Outcome::Failed(Failure::new("boom")) } else { Outcome::Completed(Value::Null) }
    };
    let backoffs = Backoffs::NONE.with("broken", |_| -> AfterFailure { panic!("a bug") });
    let (stop, running) = bench.run_with(quick().backoffs(backoffs), handler);
    bench.in_state("completed", 2).await;
    stop.cancel();
    running.await.expect("stops");
}

#[tokio::test]
async fn job_knows_its_past_runs_and_deduplication() {
    let bench = Bench::start().await;
    let options = JobOptions::default().job_id("a").attempts(2).deduplication(Deduplication::simple("d"));
    bench.add(options).await;
    let handler = |job: Job<Value>| async move {
        if job.attempts_made == 0 {
            assert_eq!((job.failed_reason, job.progress, job.stacktrace.len()), (None, None, 0));
            job.claim.set_progress(&50).await.expect("stored");
            return Outcome::Failed(Failure::new("boom"));
        }
        let past = serde_json::json!([job.failed_reason, job.progress, job.stacktrace, job.deduplication_id]);
        Outcome::Completed(past)
    };
    bench.drain(handler).await;
    let record = bench.queue.get("a").await.expect("read").expect("there");
    assert_eq!(record.returnvalue, Some(serde_json::json!(["boom", 50, ["Error: boom"], "d"])));
    assert_eq!(record.deduplication_id.as_deref(), Some("d"));
}

#[tokio::test]
async fn claim_of_a_manual_job_is_extended() {
    let bench = Bench::start().await;
    bench.add(named("a")).await;
    let worker = ManualWorker::new(bench.queue.clone(), quick().lock(Duration::from_mins(1))).expect("good options");
    let job = worker.get_next_job("t").await.expect("taken").expect("a job");
    job.claim.extend(Duration::from_mins(10)).await.expect("extended");
    assert!(bench.redis.cmd::<i64>("PTTL bull:email:a:lock").await > 300_000);
    assert!(job.claim.extend(Duration::ZERO).await.is_err() && !job.claim.is_lost(), "a bad duration changes nothing");
    job.claim.extend(Duration::from_millis(1)).await.expect("shortened");
    job.claim.lost().await;
    bench.redis.cmd::<String>("SET bull:email:a:lock another").await;
    let lost = job.claim.extend(Duration::from_mins(10)).await;
    assert!(matches!(lost, Err(Error::LockMismatch(_))) && job.claim.is_lost(), "{lost:?}");
}

#[tokio::test]
async fn manual_job_is_retried_up_to_its_last_allowed_start() {
    let bench = Bench::start().await;
    bench.add(named("a").attempts(9)).await;
    let worker = ManualWorker::new(bench.queue.clone(), quick().max_started_attempts(2)).expect("good options");
    for expected in [State::Waiting, State::Failed] {
        worker.get_next_job("t").await.expect("asked").expect("a job");
        worker.finish_job("a", "t", Outcome::Failed(Failure::new("boom"))).await.expect("ended");
        assert_eq!(bench.queue.get("a").await.expect("read").expect("kept").state, expected);
    }
}

#[tokio::test]
async fn odd_values_of_others_stop_no_job() {
    let bench = Bench::start().await;
    let options = || JobOptions::default().deduplication(Deduplication::simple("d").keep_last_if_active(true));
    for (key, field) in [("meta", "concurrency"), ("meta", "max"), ("meta", "duration")] {
        bench.redis.cmd::<i64>(&format!("HSET bull:email:{key} {field} x")).await;
    }
    assert!(!bench.queue.is_maxed().await.expect("asked"));
    assert_eq!(bench.queue.rate_limit_ttl(None).await.expect("asked"), None);
    bench.redis.cmd::<String>("SET bull:email:dn:d text").await;
    bench.redis.cmd::<String>("SET bull:email:metrics:completed text").await;
    bench.redis.cmd::<i64>("HSET bull:email:metrics:failed prevTS x prevCount 1").await;
    bench.redis.cmd::<String>("SET bull:email:metrics:failed:data text").await;
    bench.add(options()).await;
    bench.add(JobOptions::default().job_id("fails")).await;
    let handler = |job: Job<Value>| async move {
        if job.id == "fails" { Outcome::Failed(Failure::new("boom")) } else { Outcome::Completed(Value::Null) }
    };
    let worker = bench.worker(quick().metrics(10), handler);
    let drained = worker.drain(Duration::ZERO, CancellationToken::new()).await;
    assert_eq!((drained.completed, drained.failed), (1, vec!["fails".to_owned()]));
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:de:d").await, 0);

    // What was kept may hold anything.
    let opts = r#"{"delay":-5.5,"priority":"high","de":[1],"lifo":7}"#;
    bench.add(options()).await;
    bench.redis.command::<i64>(&["DEL", "bull:email:dn:d"]).await;
    bench.redis.command::<i64>(&["HSET", "bull:email:dn:d", "name", "x", "opts", opts, "jid", "odd"]).await;
    assert_eq!(bench.drain(|_| async { Outcome::Completed(Value::Null) }).await.completed, 2);
    assert_eq!(bench.field("odd", "data").await.as_deref(), Some("{}"));

    bench.redis.cmd::<i64>("HSET bull:email:de:h a b").await;
    let added =
        bench.queue.add(job(JobOptions::default().deduplication(Deduplication::simple("h").replace(true)))).await;
    assert!(matches!(added, Err(Error::BadKey(_))), "{added:?}");
    assert_eq!(bench.queue.trim_events(u64::MAX).await.expect("trimmed"), 0);
}
