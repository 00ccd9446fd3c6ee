//! What came of an attempt.

use serde::{Deserialize, Serialize};

use crate::{AttemptId, ExamId, ResultId, Timestamp, UserId};

/// A graded attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ExamResult {
    /// The result.
    pub id: ResultId,
    /// The exam.
    pub exam_id: ExamId,
    /// The attempt that was graded.
    pub attempt_id: AttemptId,
    /// Who sat it.
    pub user_id: UserId,
    /// Points earned.
    pub score: f64,
    /// Points that could be earned.
    pub max_score: f64,
    /// `score` of `maxScore`, 0 to 100.
    pub percent: f64,
    /// Whether `percent` reached the exam's pass mark.
    pub passed: bool,
    /// When it was graded.
    pub graded_at: Timestamp,
    /// When it was last changed by grading again; absent where it is as it was at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regraded_at: Option<Timestamp>,
}

/// Who may see a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ResultAccess {
    /// Who sat the exam.
    pub user_id: UserId,
    /// Whose exam it is.
    pub author_id: UserId,
    /// The exam, which says when its students see their results.
    pub exam_id: ExamId,
    /// When it was graded.
    pub graded_at: Timestamp,
}
