//! A moment, to the millisecond.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment in milliseconds since 1970-01-01 UTC, which is how tables and BullMQ keep it.
///
/// In JSON and in text it is RFC 3339 in UTC with milliseconds.
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

    fn to_text(self) -> Result<String, BadTimestamp> {
        let moment = OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1000)).map_err(|_| BadTimestamp)?;
        let seconds = moment.format(&Rfc3339).map_err(|_| BadTimestamp)?;
        Ok(format!("{}.{:03}Z", seconds.trim_end_matches('Z'), self.0.rem_euclid(1000)))
    }
}

impl std::str::FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| BadTimestamp)?;
        i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000)).map(Self).map_err(|_| BadTimestamp)
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.to_text() {
            Ok(text) => f.write_str(&text),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text().map_err(S::Error::custom)?)
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

    proptest! {
        #[test]
        fn text_and_back_is_the_same_moment(millis in -62_000_000_000_000_i64..253_402_300_799_999) {
            let moment = Timestamp::from_millis(millis);
            prop_assert_eq!(moment.to_string().parse(), Ok(moment));
        }
    }

    #[test]
    fn a_moment_that_no_text_can_name_is_an_error_and_not_a_panic() {
        assert!(serde_json::to_string(&Timestamp::from_millis(i64::MAX)).is_err());
        assert!("yesterday".parse::<Timestamp>().is_err());
        assert!("2026-11-23".parse::<Timestamp>().is_err());
    }
}
