//! Deduplication of adds.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::millis;

/// BullMQ's names of the modes.
const MODES: [&str; 4] = ["extend", "replace", "keepLastIfActive", "reschedule"];

/// Makes adds idempotent: of several jobs with the same deduplication id only the first is added.
/// ```
/// # use std::time::Duration;
/// # use examhall_queue::Deduplication;
/// let throttle = Deduplication::ttl("search:7", Duration::from_secs(5)); // one in 5 s
/// let debounce = Deduplication::ttl("search:7", Duration::from_secs(5)).extend(true).replace(true); // the last, if delayed
/// let latest = Deduplication::simple("index:7").keep_last_if_active(true); // one, and then the last one
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "BullMQ's four options, of which any may be set")]
pub struct Deduplication {
    /// Id that the jobs have in common.
    pub id: String,
    /// For how long after the first add; if absent, until the first job has ended.
    pub ttl: Option<Duration>,
    /// Whether each add that is dropped starts the time to live again.
    pub extend: bool,
    /// Whether the job before is replaced as long as it is delayed.
    pub replace: bool,
    /// Whether the last job that was dropped while the first one was active is added when that ends. The id is in use as
    /// long as the job, whatever its time to live. Of BullMQ's workers only those of version 6 do that.
    pub keep_last_if_active: bool,
    /// Whether a delayed job before is delayed again, by the delay of the job that is dropped; BullMQ 6 has it, too.
    pub reschedule: bool,
}

impl Deduplication {
    /// Deduplication until the first job has ended.
    pub fn simple(id: impl Into<String>) -> Self {
        let (id, none) = (id.into(), false);
        Self { id, ttl: None, extend: none, replace: none, keep_last_if_active: none, reschedule: none }
    }

    /// Deduplication for `ttl` from the first add.
    pub fn ttl(id: impl Into<String>, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..Self::simple(id) }
    }

    /// Sets whether each add that is dropped starts the time to live again.
    #[must_use]
    pub fn extend(mut self, extend: bool) -> Self {
        self.extend = extend;
        self
    }

    /// Sets whether the job before is replaced as long as it is delayed.
    #[must_use]
    pub fn replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }

    /// Sets whether the last job that was dropped while the first one was active is added when that ends.
    #[must_use]
    pub fn keep_last_if_active(mut self, keep: bool) -> Self {
        self.keep_last_if_active = keep;
        self
    }

    /// Sets whether a delayed job before is delayed again, by the delay of the job that is dropped.
    #[must_use]
    pub fn reschedule(mut self, reschedule: bool) -> Self {
        self.reschedule = reschedule;
        self
    }

    /// What it does besides dropping jobs, by BullMQ's names.
    fn modes(&self) -> impl Iterator<Item = &'static str> {
        let Self { extend, replace, keep_last_if_active, reschedule, .. } = *self;
        let all = [extend, replace, keep_last_if_active, reschedule].into_iter().zip(MODES);
        all.filter_map(|(is_set, name)| is_set.then_some(name))
    }

    /// The names of its modes, each after a space, as `add_deduplicated.lua` takes them.
    pub(crate) fn mode_names(&self) -> String {
        self.modes().flat_map(|mode| [" ", mode]).collect()
    }

    pub(super) fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("id".into(), self.id.as_str().into());
        json.extend(self.ttl.map(|ttl| ("ttl".into(), millis(ttl).into())));
        json.extend(self.modes().map(|mode| (mode.into(), true.into())));
        json.into()
    }

    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let mode = |at: usize| value.get(MODES[at]).and_then(Value::as_bool).unwrap_or_default();
        Some(Self {
            id: value.get("id")?.as_str()?.to_owned(),
            ttl: value.get("ttl").and_then(duration).filter(|ttl| !ttl.is_zero()),
            extend: mode(0),
            replace: mode(1),
            keep_last_if_active: mode(2),
            reschedule: mode(3),
        })
    }
}

pub(super) fn duration(value: &Value) -> Option<Duration> {
    value.as_f64().and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn modes_are_written_and_read() {
        let deduplication = Deduplication::ttl("d", Duration::from_secs(1)).extend(true).keep_last_if_active(true);
        let wire = json!({"id": "d", "ttl": 1000, "extend": true, "keepLastIfActive": true});
        assert_eq!(deduplication.to_json(), wire);
        assert_eq!(Deduplication::from_json(&wire), Some(deduplication.clone()));
        assert_eq!(deduplication.mode_names(), " extend keepLastIfActive");
        let others = Deduplication::simple("d").replace(true).reschedule(true);
        assert_eq!(Deduplication::from_json(&others.to_json()), Some(others));
    }
}
