//! How runs end: cancelled, with traces, unrecorded.

use examhall_queue::{AfterFailure, Backoffs, Failure, Job, JobOptions, Outcome};
use examhall_testkit::eventually;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{Bench, TIMEOUT, gated, named, quick};

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
    let worker = bench.worker(quick(), handler);
    let (control, stop) = (worker.control(), CancellationToken::new());
    let running = tokio::spawn(worker.run(stop.clone()));
    bench.active(2).await;
    bench.redis.cmd::<String>("SET bull:email:lost:lock another").await;
    gate.add_permits(2);
    bench.in_state("completed", 1).await;
    let lost = eventually("the report is lost", TIMEOUT, || async { Some(control.tally().lost).filter(|n| *n > 0) });
    assert_eq!((lost.await, control.tally().completed), (1, 1));
    stop.cancel();
    running.await.expect("stops");
}

#[tokio::test]
async fn panic_in_a_backoff_costs_no_other_job() {
    let bench = Bench::start().await;
    let options = JobOptions::default().job_id("a").attempts(2);
    bench.add(options.backoff_strategy("broken", std::time::Duration::from_millis(1))).await;
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
