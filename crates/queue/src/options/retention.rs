//! How long finished jobs are kept.

use std::time::Duration;

use serde_json::{Value, json};

/// How long a finished job is kept.
/// ```
/// # use std::time::Duration;
/// # use examhall_queue::Retention;
/// let a_day = Retention::age(Duration::from_secs(86_400)).count(10_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retention {
    /// Forever.
    KeepAll,
    /// Not at all.
    Remove,
    /// As long as it is among the newest N.
    Newest(u32),
    /// For `age`, and if there is a `count`, only as long as it is among the newest `count` jobs.
    #[non_exhaustive]
    For {
        /// Longest time since it finished, in whole seconds.
        age: Duration,
        /// Largest number of jobs.
        count: Option<u32>,
        /// Largest number of old jobs that the end of a job removes; 1,000 if absent.
        limit: Option<u32>,
    },
}

/// A retention as the scripts take it; -1 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) count: i64,
    /// In seconds.
    pub(crate) age: i64,
    /// Old jobs removed per script.
    pub(crate) removed: u32,
}

impl Retention {
    /// Largest number of old jobs that one script removes.
    const MOST_REMOVED: u32 = 1000;

    /// For `age` since it finished.
    pub const fn age(age: Duration) -> Self {
        Self::For { age, count: None, limit: None }
    }

    /// The same, but only as long as it is among the newest `count` jobs.
    #[must_use]
    pub const fn count(self, count: u32) -> Self {
        match self {
            Self::For { age, limit, .. } => Self::For { age, count: Some(count), limit },
            _ => Self::Newest(count),
        }
    }

    /// The same, but with at most `limit` old jobs removed at the end of a job; BullMQ 6 has it, too. Above 1,000 it counts
    /// as 1,000.
    #[must_use]
    pub const fn limit(self, jobs: u32) -> Self {
        match self {
            Self::For { age, count, .. } => Self::For { age, count, limit: Some(jobs) },
            other => other,
        }
    }

    pub(super) fn to_json(self) -> Value {
        match self {
            Self::KeepAll => false.into(),
            Self::Remove => true.into(),
            Self::Newest(count) => count.into(),
            Self::For { age, count, limit } => {
                let mut json = json!({"age": whole_seconds(age)});
                for (name, value) in [("count", count), ("limit", limit)] {
                    if let Some(value) = value {
                        json[name] = value.into();
                    }
                }
                json
            }
        }
    }

    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let number = |name: &str| value.get(name).and_then(Value::as_u64);
        let newest = |count: u64| if count == 0 { Self::Remove } else { Self::Newest(saturating(count)) };
        match value {
            Value::Bool(true) => Some(Self::Remove),
            Value::Bool(false) => Some(Self::KeepAll),
            Value::Number(count) => count.as_u64().map(newest),
            Value::Object(_) => Some(match (number("age"), number("count")) {
                (Some(age), count) => Self::For {
                    age: Duration::from_secs(age),
                    count: count.map(saturating),
                    limit: number("limit").map(saturating),
                },
                (None, count) => count.map_or(Self::KeepAll, newest),
            }),
            _ => None,
        }
    }

    pub(crate) fn limits(self) -> Limits {
        let of = |count, age| Limits { count, age, removed: Self::MOST_REMOVED };
        match self {
            Self::KeepAll => of(-1, -1),
            Self::Remove => of(0, -1),
            Self::Newest(count) => of(i64::from(count), -1),
            Self::For { age, count, limit } => {
                let age = i64::try_from(whole_seconds(age)).unwrap_or(i64::MAX / 1000);
                let removed = limit.map_or(Self::MOST_REMOVED, |limit| limit.min(Self::MOST_REMOVED));
                Limits { removed, ..of(count.map_or(-1, i64::from), age) }
            }
        }
    }
}

fn saturating(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// BullMQ counts ages in seconds; 0 would remove all finished jobs.
fn whole_seconds(age: Duration) -> u64 {
    age.as_secs() + u64::from(age.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retentions_of_other_clients_are_read() {
        let a_minute = Retention::age(Duration::from_secs(60));
        for (wire, expected) in [
            (json!(true), Some(Retention::Remove)),
            (json!(false), Some(Retention::KeepAll)),
            (json!(0), Some(Retention::Remove)),
            (json!({"count": 2}), Some(Retention::Newest(2))),
            (json!({"age": 60, "limit": 5}), Some(a_minute.limit(5))),
            (json!({"age": 60, "count": 2}), Some(a_minute.count(2))),
            (json!({"limit": 2}), Some(Retention::KeepAll)),
            (json!("all"), None),
        ] {
            assert_eq!(Retention::from_json(&wire), expected, "{wire}");
        }
        let all = a_minute.count(7).limit(5);
        assert_eq!(all.to_json(), json!({"age": 60, "count": 7, "limit": 5}));
        assert_eq!(all.limits(), Limits { count: 7, age: 60, removed: 5 });
        assert_eq!(a_minute.limit(u32::MAX).limits().removed, 1000);
    }
}
