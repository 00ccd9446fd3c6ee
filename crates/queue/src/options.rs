//! A job's options: as this crate writes them, and as it reads those of other clients.

mod check;
mod deduplication;
mod retention;

use std::time::Duration;

use crate::{Backoff, BackoffKind, RetryPolicy};
use serde_json::{Map, Value, json};

pub(crate) use self::{
    check::{
        LONGEST, check_deduplication_id, check_due, check_job, check_priority, check_rate_limit, check_retention,
        check_span,
    },
    retention::Limits,
};
pub use self::{deduplication::Deduplication, retention::Retention};
use crate::clock::millis;

/// How a job is run and kept. Defaults are not written. Each option has a setter of its name:
/// ```
/// # use std::time::Duration;
/// # use examhall_queue::{Backoff, Deduplication, JobOptions, Retention};
/// let options = JobOptions::default()
///     .job_id("guest-7") // adding it again changes nothing
///     .priority(2) // 1 goes first; 0, none, before all
///     .delay(Duration::from_secs(60))
///     .attempts(3)
///     .backoff(Backoff::exponential(Duration::from_secs(2)).jitter(0.25))
///     .remove_on_complete(Retention::Newest(1000))
///     .deduplication(Deduplication::ttl("guest", Duration::from_secs(60)));
/// assert_eq!(options.retry.attempts, 3);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobOptions {
    /// Id of the job; adding an existing id changes nothing. A number if absent.
    pub job_id: Option<String>,
    /// BullMQ's scale: 1 goes first; 0, no priority, before all.
    pub priority: u32,
    /// Time before it is run.
    pub delay: Duration,
    /// Number of attempts, and the backoff between them.
    pub retry: RetryPolicy,
    /// Name of a backoff of the worker's, instead of the kind in `retry`; BullMQ's `backoff: {type: 'name', delay}`.
    pub backoff_strategy: Option<String>,
    /// How long it is kept once completed; forever if absent.
    pub remove_on_complete: Option<Retention>,
    /// How long it is kept once failed for good; forever if absent.
    pub remove_on_fail: Option<Retention>,
    /// Number of traces of failed runs to keep, newest first; 10 if absent.
    pub stack_trace_limit: Option<u32>,
    /// Number of log lines to keep; all if absent.
    pub keep_logs: Option<u32>,
    /// Whether it goes before all others without a priority, instead of behind them.
    pub lifo: bool,
    /// Makes several adds for the same reason idempotent.
    pub deduplication: Option<Deduplication>,
    /// JSON text of the trace the job belongs to, such as `{"traceparent":"00-..."}`; not written if it is no JSON.
    pub telemetry: Option<String>,
    /// Whether its runs belong to no trace; BullMQ's `telemetry.omitContext`.
    pub omit_context: bool,
    /// When it was added, in ms since 1970, from which its delay counts; the time of the add if absent.
    pub timestamp: Option<i64>,
    /// Largest number of bytes of its data as JSON: longer data is not added.
    pub size_limit: Option<u64>,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            job_id: None,
            priority: 0,
            delay: Duration::ZERO,
            retry: RetryPolicy { attempts: 0, backoff: Backoff::fixed(Duration::ZERO) },
            backoff_strategy: None,
            remove_on_complete: None,
            remove_on_fail: None,
            stack_trace_limit: None,
            keep_logs: None,
            lifo: false,
            deduplication: None,
            telemetry: None,
            omit_context: false,
            timestamp: None,
            size_limit: None,
        }
    }
}

impl JobOptions {
    /// Largest priority whose score, with its counter, a double represents exactly.
    pub const MAX_PRIORITY: u32 = 2_097_151;

    /// Sets the job's id; adding an existing id changes nothing.
    #[must_use]
    pub fn job_id(mut self, id: impl Into<String>) -> Self {
        self.job_id = Some(id.into());
        self
    }

    /// Sets the priority: 1 goes first; 0, no priority, before all.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the time before it is run.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets number of attempts and backoff.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the number of runs in all, the first one included.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.retry.attempts = attempts;
        self
    }

    /// Sets the delays between its runs.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.retry.backoff = backoff;
        self
    }

    /// Names a backoff of the worker's, which gets `delay`.
    #[must_use]
    pub fn backoff_strategy(mut self, name: impl Into<String>, delay: Duration) -> Self {
        self.backoff_strategy = Some(name.into());
        self.retry.backoff = Backoff::fixed(delay);
        self
    }

    /// Sets how long it is kept once completed.
    #[must_use]
    pub fn remove_on_complete(mut self, retention: Retention) -> Self {
        self.remove_on_complete = Some(retention);
        self
    }

    /// Sets how long it is kept once failed for good.
    #[must_use]
    pub fn remove_on_fail(mut self, retention: Retention) -> Self {
        self.remove_on_fail = Some(retention);
        self
    }

    /// Sets the number of traces of failed runs to keep.
    #[must_use]
    pub fn stack_trace_limit(mut self, traces: u32) -> Self {
        self.stack_trace_limit = Some(traces);
        self
    }

    /// Sets the number of log lines to keep.
    #[must_use]
    pub fn keep_logs(mut self, lines: u32) -> Self {
        self.keep_logs = Some(lines);
        self
    }

    /// Sets whether it goes before all others without a priority.
    #[must_use]
    pub fn lifo(mut self, lifo: bool) -> Self {
        self.lifo = lifo;
        self
    }

    /// Makes several adds for the same reason idempotent.
    #[must_use]
    pub fn deduplication(mut self, deduplication: Deduplication) -> Self {
        self.deduplication = Some(deduplication);
        self
    }

    /// Sets the JSON text of the trace the job belongs to.
    #[must_use]
    pub fn telemetry(mut self, trace: impl Into<String>) -> Self {
        self.telemetry = Some(trace.into());
        self
    }

    /// Sets whether its runs belong to no trace.
    #[must_use]
    pub fn omit_context(mut self, omit: bool) -> Self {
        self.omit_context = omit;
        self
    }

    /// Sets when it was added, in ms since 1970, from which its delay counts.
    #[must_use]
    pub fn timestamp(mut self, time: i64) -> Self {
        self.timestamp = Some(time);
        self
    }

    /// Sets the largest number of bytes of its data as JSON.
    #[must_use]
    pub fn size_limit(mut self, bytes: u64) -> Self {
        self.size_limit = Some(bytes);
        self
    }

    /// Writes them as BullMQ stores them: with short names for some (`kl`, `de`, `tm`, `omc`), and without any `null`,
    /// which stops Node workers.
    /// ```
    /// # use examhall_queue::JobOptions;
    /// let options = JobOptions::default().attempts(3).keep_logs(10);
    /// assert_eq!(options.to_json(), r#"{"attempts":3,"kl":10}"#);
    /// let as_in_node = serde_json::json!({"attempts": 3, "keepLogs": 10});
    /// assert_eq!(JobOptions::from_json(&as_in_node), options);
    /// ```
    pub fn to_json(&self) -> String {
        let mut opts = Map::new();
        opts.insert("attempts".into(), self.retry.attempts.into());
        let mut put = |name: &str, value: Option<Value>| value.and_then(|value| opts.insert(name.into(), value));
        put("backoff", backoff_to_json(&self.retry.backoff, self.backoff_strategy.as_deref()));
        put("delay", (!self.delay.is_zero()).then(|| millis(self.delay).into()));
        put("priority", (self.priority > 0).then(|| self.priority.into()));
        put("jobId", self.job_id.as_deref().map(Value::from));
        put("removeOnComplete", self.remove_on_complete.map(Retention::to_json));
        put("removeOnFail", self.remove_on_fail.map(Retention::to_json));
        put("stackTraceLimit", self.stack_trace_limit.map(Value::from));
        put("kl", self.keep_logs.map(Value::from));
        put("lifo", self.lifo.then(|| true.into()));
        put("de", self.deduplication.as_ref().map(Deduplication::to_json));
        // Some readers stop working if it is no JSON.
        let telemetry = self.telemetry.as_deref().filter(|text| serde_json::from_str::<Value>(text).is_ok());
        put("tm", telemetry.map(Value::from));
        put("omc", self.omit_context.then(|| true.into()));
        put("timestamp", self.timestamp.map(Value::from));
        put("sizeLimit", self.size_limit.map(Value::from));
        Value::Object(opts).to_string()
    }

    /// Reads options as BullMQ stores them, or as its users write them: with the long names. An option that cannot be
    /// understood counts as absent.
    pub fn from_json(opts: &Value) -> Self {
        let number = |name: &str| opts.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        let telemetry = |name: &str| opts.get("telemetry").and_then(|telemetry| telemetry.get(name));
        Self {
            job_id: opts.get("jobId").and_then(Value::as_str).map(ToOwned::to_owned),
            priority: number("priority").unwrap_or(0),
            delay: opts.get("delay").and_then(duration).unwrap_or_default(),
            retry: RetryPolicy {
                attempts: number("attempts").unwrap_or(0),
                backoff: opts.get("backoff").map_or(Backoff::fixed(Duration::ZERO), backoff_from_json),
            },
            backoff_strategy: opts.get("backoff").and_then(strategy_from_json),
            remove_on_complete: opts.get("removeOnComplete").and_then(Retention::from_json),
            remove_on_fail: opts.get("removeOnFail").and_then(Retention::from_json),
            stack_trace_limit: number("stackTraceLimit"),
            keep_logs: number("kl").or_else(|| number("keepLogs")),
            lifo: opts.get("lifo").and_then(Value::as_bool).unwrap_or_default(),
            deduplication: opts.get("de").or_else(|| opts.get("deduplication")).and_then(Deduplication::from_json),
            telemetry: opts.get("tm").or_else(|| telemetry("metadata")).and_then(Value::as_str).map(ToOwned::to_owned),
            omit_context: opts
                .get("omc")
                .or_else(|| telemetry("omitContext"))
                .and_then(Value::as_bool)
                .unwrap_or_default(),
            timestamp: opts.get("timestamp").and_then(Value::as_i64).filter(|time| *time > 0),
            size_limit: opts.get("sizeLimit").and_then(Value::as_u64).filter(|bytes| *bytes > 0),
        }
    }
}

fn backoff_to_json(backoff: &Backoff, strategy: Option<&str>) -> Option<Value> {
    if backoff.delay.is_zero() && strategy.is_none() {
        return None;
    }
    let kind = strategy.unwrap_or(match backoff.kind {
        BackoffKind::Exponential => "exponential",
        _ => "fixed",
    });
    let mut json = json!({"type": kind, "delay": millis(backoff.delay)});
    if backoff.jitter > 0.0 {
        json["jitter"] = backoff.jitter.into();
    }
    Some(json)
}

/// Reads a bare number as a fixed backoff, and so the delay of a backoff of another name, in case the worker has none of
/// that name.
fn backoff_from_json(value: &Value) -> Backoff {
    if let Some(delay) = duration(value) {
        return Backoff::fixed(delay);
    }
    let delay = value.get("delay").and_then(duration).unwrap_or_default();
    let jitter = value.get("jitter").and_then(Value::as_f64).unwrap_or(0.0);
    match value.get("type").and_then(Value::as_str) {
        Some("fixed") => Backoff { jitter, ..Backoff::fixed(delay) },
        Some("exponential") => Backoff { jitter, ..Backoff::exponential(delay) },
        _ => Backoff::fixed(delay),
    }
}

/// Reads the name of a backoff that is none of BullMQ's own.
fn strategy_from_json(value: &Value) -> Option<String> {
    let name = value.get("type")?.as_str()?;
    (!matches!(name, "fixed" | "exponential")).then(|| name.to_owned())
}

fn duration(value: &Value) -> Option<Duration> {
    value.as_f64().and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> JobOptions {
        JobOptions {
            job_id: Some("m-1".into()),
            priority: 6,
            delay: Duration::from_millis(1500),
            retry: RetryPolicy { attempts: 3, backoff: Backoff::exponential(Duration::from_secs(2)) },
            remove_on_complete: Some(Retention::age(Duration::from_secs(24 * 3600))),
            remove_on_fail: Some(Retention::Newest(500)),
            backoff_strategy: None,
            stack_trace_limit: Some(5),
            keep_logs: Some(7),
            lifo: true,
            deduplication: Some(Deduplication::ttl("mail", Duration::from_millis(500))),
            telemetry: Some(r#"{"traceparent":"00-1-2-01"}"#.into()),
            omit_context: true,
            timestamp: Some(1_700_000_000_000),
            size_limit: Some(1024),
        }
    }

    #[test]
    fn wire_form_is_frozen() {
        let wire: Value = serde_json::from_str(&full().to_json()).expect("JSON");
        assert_eq!(
            wire,
            json!({
                "jobId": "m-1", "priority": 6, "delay": 1500, "attempts": 3,
                "backoff": {"type": "exponential", "delay": 2000}, "removeOnComplete": {"age": 86400},
                "removeOnFail": 500, "stackTraceLimit": 5, "kl": 7, "lifo": true, "de": {"id": "mail", "ttl": 500},
                "tm": "{\"traceparent\":\"00-1-2-01\"}", "omc": true, "timestamp": 1_700_000_000_000_i64,
                "sizeLimit": 1024,
            })
        );
        assert_eq!(JobOptions::from_json(&wire), full());
    }

    #[test]
    fn absent_options_are_not_written() {
        assert_eq!(JobOptions::default().to_json(), r#"{"attempts":0}"#);
    }

    #[test]
    fn options_of_other_clients_are_read_or_ignored() {
        let backoff = |wire: Value| JobOptions::from_json(&json!({ "backoff": wire })).retry.backoff;
        assert_eq!(backoff(json!(50)), Backoff::fixed(Duration::from_millis(50)));
        assert_eq!(backoff(json!({"type": "nope", "delay": 50})), Backoff::fixed(Duration::from_millis(50)));
        assert_eq!(backoff(json!({"type": "exponential"})), Backoff::exponential(Duration::ZERO));
        assert_eq!(backoff(json!(-5)), Backoff::fixed(Duration::ZERO));
        assert_eq!(JobOptions::from_json(&json!([1])), JobOptions::default());
    }

    #[test]
    fn long_names_are_read_too() {
        let as_in_node = json!({
            "keepLogs": 7, "deduplication": {"id": "d"}, "telemetry": {"metadata": "{}", "omitContext": true},
        });
        let options = JobOptions::default().keep_logs(7).deduplication(Deduplication::simple("d")).telemetry("{}");
        assert_eq!(JobOptions::from_json(&as_in_node), options.omit_context(true));
    }
}
