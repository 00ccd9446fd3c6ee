//! Options of a job as BullMQ writes them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Deduplication, JobOptions, Retention, deduplication::duration};
use crate::{Backoff, BackoffKind, RetryPolicy, clock::millis};

impl JobOptions {
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
