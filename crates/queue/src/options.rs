//! A job's options: as we write them, and as we read those of strangers.

use std::time::Duration;

use examhall_core::{Backoff, BackoffKind, RetryPolicy};
use serde_json::{Map, Value, json};

/// How a job is to be run and kept. What is left at its default is not written.
#[derive(Clone, Debug, PartialEq)]
pub struct JobOptions {
    /// Names the job; adding the same name again changes nothing. Counted where absent.
    pub job_id: Option<String>,
    /// BullMQ's scale: 1 goes first; 0, no priority, before all.
    pub priority: u32,
    /// Not to be run before this time has passed.
    pub delay: Duration,
    /// How often it is tried, and how long it waits in between.
    pub retry: RetryPolicy,
    /// What happens to it once completed; kept for ever where absent.
    pub remove_on_complete: Option<Retention>,
    /// What happens to it once failed for good; kept for ever where absent.
    pub remove_on_fail: Option<Retention>,
    /// How many traces of failed runs are kept, the newest ones; 10 where absent.
    pub stack_trace_limit: Option<u32>,
    /// How many log lines are kept; all where absent.
    pub keep_logs: Option<u32>,
    /// Put before all others without a priority, instead of behind them.
    pub lifo: bool,
    /// Makes one job of several that are added for the same reason.
    pub deduplication: Option<Deduplication>,
    /// JSON text of the trace the job belongs to, such as `{"traceparent":"00-..."}`; what is no JSON is not written.
    pub telemetry: Option<String>,
}

/// Of several jobs with the same deduplication id only the first is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deduplication {
    /// What the jobs have in common.
    pub id: String,
    /// For how long after the first; where absent, until that one has ended.
    pub ttl: Option<Duration>,
}

impl Deduplication {
    /// Holds until the first job has ended.
    pub fn simple(id: impl Into<String>) -> Self {
        Self { id: id.into(), ttl: None }
    }

    /// Holds for `ttl` from when the first job is added.
    pub fn ttl(id: impl Into<String>, ttl: Duration) -> Self {
        Self { id: id.into(), ttl: Some(ttl) }
    }

    fn to_json(&self) -> Value {
        match self.ttl {
            None => json!({"id": self.id}),
            Some(ttl) => json!({"id": self.id, "ttl": millis(ttl)}),
        }
    }

    fn from_json(value: &Value) -> Option<Self> {
        let id = value.get("id")?.as_str()?.to_owned();
        Some(Self { id, ttl: value.get("ttl").and_then(duration).filter(|ttl| !ttl.is_zero()) })
    }
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            job_id: None,
            priority: 0,
            delay: Duration::ZERO,
            retry: RetryPolicy { attempts: 0, backoff: Backoff::fixed(Duration::ZERO) },
            remove_on_complete: None,
            remove_on_fail: None,
            stack_trace_limit: None,
            keep_logs: None,
            lifo: false,
            deduplication: None,
            telemetry: None,
        }
    }
}

/// How long a finished job is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// For ever.
    KeepAll,
    /// Not at all.
    Remove,
    /// As long as it is among the newest so many.
    Newest(u32),
    /// So long; and, where `count` is given, only as long as it is among the newest so many.
    For {
        /// Longest time since it finished, in whole seconds.
        age: Duration,
        /// Most jobs.
        count: Option<u32>,
    },
}

impl JobOptions {
    /// The largest priority whose score stays exact in a double together with its counter.
    pub const MAX_PRIORITY: u32 = 2_097_151;

    /// As BullMQ writes it: short names for some, no `null` anywhere (which stops Node workers).
    pub(crate) fn to_json(&self) -> String {
        let mut opts = Map::new();
        opts.insert("attempts".into(), self.retry.attempts.into());
        let mut put = |name: &str, value: Option<Value>| value.and_then(|value| opts.insert(name.into(), value));
        put("backoff", backoff_to_json(&self.retry.backoff));
        put("delay", (!self.delay.is_zero()).then(|| millis(self.delay).into()));
        put("priority", (self.priority > 0).then(|| self.priority.into()));
        put("jobId", self.job_id.as_deref().map(Value::from));
        put("removeOnComplete", self.remove_on_complete.map(Retention::to_json));
        put("removeOnFail", self.remove_on_fail.map(Retention::to_json));
        put("stackTraceLimit", self.stack_trace_limit.map(Value::from));
        put("kl", self.keep_logs.map(Value::from));
        put("lifo", self.lifo.then(|| true.into()));
        put("de", self.deduplication.as_ref().map(Deduplication::to_json));
        // Readers of it parse JSON, and some stop working where it is none.
        let telemetry = self.telemetry.as_deref().filter(|text| serde_json::from_str::<Value>(text).is_ok());
        put("tm", telemetry.map(Value::from));
        Value::Object(opts).to_string()
    }

    /// Reads the options of a job that anybody may have written: what cannot be understood counts as absent.
    pub(crate) fn from_json(opts: &Value) -> Self {
        let number = |name: &str| opts.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        Self {
            job_id: opts.get("jobId").and_then(Value::as_str).map(ToOwned::to_owned),
            priority: number("priority").unwrap_or(0),
            delay: opts.get("delay").and_then(duration).unwrap_or_default(),
            retry: RetryPolicy {
                attempts: number("attempts").unwrap_or(0),
                backoff: opts.get("backoff").map_or(Backoff::fixed(Duration::ZERO), backoff_from_json),
            },
            remove_on_complete: opts.get("removeOnComplete").and_then(Retention::from_json),
            remove_on_fail: opts.get("removeOnFail").and_then(Retention::from_json),
            stack_trace_limit: number("stackTraceLimit"),
            keep_logs: number("kl"),
            lifo: opts.get("lifo").and_then(Value::as_bool).unwrap_or_default(),
            deduplication: opts.get("de").and_then(Deduplication::from_json),
            telemetry: opts.get("tm").and_then(Value::as_str).map(ToOwned::to_owned),
        }
    }
}

impl Retention {
    fn to_json(self) -> Value {
        match self {
            Self::KeepAll => false.into(),
            Self::Remove => true.into(),
            Self::Newest(count) => count.into(),
            Self::For { age, count: None } => json!({"age": age.as_secs()}),
            Self::For { age, count: Some(count) } => json!({"age": age.as_secs(), "count": count}),
        }
    }

    fn from_json(value: &Value) -> Option<Self> {
        let number = |name: &str| value.get(name).and_then(Value::as_u64);
        let newest = |count: u64| if count == 0 { Self::Remove } else { Self::Newest(saturating(count)) };
        match value {
            Value::Bool(true) => Some(Self::Remove),
            Value::Bool(false) => Some(Self::KeepAll),
            Value::Number(count) => count.as_u64().map(newest),
            Value::Object(_) => match (number("age"), number("count")) {
                (Some(age), count) => Some(Self::For { age: Duration::from_secs(age), count: count.map(saturating) }),
                (None, count) => count.map(newest),
            },
            _ => None,
        }
    }

    /// How many are kept (-1: any number) and for how many seconds (-1: for ever), as the scripts take it.
    pub(crate) fn count_and_age(self) -> (i64, i64) {
        match self {
            Self::KeepAll => (-1, -1),
            Self::Remove => (0, -1),
            Self::Newest(count) => (i64::from(count), -1),
            Self::For { age, count } => {
                (count.map_or(-1, i64::from), i64::try_from(age.as_secs()).unwrap_or(i64::MAX / 1000))
            }
        }
    }
}

fn backoff_to_json(backoff: &Backoff) -> Option<Value> {
    if backoff.delay.is_zero() {
        return None;
    }
    let kind = match backoff.kind {
        BackoffKind::Fixed => "fixed",
        BackoffKind::Exponential => "exponential",
    };
    let mut json = json!({"type": kind, "delay": millis(backoff.delay)});
    if backoff.jitter > 0.0 {
        json["jitter"] = backoff.jitter.into();
    }
    Some(json)
}

/// A bare number is a fixed backoff; a type that is not known means a retry at once, which ends by the attempts.
fn backoff_from_json(value: &Value) -> Backoff {
    if let Some(delay) = duration(value) {
        return Backoff::fixed(delay);
    }
    let delay = value.get("delay").and_then(duration).unwrap_or_default();
    let jitter = value.get("jitter").and_then(Value::as_f64).unwrap_or(0.0);
    match value.get("type").and_then(Value::as_str) {
        Some("fixed") => Backoff { jitter, ..Backoff::fixed(delay) },
        Some("exponential") => Backoff { jitter, ..Backoff::exponential(delay) },
        _ => Backoff::fixed(Duration::ZERO),
    }
}

fn duration(value: &Value) -> Option<Duration> {
    value.as_f64().and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn saturating(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
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
            remove_on_complete: Some(Retention::For { age: Duration::from_hours(24), count: None }),
            remove_on_fail: Some(Retention::Newest(500)),
            stack_trace_limit: Some(5),
            keep_logs: Some(7),
            lifo: true,
            deduplication: Some(Deduplication::ttl("mail", Duration::from_millis(500))),
            telemetry: Some(r#"{"traceparent":"00-1-2-01"}"#.into()),
        }
    }

    #[test]
    fn the_wire_form_is_frozen() {
        let wire: Value = serde_json::from_str(&full().to_json()).expect("JSON");
        assert_eq!(
            wire,
            json!({
                "jobId": "m-1", "priority": 6, "delay": 1500, "attempts": 3,
                "backoff": {"type": "exponential", "delay": 2000}, "removeOnComplete": {"age": 86400},
                "removeOnFail": 500, "stackTraceLimit": 5, "kl": 7, "lifo": true, "de": {"id": "mail", "ttl": 500},
                "tm": "{\"traceparent\":\"00-1-2-01\"}",
            })
        );
        assert_eq!(JobOptions::from_json(&wire), full());
    }

    #[test]
    fn absent_options_are_not_written() {
        assert_eq!(JobOptions::default().to_json(), r#"{"attempts":0}"#);
    }

    #[test]
    fn what_strangers_write_is_read_or_passed_over() {
        let retention = |wire: Value| Retention::from_json(&wire);
        assert_eq!(retention(json!(true)), Some(Retention::Remove));
        assert_eq!(retention(json!(false)), Some(Retention::KeepAll));
        assert_eq!(retention(json!(0)), Some(Retention::Remove));
        assert_eq!(retention(json!({"count": 2})), Some(Retention::Newest(2)));
        assert_eq!(retention(json!({"limit": 2})), None);
        assert_eq!(retention(json!("all")), None);
        let backoff = |wire: Value| JobOptions::from_json(&json!({ "backoff": wire })).retry.backoff;
        assert_eq!(backoff(json!(50)), Backoff::fixed(Duration::from_millis(50)));
        assert_eq!(backoff(json!({"type": "nope", "delay": 50})), Backoff::fixed(Duration::ZERO));
        assert_eq!(backoff(json!({"type": "exponential"})), Backoff::exponential(Duration::ZERO));
        assert_eq!(backoff(json!(-5)), Backoff::fixed(Duration::ZERO));
        assert_eq!(JobOptions::from_json(&json!([1])), JobOptions::default());
    }
}
