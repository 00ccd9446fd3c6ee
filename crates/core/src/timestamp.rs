//! Timestamps in milliseconds.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Milliseconds since 1970-01-01 UTC, as stored by tables and BullMQ.
///
/// In JSON and in text it is RFC 3339 in UTC with milliseconds. That names the years 0 to 9999: what cannot be written is
/// not read, and a moment outside is written as the nearest one inside.
///
/// ```
/// use examhall_core::Timestamp;
///
/// let opens_at: Timestamp = "2026-11-23T10:00:00.5+01:00".parse()?;
/// assert_eq!(opens_at.to_string(), "2026-11-23T09:00:00.500Z");
/// assert_eq!(opens_at, Timestamp::from_millis(1_795_424_400_500));
/// # Ok::<(), examhall_core::BadTimestamp>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 time between the years 0 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time like 2026-11-23T09:00:00Z (RFC 3339)")]
pub struct BadTimestamp;

impl Timestamp {
    /// The moment `millis` milliseconds after 1970-01-01 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The moment `span` later; the last one there is, if that is out of range.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The moment `span` earlier; the first one there is, if that is out of range.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The first moment that has a text, 0000-01-01T00:00:00.000Z.
    pub const MIN_TEXT: Self = Self(-62_167_219_200_000);
    /// The last moment that has a text, 9999-12-31T23:59:59.999Z.
    pub const MAX_TEXT: Self = Self(253_402_300_799_999);

    /// A moment that another program wrote, in ms since 1970, such as a job's; `None` for one before 1970 or after the last one
    /// that has a text, which no clock has shown.
    pub fn foreign(millis: i64) -> Option<Self> {
        (0..=Self::MAX_TEXT.0).contains(&millis).then_some(Self(millis))
    }
}

/// The time of the system's clock, whole milliseconds; 1970-01-01 for a clock that is before it.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(0).plus(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }
}

impl std::str::FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| BadTimestamp)?;
        let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        let moment = i64::try_from(millis).map(Self).map_err(|_| BadTimestamp)?;
        // The offset may lead out of the years that have four digits.
        if (Self::MIN_TEXT..=Self::MAX_TEXT).contains(&moment) { Ok(moment) } else { Err(BadTimestamp) }
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = (*self).clamp(Self::MIN_TEXT, Self::MAX_TEXT).0;
        let seconds = OffsetDateTime::from_unix_timestamp(shown.div_euclid(1000)).map_err(|_| std::fmt::Error)?;
        let seconds = seconds.format(&Rfc3339).map_err(|_| std::fmt::Error)?;
        write!(f, "{}.{:03}Z", seconds.trim_end_matches('Z'), shown.rem_euclid(1000))
    }
}

/// Never fails: one bad row must not take a list down.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<i64> {
        text.parse().ok().map(Timestamp::as_millis)
    }

    proptest! {
        #[test]
        fn text_and_back_is_the_same_moment(millis in Timestamp::MIN_TEXT.0..=Timestamp::MAX_TEXT.0) {
            let moment = Timestamp::from_millis(millis);
            prop_assert_eq!(moment.to_string().parse(), Ok(moment));
        }

        #[test]
        fn every_parsed_time_can_be_written(
            year in prop_oneof![Just("0000"), Just("9999"), Just("2026")],
            day in prop_oneof![Just("01-01"), Just("12-31"), Just("06-30"), Just("02-29")],
            (hour, minute, second) in (0..24_u8, 0..60_u8, prop_oneof![0..61_u8, Just(60)]),
            fraction in "(\\.[0-9]{1,12})?",
            offset in "[zZ]|[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]",
        ) {
            let text = format!("{year}-{day}T{hour:02}:{minute:02}:{second:02}{fraction}{offset}");
            if let Ok(moment) = text.parse::<Timestamp>() {
                let written = serde_json::to_string(&moment).expect("never fails");
                prop_assert_eq!(serde_json::from_str::<Timestamp>(&written).expect("reads back"), moment);
                prop_assert_eq!(written.len(), "\"2026-11-23T09:00:00.500Z\"".len());
            }
        }

        #[test]
        fn every_moment_has_a_text_that_can_be_read(millis: i64) {
            let written = serde_json::to_string(&Timestamp::from_millis(millis)).expect("never fails");
            prop_assert!(serde_json::from_str::<Timestamp>(&written).is_ok(), "{}", written);
        }
    }

    #[test]
    fn a_time_that_cannot_be_written_is_rejected() {
        for text in [
            "9999-12-31T23:59:59-05:00",
            "9999-12-31T23:59:59-23:59",
            "9999-12-31T23:59:60-00:01",
            "0000-01-01T00:00:00+23:59",
            "0000-01-01T00:00:00+00:01",
            "10000-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
            "yesterday",
            "2026-11-23",
            "2026-11-23T09:00:00",
            "2026-02-30T09:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T09:00:60Z",
            "٢٠٢٦-11-23T09:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_and_the_last_time_are_read() {
        assert_eq!(read("0000-01-01T00:00:00Z"), Some(Timestamp::MIN_TEXT.0));
        assert_eq!(read("0000-01-01T23:59:00+23:59"), Some(Timestamp::MIN_TEXT.0));
        assert_eq!(read("9999-12-31T23:59:59.999999999Z"), Some(Timestamp::MAX_TEXT.0));
        assert_eq!(read("9999-12-31T18:59:59.999-05:00"), Some(Timestamp::MAX_TEXT.0));
    }

    #[test]
    fn a_leap_second_is_the_end_of_the_second_before_it() {
        let text = "2016-12-31T23:59:60Z".parse::<Timestamp>().expect("a time").to_string();
        assert_eq!(text, "2016-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_moment_that_no_text_names_is_shown_as_the_nearest() {
        let shown = |millis| Timestamp::from_millis(millis).to_string();
        assert_eq!(shown(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(shown(253_402_318_799_000), "9999-12-31T23:59:59.999Z");
        assert_eq!(shown(i64::MIN), "0000-01-01T00:00:00.000Z");
    }
}
