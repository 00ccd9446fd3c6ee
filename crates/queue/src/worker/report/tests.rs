use std::time::Duration;

use crate::{Backoff, RetryPolicy};

use super::*;

const TRACES: &str = r#"["Error: before","Error: boom"]"#;

fn job(attempts: u32, attempts_made: u32) -> RunningJob {
    let retry = RetryPolicy { attempts, backoff: Backoff::exponential(Duration::from_secs(2)) };
    let options = JobOptions { retry, remove_on_fail: Some(Retention::Newest(5)), ..JobOptions::default() };
    RunningJob {
        options,
        attempts_made,
        attempts_started: attempts_made + 1,
        deduplication_id: "d".into(),
        stacktrace: vec!["Error: before".into()],
        ..RunningJob::example("7")
    }
}

const NO_BACKOFFS: &Backoffs = &Backoffs::NONE;
const RULES: Rules<'_> = Rules { backoffs: NO_BACKOFFS, max_started_attempts: None };

fn failed(reason: &str) -> Run {
    Run::Ended(Outcome::Failed(Failure::new(reason)))
}

#[test]
fn failure_is_retried_after_its_backoff() {
    let report = job(3, 1).conclude(failed("boom"), RULES, 0, 0.0);
    assert_eq!(report.runs_again_after(), Some(4000));
    assert_eq!(report.to_args(), ["7", "t:1", "retried", "2", "2", "boom", TRACES, "4000"]);
}

#[test]
fn values_and_texts_are_limited() {
    let value = Outcome::Completed("x".repeat(LONGEST_VALUE).into());
    let report = job(3, 0).conclude(Run::Ended(value), RULES, 0, 0.0);
    let expected = "the job's value has 67108866 bytes, and 67108864 are stored at most";
    assert!(
        matches!(&report.kind, ReportKind::Failed { reason, .. } if reason == expected),
        "no retry makes it shorter"
    );
    let long = "\u{fc}".repeat(LONGEST_TEXT / 2 + 9);
    let report = job(3, 1).conclude(failed(&format!("x{long}")), RULES, 0, 0.0);
    assert!(matches!(&report.kind, ReportKind::Retried { reason, .. } if reason.len() == LONGEST_TEXT - 1));
}

#[test]
fn last_failure_fails_the_job() {
    let report = job(3, 2).conclude(failed("boom"), RULES, 0, 0.0);
    assert_eq!(report.to_args()[2..], ["failed", "3", "3", "boom", TRACES, "3 5,-1,1000 d"]);
    assert_eq!(report.runs_again_after(), None);
}

#[test]
fn unrecoverable_failure_fails_the_job_with_attempts_left() {
    let report = job(9, 0).conclude(Run::Ended(Outcome::Unrecoverable(Failure::new("no such address"))), RULES, 0, 0.0);
    assert!(matches!(report.kind, ReportKind::Failed { .. }));
}

#[test]
fn newest_traces_are_kept() {
    for (limit, expected) in [(1, r#"["Error: boom"]"#), (0, "[]")] {
        let mut job = job(3, 0);
        job.options.stack_trace_limit = Some(limit);
        assert_eq!(job.conclude(failed("boom"), RULES, 0, 0.0).to_args()[6], expected);
    }
}

#[test]
fn snoozed_job_is_due_after_its_span() {
    let report = job(3, 0).conclude(Run::Ended(Outcome::Snoozed(Duration::from_secs(300))), RULES, 1_000, 0.0);
    assert_eq!(report.kind, ReportKind::Snoozed { delay: 300_000, due: 301_000 });
}

#[test]
fn completed_job_keeps_its_value_as_json() {
    let report = job(3, 0).conclude(Run::Ended(Outcome::Completed(Value::Null)), RULES, 0, 0.0);
    assert_eq!(report.to_args()[2..], ["completed", "1", "1", "null", "", "d"]);
}

#[test]
fn job_started_often_enough_is_not_retried() {
    for (most, is_retried) in [(Some(1), false), (Some(2), false), (Some(3), true), (None, true)] {
        let rules = Rules { max_started_attempts: most, ..RULES };
        let report = job(9, 1).conclude(failed("boom"), rules, 0, 0.0);
        assert_eq!(matches!(report.kind, ReportKind::Retried { .. }), is_retried, "{most:?}");
    }
}

#[test]
fn named_backoff_decides_within_the_attempts() {
    let backoffs = Backoffs::NONE
        .with("linear", |run| AfterFailure::RetryAfter(run.options.retry.backoff.delay * run.attempts_made))
        .with("never", |_| AfterFailure::GiveUp);
    let rules = Rules { backoffs: &backoffs, ..RULES };
    for (name, attempts, expected) in [
        ("linear", 9, Some(4000)),
        ("linear", 2, None),
        ("never", 9, None),
        ("unknown", 9, Some(4000)), // by the job's other options
    ] {
        let mut job = job(attempts, 1);
        job.options.backoff_strategy = Some(name.to_owned());
        let report = job.conclude(failed("boom"), rules, 0, 0.0);
        assert_eq!(report.runs_again_after(), expected, "{name}, {attempts} attempts");
    }
}

#[test]
fn trace_has_the_name_and_stack_of_the_failure() {
    let failure = Failure::new("boom").name("SmtpError").stack("    at deliver");
    let report = job(3, 2).conclude(Run::Ended(Outcome::Failed(failure)), RULES, 0, 0.0);
    assert_eq!(report.to_args()[5..7], ["boom", r#"["Error: before","SmtpError: boom\n    at deliver"]"#]);
}
