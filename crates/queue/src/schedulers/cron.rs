//! Cron patterns as BullMQ reads them, by the npm package cron-parser, which has a few forms of its own.

use chrono::{DateTime, Duration, Local, LocalResult, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

/// Names for patterns that croner does not know.
const NAMES: [(&str, &str); 4] = [
    ("@secondly", "* * * * * *"),
    ("@minutely", "0 * * * * *"),
    ("@weekdays", "0 0 0 * * 1-5"),
    ("@weekends", "0 0 0 * * 0,6"),
];

/// What BullMQ takes for fields that are left out, which are the first ones.
const ABSENT: [&str; 6] = ["0", "*", "*", "*", "*", "*"];

/// Last value of each field.
const LAST: [&str; 6] = ["59", "59", "23", "31", "12", "7"];

/// A pattern with the time zone in which it is read.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    cron: Cron,
    zone: Zone,
}

/// BullMQ reads a pattern without a time zone in that of its process.
#[derive(Clone, Copy, Debug)]
enum Zone {
    Named(Tz),
    OfProcess,
}

impl Pattern {
    /// Parses a pattern, with an IANA time zone.
    ///
    /// # Errors
    /// Returns why BullMQ could not use it.
    pub(crate) fn parse(pattern: &str, zone: Option<&str>) -> Result<Self, String> {
        let zone = match zone.filter(|name| !name.is_empty()) {
            None => Zone::OfProcess,
            Some(name) => Zone::Named(name.parse().map_err(|_| format!("there is no time zone {name:?}"))?),
        };
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(&translate(pattern)?).map_err(|error| error.to_string())?;
        Ok(Self { cron, zone })
    }

    /// Returns the first time after `at`, both in ms since 1970; `None` if there is none.
    pub(crate) fn next_after(&self, at: i64) -> Option<i64> {
        match self.zone {
            Zone::Named(zone) => self.next_in(&zone, at),
            Zone::OfProcess => self.next_in(&Local, at),
        }
    }

    fn next_in<Z: TimeZone>(&self, zone: &Z, at: i64) -> Option<i64> {
        let at = zone.timestamp_millis_opt(at).single()?;
        let next = self.cron.find_next_occurrence(&at, false).ok()?;
        // croner puts a time that the clocks skip at the end of the gap, BullMQ as far behind it as it is into it.
        let wall_clock = self.cron.find_next_occurrence(&at.naive_local().and_utc(), false).ok()?.naive_utc();
        Some(after_gap(zone, wall_clock).unwrap_or(next).timestamp_millis())
    }
}

/// Returns the instant of a wall-clock time that the clocks skip.
fn after_gap<Z: TimeZone>(zone: &Z, wall_clock: NaiveDateTime) -> Option<DateTime<Z>> {
    if !matches!(zone.from_local_datetime(&wall_clock), LocalResult::None) {
        return None;
    }
    let day_before = zone.from_local_datetime(&(wall_clock - Duration::days(1))).earliest()?;
    let offset = wall_clock - Duration::days(1) - day_before.naive_utc();
    Some(zone.from_utc_datetime(&(wall_clock - offset)))
}

/// Rejects what croner and BullMQ 5 or 6 understand differently.
///
/// # Errors
/// Returns the field that one of them rejects.
pub(crate) fn check_dialect(pattern: &str) -> Result<(), String> {
    let is_odd = |field: &&str| {
        let parts: Vec<&str> = field.split(',').collect();
        let has_twins = parts.iter().enumerate().any(|(at, part)| parts.iter().take(at).any(|other| other == part));
        let has_weekday = field.to_ascii_uppercase().replace("WED", "").contains('W');
        has_twins || parts.len() > 1 && field.contains('#') || field.contains('+') || has_weekday
    };
    let odd = pattern.split_whitespace().filter(|field| !field.starts_with('@')).find(is_odd);
    odd.map_or(Ok(()), |field| Err(format!("BullMQ does not understand {field:?}")))
}

/// Writes a pattern in croner's dialect.
fn translate(pattern: &str) -> Result<String, String> {
    if let Some((_, meaning)) = NAMES.iter().find(|(name, _)| *name == pattern.trim()) {
        return Ok((*meaning).to_owned());
    }
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    if fields.is_empty() || pattern.trim().starts_with('@') {
        let is_known = !pattern.bytes().any(|byte| byte.is_ascii_uppercase());
        return if is_known { Ok(pattern.to_owned()) } else { Err(format!("there is no pattern {pattern:?}")) };
    }
    let absent = ABSENT.len().checked_sub(fields.len()).ok_or("a pattern has at most six fields")?;
    let fields = ABSENT.iter().take(absent).copied().chain(fields);
    Ok(fields.zip(LAST).map(|(field, last)| translate_field(field, last)).collect::<Vec<_>>().join(" "))
}

/// Writes `5/15` as a range.
fn translate_field(field: &str, last: &str) -> String {
    let parts = field.split(',').map(|part| match part.split_once('/') {
        Some((first, step)) if !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{first}-{last}/{step}")
        }
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn ms(time: &str) -> i64 {
        time.parse::<DateTime<Utc>>().expect("a time").timestamp_millis()
    }

    fn next(pattern: &str, zone: &str, at: &str) -> String {
        let pattern = Pattern::parse(pattern, Some(zone)).expect("a pattern");
        let next = pattern.next_after(ms(at)).and_then(|next| Utc.timestamp_millis_opt(next).single());
        next.map_or_else(String::new, |next| next.format("%FT%TZ").to_string())
    }

    /// The expected times are those of cron-parser 5.10.3; 4.9.0 gives the same where it knows the form.
    #[test]
    fn times_are_those_of_cron_parser() {
        let spring = "2026-03-28T22:10:05.250Z";
        for (pattern, zone, at, expected) in [
            ("*/15 * * * *", "UTC", spring, "2026-03-28T22:15:00Z"),
            ("5 */15 * * * *", "UTC", spring, "2026-03-28T22:15:05Z"),
            ("0 10 22 * * *", "UTC", "2026-03-28T22:10:00Z", "2026-03-29T22:10:00Z"),
            ("5/15 * * * *", "UTC", spring, "2026-03-28T22:20:00Z"),
            ("@weekdays", "UTC", spring, "2026-03-30T00:00:00Z"),
            ("@daily", "Asia/Kolkata", spring, "2026-03-29T18:30:00Z"),
            ("1 * *", "UTC", spring, "2026-04-01T00:00:00Z"),
            ("0 0 13 * 5", "UTC", spring, "2026-04-03T00:00:00Z"),
            ("0 12 L * *", "UTC", spring, "2026-03-31T12:00:00Z"),
            ("0 0 * * 1#1", "UTC", spring, "2026-04-06T00:00:00Z"),
            ("0 9 * * MON,WED", "Europe/Berlin", spring, "2026-03-30T07:00:00Z"),
            // 02:00 to 03:00 is skipped.
            ("30 2 * * *", "Europe/Berlin", spring, "2026-03-29T01:30:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"),
            ("0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"),
            // 02:00 to 03:00 comes twice.
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ] {
            assert_eq!(next(pattern, zone, at), expected, "{pattern} in {zone} after {at}");
        }
        assert_eq!(next("0 0 30 2 *", "UTC", spring), "", "there is no 30 February");
    }

    #[test]
    fn patterns_that_bullmq_rejects_are_rejected() {
        for (pattern, zone) in [
            ("60 * * * *", "UTC"),
            ("* * * * 8", "UTC"),
            ("0 0 15W * *", "UTC"),
            ("0 0 * * 1,1", "UTC"),
            ("0 0 * * 1#1,3", "UTC"),
            ("* * * * * * *", "UTC"),
            ("nonsense", "UTC"),
            ("@never", "UTC"),
            ("@DAILY", "UTC"),
            ("* * * * *", "Mars/Olympus"),
        ] {
            let parsed = check_dialect(pattern).and_then(|()| Pattern::parse(pattern, Some(zone)).map(drop));
            assert!(parsed.is_err(), "{pattern} in {zone}");
        }
    }
}
