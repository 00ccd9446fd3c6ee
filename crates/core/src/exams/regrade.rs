//! Grading again after the key of an exam was changed: what that changes, added up.

use serde::{Deserialize, Serialize};

use crate::{ExamResult, Grade, Mark};

/// How results change when they are graded again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RegradeCounts {
    /// Results of which anything changes.
    pub changed: u64,
    /// Results with a higher percentage than before.
    pub raised: u64,
    /// Results with a lower percentage than before.
    pub lowered: u64,
    /// Results that pass and did not before.
    pub newly_passed: u64,
    /// Results that passed and do not any more.
    pub newly_failed: u64,
    /// Mails to students whose result changes.
    pub mailed: u64,
    /// Results that stay as they are, because their answers cannot be read.
    pub ungradable: u64,
}

impl RegradeCounts {
    /// Counts a result that is graded again. Returns what it is then, unless it stays as it is.
    pub fn add(&mut self, before: &ExamResult, marks: &[Mark], grade: &Grade) -> Option<ExamResult> {
        let Grade { score, max_score, percent, passed, .. } = *grade;
        let after = ExamResult { score, max_score, percent, passed, ..before.clone() };
        if after == *before && marks == grade.marks {
            return None;
        }
        let count = |is_one: bool| u64::from(is_one);
        self.changed += 1;
        self.raised += count(after.percent > before.percent);
        self.lowered += count(after.percent < before.percent);
        self.newly_passed += count(after.passed && !before.passed);
        self.newly_failed += count(before.passed && !after.passed);
        Some(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttemptId, ExamId, QuestionId, ResultId, Timestamp, UserId};
    use uuid::Uuid;

    fn result(score: f64, passed: bool) -> ExamResult {
        ExamResult {
            id: ResultId(Uuid::nil()),
            exam_id: ExamId(Uuid::nil()),
            attempt_id: AttemptId(Uuid::nil()),
            user_id: UserId(Uuid::nil()),
            score,
            max_score: 4.0,
            percent: score * 25.0,
            passed,
            graded_at: Timestamp::from_millis(0),
            regraded_at: None,
        }
    }

    #[test]
    fn only_what_differs_counts() {
        let mark = |earned| Mark { question_id: QuestionId(Uuid::nil()), earned, points: 4.0 };
        let grade = |score: f64, passed| Grade {
            score,
            max_score: 4.0,
            percent: score * 25.0,
            passed,
            marks: vec![mark(score)],
        };
        let mut counts = RegradeCounts::default();
        assert_eq!(counts.add(&result(2.0, true), &[mark(2.0)], &grade(2.0, true)), None);
        assert_eq!(counts, RegradeCounts::default());
        assert_eq!(counts.add(&result(2.0, false), &[mark(2.0)], &grade(4.0, true)), Some(result(4.0, true)));
        assert_eq!(counts.add(&result(2.0, true), &[mark(2.0)], &grade(1.0, false)), Some(result(1.0, false)));
        assert_eq!(counts.add(&result(2.0, true), &[], &grade(2.0, true)), Some(result(2.0, true)), "other marks");
        let expected = RegradeCounts {
            changed: 3,
            raised: 1,
            lowered: 1,
            newly_passed: 1,
            newly_failed: 1,
            ..RegradeCounts::default()
        };
        assert_eq!(counts, expected);
    }
}
