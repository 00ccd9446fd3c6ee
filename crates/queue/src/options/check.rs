//! Checks of all options: of jobs, workers and queues. Redis and JavaScript would fail on what is refused here, halfway
//! through a script, or read something else.

use std::time::Duration;

use super::{JobOptions, Retention};
use crate::{
    Error, JobId,
    clock::{LAST_TIME, millis},
};

/// Longest span of an option, and of a run's outcome: a year.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Checks that a span is between `shortest` and a year.
pub(crate) fn check_span(option: &'static str, span: Duration, shortest: Duration) -> Result<(), Error> {
    let reason = if shortest.is_zero() { "it is longer than a year" } else { "it must be between 1 ms and a year" };
    if span < shortest || span > LONGEST { Err(Error::BadOption { option, reason }) } else { Ok(()) }
}

/// Checks a rate limit, of a worker or of a queue.
pub(crate) fn check_rate_limit(option: &'static str, jobs: u32, period: Duration) -> Result<(), Error> {
    if jobs == 0 {
        return Err(Error::BadOption { option, reason: "it must allow a job" });
    }
    check_span(option, period, Duration::from_millis(1))
}

/// Checks a time at which a job is due, in ms since 1970.
pub(crate) fn check_due(option: &'static str, due: i64) -> Result<(), Error> {
    if (1..LAST_TIME).contains(&due) {
        return Ok(());
    }
    Err(Error::BadOption { option, reason: "the job would not be due between 1970 and 2039" })
}

pub(crate) fn check_deduplication_id(id: &str) -> Result<(), Error> {
    if id.is_empty() { Err(Error::BadDeduplicationId) } else { Ok(()) }
}

pub(crate) fn check_priority(priority: u32) -> Result<(), Error> {
    if priority > JobOptions::MAX_PRIORITY { Err(Error::BadPriority(priority)) } else { Ok(()) }
}

pub(crate) fn check_retention(option: &'static str, retention: Option<Retention>) -> Result<(), Error> {
    match retention {
        Some(Retention::For { age, .. }) if age.is_zero() => {
            Err(Error::BadOption { option, reason: "an age of 0 would remove all finished jobs" })
        }
        Some(Retention::For { age, .. }) if age > 100 * LONGEST => {
            Err(Error::BadOption { option, reason: "its age is longer than 100 years" })
        }
        _ => Ok(()),
    }
}

/// Checks the options of a job to add; `now` is in ms since 1970.
pub(crate) fn check_job(options: &JobOptions, now: i64) -> Result<(), Error> {
    if let Some(id) = &options.job_id {
        JobId::new_custom(id)?;
    }
    check_priority(options.priority)?;
    if let Some(deduplication) = &options.deduplication {
        check_deduplication_id(&deduplication.id)?;
        if let Some(ttl) = deduplication.ttl {
            check_span("deduplication", ttl, Duration::from_millis(1))?;
        }
    }
    let due = options.timestamp.unwrap_or(now).saturating_add_unsigned(millis(options.delay));
    match options.timestamp {
        Some(time) if !(1..LAST_TIME).contains(&time) => return Err(Error::BadTimestamp(time)),
        Some(time) => check_due("delay", due).map_err(|_| Error::BadTimestamp(time))?,
        None => check_due("delay", due)?,
    }
    check_span("backoff", options.retry.backoff.delay, Duration::ZERO)?;
    if !(0.0..=1.0).contains(&options.retry.backoff.jitter) {
        return Err(Error::BadOption { option: "backoff", reason: "its jitter is not between 0 and 1" });
    }
    check_retention("remove_on_complete", options.remove_on_complete)?;
    check_retention("remove_on_fail", options.remove_on_fail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backoff, Deduplication};

    fn refused(options: &JobOptions) -> Option<&'static str> {
        match check_job(options, 1_700_000_000_000) {
            Ok(()) => None,
            Err(Error::BadOption { option, .. }) => Some(option),
            Err(Error::BadPriority(_)) => Some("priority"),
            Err(Error::BadTimestamp(_)) => Some("timestamp"),
            Err(Error::BadDeduplicationId) => Some("deduplication id"),
            Err(_) => Some("another"),
        }
    }

    #[test]
    fn each_bad_option_is_named() {
        let (none, ms, max) = (JobOptions::default, Duration::from_millis, Duration::MAX);
        let ttl = |ttl| none().deduplication(Deduplication::ttl("d", ttl));
        let jitter = |jitter| none().backoff(Backoff::fixed(ms(1)).jitter(jitter));
        for (options, expected) in [
            (none(), None),
            (none().delay(max), Some("delay")),
            (none().delay(ms(1 << 53)), Some("delay")),
            (none().delay(LONGEST), None),
            (ttl(max), Some("deduplication")),
            (ttl(ms(i64::MAX as u64)), Some("deduplication")),
            (ttl(Duration::from_micros(999)), Some("deduplication")),
            (ttl(Duration::ZERO), Some("deduplication")),
            (ttl(ms(1)), None),
            (none().deduplication(Deduplication::simple("")), Some("deduplication id")),
            (none().backoff(Backoff::exponential(max)), Some("backoff")),
            (jitter(5.0), Some("backoff")),
            (jitter(-0.1), Some("backoff")),
            (jitter(f64::NAN), Some("backoff")),
            (jitter(1.0), None),
            (none().priority(JobOptions::MAX_PRIORITY + 1), Some("priority")),
            (none().remove_on_complete(Retention::age(Duration::ZERO)), Some("remove_on_complete")),
            (none().remove_on_fail(Retention::age(max)), Some("remove_on_fail")),
            (none().remove_on_fail(Retention::age(ms(1))), None),
            (none().timestamp(-1), Some("timestamp")),
            (none().timestamp(i64::MAX), Some("timestamp")),
            (none().timestamp(1).delay(max), Some("timestamp")),
        ] {
            assert_eq!(refused(&options), expected, "{options:?}");
        }
    }
}
