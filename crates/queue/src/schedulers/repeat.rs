//! When the jobs of a scheduler run. No I/O.

use std::time::Duration;

use chrono::DateTime;
use serde_json::{Map, Value};

use super::cron::{self, Pattern};
use crate::{Error, clock::millis};

/// Longest interval in ms: the times of jobs stay exact in a double.
const LONGEST: u64 = 1000 * 60 * 60 * 24 * 366 * 10;

/// When a scheduler adds jobs: at an interval, or at the times of a cron pattern.
/// ```
/// # use std::time::Duration;
/// # use examhall_queue::Repeat;
/// let every_minute = Repeat::every(Duration::from_secs(60)).limit(1000);
/// let on_workdays = Repeat::cron("0 30 9 * * MON-FRI").time_zone("Europe/Berlin"); // at 09:30:00
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repeat {
    /// Interval or pattern.
    pub rule: RepeatRule,
    /// Number of jobs that it adds; no limit if absent.
    pub limit: Option<u64>,
    /// No job runs before this time, in ms since 1970.
    pub start: Option<i64>,
    /// No job is added after this time, in ms since 1970.
    pub end: Option<i64>,
    /// Whether the first job of a pattern runs at once. That of an interval always does, unless it has an offset or a
    /// start.
    pub immediately: bool,
}

/// Interval or pattern of a [`Repeat`].
/// ```
/// # use examhall_queue::{Repeat, RepeatRule};
/// assert!(matches!(Repeat::cron("0 9 * * 1").rule, RepeatRule::Cron { .. }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepeatRule {
    /// At an interval.
    #[non_exhaustive]
    Every {
        /// The interval, in whole ms.
        interval: Duration,
        /// How far from the multiples of the interval since 1970 its times are; as the first one, if absent.
        offset: Option<Duration>,
    },
    /// At the times of a pattern.
    #[non_exhaustive]
    Cron {
        /// Cron pattern: minute, hour, day of the month, month, day of the week, and before them the second if there are
        /// six fields.
        pattern: String,
        /// IANA name of the time zone; that of the worker's process if absent.
        time_zone: Option<String>,
    },
}

impl Repeat {
    /// At an interval, in whole ms.
    pub fn every(interval: Duration) -> Self {
        Self::of(RepeatRule::Every { interval, offset: None })
    }

    /// At the times of a cron pattern of five fields, or six with seconds.
    pub fn cron(pattern: impl Into<String>) -> Self {
        Self::of(RepeatRule::Cron { pattern: pattern.into(), time_zone: None })
    }

    fn of(rule: RepeatRule) -> Self {
        Self { rule, limit: None, start: None, end: None, immediately: false }
    }

    /// Sets how far from the multiples of an interval its times are.
    #[must_use]
    pub fn offset(mut self, span: Duration) -> Self {
        if let RepeatRule::Every { offset, .. } = &mut self.rule {
            *offset = Some(span);
        }
        self
    }

    /// Sets the time zone in which a pattern is read, by its IANA name.
    #[must_use]
    pub fn time_zone(mut self, name: impl Into<String>) -> Self {
        if let RepeatRule::Cron { time_zone, .. } = &mut self.rule {
            *time_zone = Some(name.into());
        }
        self
    }

    /// Sets the number of jobs that it adds.
    #[must_use]
    pub fn limit(mut self, jobs: u64) -> Self {
        self.limit = Some(jobs);
        self
    }

    /// Sets the time before which no job runs, in ms since 1970.
    #[must_use]
    pub fn start(mut self, at: i64) -> Self {
        self.start = Some(at);
        self
    }

    /// Sets the time after which no job is added, in ms since 1970.
    #[must_use]
    pub fn end(mut self, at: i64) -> Self {
        self.end = Some(at);
        self
    }

    /// Lets the first job of a pattern run at once.
    #[must_use]
    pub fn immediately(mut self) -> Self {
        self.immediately = true;
        self
    }

    /// Rejects what BullMQ could not use, and a scheduler that would never add a job.
    pub(super) fn check(&self, now: i64) -> Result<(), Error> {
        let rejected = |reason: &str| Err(Error::BadSchedule(reason.to_owned()));
        match &self.rule {
            RepeatRule::Every { interval, .. } if interval.as_millis() == 0 => rejected("the interval is below 1 ms"),
            RepeatRule::Every { interval, .. } if interval.as_millis() > LONGEST.into() => {
                rejected("the interval is above ten years")
            }
            RepeatRule::Every { interval, offset: Some(offset) } if offset >= interval => {
                rejected("the offset is not below the interval")
            }
            _ if self.limit == Some(0) => rejected("the limit is 0"),
            _ if self.end.is_some_and(|end| end < now) => rejected("the end has passed"),
            _ if self.immediately && self.start.is_some() => rejected("a start does not go with `immediately`"),
            _ if [self.start, self.end].into_iter().flatten().any(|at| !(0..MOST_MS).contains(&at)) => {
                rejected("start or end cannot be a time in ms since 1970")
            }
            RepeatRule::Cron { pattern, time_zone } => {
                cron::check_dialect(pattern).map_err(Error::BadSchedule)?;
                Pattern::parse(pattern, time_zone.as_deref()).map(drop).map_err(Error::BadSchedule)
            }
            RepeatRule::Every { .. } => Ok(()),
        }
    }

    /// Returns when the first job of a pattern runs, in ms since 1970; `None` for an interval, as the script decides.
    pub(super) fn first(&self, now: i64) -> Result<Option<i64>, Error> {
        match &self.rule {
            RepeatRule::Every { .. } => Ok(None),
            RepeatRule::Cron { .. } if self.immediately => Ok(Some(now)),
            RepeatRule::Cron { pattern, time_zone } => {
                let pattern = Pattern::parse(pattern, time_zone.as_deref()).map_err(Error::BadSchedule)?;
                let next = next_of(&pattern, now, self.start, self.end);
                next.map(Some).ok_or_else(|| Error::BadSchedule("the pattern has no time between start and end".into()))
            }
        }
    }

    /// Writes what BullMQ stores as `repeat` in the options of the first job.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let mut repeat = Map::new();
        repeat.insert("count".into(), 1.into());
        for (name, value) in self.to_fields() {
            let value = value.parse::<i64>().map_or(Value::from(value), Value::from);
            repeat.insert(name.to_owned(), value);
        }
        if let RepeatRule::Every { offset: Some(offset), .. } = self.rule
            && !offset.is_zero()
        {
            repeat.insert("offset".into(), millis(offset).into());
        }
        repeat
    }

    /// Returns what BullMQ stores in a scheduler's hash, other than its offset.
    pub(super) fn to_fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        match &self.rule {
            RepeatRule::Every { interval, .. } => fields.push(("every", millis(*interval).to_string())),
            RepeatRule::Cron { pattern, time_zone } => {
                fields.push(("pattern", pattern.clone()));
                fields.extend(time_zone.clone().map(|zone| ("tz", zone)));
            }
        }
        fields.extend(self.limit.map(|jobs| ("limit", jobs.to_string())));
        fields.extend(self.start.map(|at| ("startDate", at.to_string())));
        fields.extend(self.end.map(|at| ("endDate", at.to_string())));
        fields
    }

    /// Reads a scheduler's fields; `None` if they are no scheduler's.
    pub(super) fn from_fields(field: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| field(name).and_then(|text| text.parse::<i64>().ok());
        let span = |name: &str| number(name).and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        let rule = match (field("pattern"), span("every")) {
            (Some(pattern), _) => RepeatRule::Cron { pattern, time_zone: field("tz") },
            (None, Some(interval)) => RepeatRule::Every { interval, offset: span("offset") },
            (None, None) => return None,
        };
        Some(Self {
            limit: number("limit").and_then(|limit| u64::try_from(limit).ok()),
            start: number("startDate"),
            end: number("endDate"),
            ..Self::of(rule)
        })
    }
}

/// Times in ms are below this: later ones have no exact score in `delayed`.
const MOST_MS: i64 = 1 << 53;

/// Returns the next time of a pattern after `at`, within start and end.
fn next_of(pattern: &Pattern, at: i64, start: Option<i64>, end: Option<i64>) -> Option<i64> {
    let next = pattern.next_after(start.map_or(at, |start| start.max(at)))?;
    (end.is_none_or(|end| next <= end)).then_some(next)
}

/// What comes after a job of a scheduler.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Successor {
    /// No job: the limit or the end is reached.
    None,
    /// A job, at a time of the pattern (ms since 1970) or, if absent, when the script decides; with its `repeat` options.
    Job { at: Option<i64>, repeat: Map<String, Value> },
}

/// Decides from a job's options what comes after it; `now` is in ms since 1970.
///
/// # Errors
/// Returns why the pattern cannot be used.
pub(super) fn successor(opts: &Map<String, Value>, now: i64) -> Result<Successor, String> {
    let mut repeat = opts.get("repeat").and_then(Value::as_object).cloned().unwrap_or_default();
    let count = repeat.get("count").and_then(Value::as_u64).unwrap_or(0).saturating_add(1);
    let (start, end) = (time_of(repeat.get("startDate")), time_of(repeat.get("endDate")));
    if repeat.get("limit").and_then(Value::as_u64).is_some_and(|limit| count > limit)
        || end.is_some_and(|end| now > end)
    {
        return Ok(Successor::None);
    }
    let now = opts.get("prevMillis").and_then(Value::as_i64).map_or(now, |prev| prev.max(now));
    // `cron` is its name before BullMQ 3.
    let pattern = repeat.get("pattern").or_else(|| repeat.get("cron")).and_then(Value::as_str);
    let at = match pattern {
        None => None,
        Some(pattern) => {
            let pattern = Pattern::parse(pattern, repeat.get("tz").and_then(Value::as_str))?;
            match next_of(&pattern, now, start, end) {
                Some(at) => Some(at),
                None => return Ok(Successor::None),
            }
        }
    };
    repeat.remove("immediately");
    repeat.insert("count".into(), count.into());
    for (name, time) in [("startDate", start), ("endDate", end)] {
        if let Some(time) = time {
            repeat.insert(name.into(), time.into());
        }
    }
    Ok(Successor::Job { at, repeat })
}

/// Reads a time in ms since 1970, which older versions stored as text.
pub(super) fn time_of(value: Option<&Value>) -> Option<i64> {
    let value = value?;
    let as_text = || value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    value.as_i64().or_else(|| as_text().map(|time| time.timestamp_millis()))
}

#[cfg(test)]
mod tests;
