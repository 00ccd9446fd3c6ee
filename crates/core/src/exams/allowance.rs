//! More time for one student, and when an attempt ends.

use serde::{Deserialize, Serialize};

use crate::{Exam, Timestamp};

/// Time that one student has on top of an exam's duration, also beyond its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The student's duration in percent of the exam's; 100 where it is the same.
    pub percent: u32,
    /// Time on top of that, in ms; it may be less than none.
    pub extra_ms: i64,
}

impl Allowance {
    /// No more time than others have.
    pub const NONE: Self = Self { percent: 100, extra_ms: 0 };

    /// When an attempt ends that began at `started_at`: after the exam's duration, not after the exam itself, and after what
    /// this allows on top.
    pub fn deadline(self, exam: &Exam, started_at: Timestamp) -> Timestamp {
        let full = started_at.as_millis().saturating_add(exam.duration_ms());
        let base = exam.closes_at.map_or(full, |closes_at| full.min(closes_at.as_millis()));
        let longer = exam.duration_ms().saturating_mul(i64::from(self.percent) - 100) / 100;
        Timestamp::from_millis(base.saturating_add(longer).saturating_add(self.extra_ms))
    }

    /// This allowance with the extra time that makes an attempt end at `deadline`.
    #[must_use]
    pub fn ending_at(self, exam: &Exam, started_at: Timestamp, deadline: Timestamp) -> Self {
        let without = Self { extra_ms: 0, ..self }.deadline(exam, started_at);
        Self { extra_ms: deadline.as_millis().saturating_sub(without.as_millis()), ..self }
    }
}

/// More time that an exam's author has granted a student, for the attempts that they start from then on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Accommodation {
    /// The student's duration as a multiple of the exam's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// Minutes on top of the exam's duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u32>,
}

impl Accommodation {
    /// Highest factor; the lowest is 1.
    pub const MAX_FACTOR: f64 = 10.0;
    /// Most minutes.
    pub const MAX_MINUTES: u32 = Exam::MAX_MINUTES;

    /// The same with what counts alone: a factor of whole percents, and nothing that grants nothing.
    #[must_use]
    pub fn normalised(self) -> Self {
        let Allowance { percent, .. } = self.allowance();
        Self {
            factor: (percent != 100).then(|| f64::from(percent) / 100.0),
            minutes: self.minutes.filter(|minutes| *minutes > 0),
        }
    }

    /// The time that it allows. A factor counts in whole percents.
    pub fn allowance(self) -> Allowance {
        let factor = self.factor.unwrap_or(1.0).clamp(1.0, Self::MAX_FACTOR);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 100 and 1000")]
        let percent = (factor * 100.0).round() as u32;
        Allowance { percent, extra_ms: i64::from(self.minutes.unwrap_or(0)) * 60_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exams::exam::tests::exam;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000;

    fn deadline(allowance: Allowance, closes_at: Option<i64>, started_at: i64) -> i64 {
        let exam = Exam { closes_at: closes_at.map(|minute| Timestamp::from_millis(minute * MINUTE)), ..exam() };
        allowance.deadline(&exam, Timestamp::from_millis(started_at * MINUTE)).as_millis() / MINUTE
    }

    #[test]
    fn an_attempt_ends_after_its_time_or_with_the_exam() {
        // Of an exam of 90 minutes: end of the exam, start, end of the attempt.
        for (closes_at, started_at, ends) in [(None, 0, 90), (Some(91), 0, 90), (Some(10), 0, 10), (Some(100), 50, 100)]
        {
            assert_eq!(deadline(Allowance::NONE, closes_at, started_at), ends, "{closes_at:?} {started_at}");
        }
    }

    #[test]
    fn more_time_goes_beyond_the_end_of_the_exam() {
        let granted = |factor, minutes| Accommodation { factor, minutes }.allowance();
        for (allowance, closes_at, ends) in [
            (granted(Some(1.5), None), None, 135),
            (granted(None, Some(10)), None, 100),
            (granted(Some(1.25), Some(5)), Some(40), 67), // 40 + 22.5 + 5
            (granted(None, None), Some(40), 40),
            (Allowance { percent: 100, extra_ms: -10 * MINUTE }, None, 80),
        ] {
            assert_eq!(deadline(allowance, closes_at, 0), ends, "{allowance:?} {closes_at:?}");
        }
    }

    proptest! {
        #[test]
        fn a_chosen_deadline_is_the_one_that_follows(
            percent in 100_u32..1000, extra_ms: i32, started_at in 0_i64..1 << 40, wanted in 0_i64..1 << 41,
        ) {
            let (exam, started_at, wanted) = (exam(), Timestamp::from_millis(started_at), Timestamp::from_millis(wanted));
            let before = Allowance { percent, extra_ms: extra_ms.into() };
            let after = before.ending_at(&exam, started_at, wanted);
            prop_assert_eq!((after.percent, after.deadline(&exam, started_at)), (percent, wanted));
        }
    }
}
