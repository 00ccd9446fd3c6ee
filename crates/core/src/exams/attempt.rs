//! A student's sitting of an exam, and what they answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AttemptId, Exam, ExamId, OrderedQuestion, QuestionId, Timestamp, UserId};

/// One student's sitting of an exam, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The attempt.
    pub id: AttemptId,
    /// The exam.
    pub exam_id: ExamId,
    /// Who sits it.
    pub user_id: UserId,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ends.
    pub deadline: Timestamp,
    /// When it was submitted; absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Timestamp>,
    /// In which order this student sees questions and choices; the sheet's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<OrderedQuestion>>,
}

impl Attempt {
    /// How long after the deadline answers that were in flight are still taken.
    pub const GRACE: Duration = Duration::from_secs(5);

    /// Highest number of saved answers: JavaScript's `Number.MAX_SAFE_INTEGER`, beyond which its numbers are not counted
    /// one by one.
    pub const MAX_SEQ: i64 = (1 << 53) - 1;

    /// When an attempt that begins `now` ends: after the exam's duration, and not after the exam itself.
    pub fn deadline_of(exam: &Exam, now: Timestamp) -> Timestamp {
        let full = now.plus(Duration::from_secs(u64::from(exam.duration_minutes) * 60));
        exam.closes_at.map_or(full, |closes_at| full.min(closes_at))
    }

    /// From then on no answer is taken.
    pub fn last_call(&self) -> Timestamp {
        self.deadline.plus(Self::GRACE)
    }

    /// Whether answers that arrive `now` count.
    pub fn takes_answers(&self, now: Timestamp) -> bool {
        self.submitted_at.is_none() && now < self.last_call()
    }
}

/// What a student answered to one question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// The question.
    pub question_id: QuestionId,
    /// What was chosen of the choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = crate::Question::MAX_CHOICES), inner(length(max = crate::Choice::MAX_ID))))]
    pub choice_ids: Option<Vec<String>>,
    /// What was answered where there are no choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<AnswerValue>,
}

/// An answer that is no choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(inline))]
#[serde(untagged, expecting = "expected true, false, a number or a text")]
pub enum AnswerValue {
    /// To a true/false question.
    Bool(bool),
    /// To a numeric question.
    Number(f64),
    /// To a question for a short text.
    Text(#[cfg_attr(feature = "schema", schemars(length(max = Self::MAX_TEXT)))] String),
}

impl AnswerValue {
    /// Longest text, in characters.
    pub const MAX_TEXT: usize = 2000;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExamStatus;

    const NOW: Timestamp = Timestamp::from_millis(1_795_424_400_000);

    fn exam(closes_at: Option<Timestamp>) -> Exam {
        Exam {
            id: ExamId(uuid::Uuid::nil()),
            author_id: UserId(uuid::Uuid::nil()),
            title: String::new(),
            description: String::new(),
            duration_minutes: 90,
            max_attempts: 1,
            pass_mark: 50,
            opens_at: None,
            closes_at,
            shuffle: false,
            status: ExamStatus::Published,
            created_at: NOW,
            updated_at: NOW,
        }
    }

    #[test]
    fn an_attempt_ends_after_its_time_or_with_the_exam() {
        let full = NOW.plus(Duration::from_mins(90));
        assert_eq!(Attempt::deadline_of(&exam(None), NOW), full);
        assert_eq!(Attempt::deadline_of(&exam(Some(full.plus(Duration::from_secs(1)))), NOW), full);
        let closes_at = NOW.plus(Duration::from_mins(10));
        assert_eq!(Attempt::deadline_of(&exam(Some(closes_at)), NOW), closes_at);
    }

    #[test]
    fn answers_count_until_5_s_after_deadline_or_submission() {
        let mut attempt = Attempt {
            id: AttemptId(uuid::Uuid::nil()),
            exam_id: ExamId(uuid::Uuid::nil()),
            user_id: UserId(uuid::Uuid::nil()),
            started_at: NOW,
            deadline: NOW.plus(Duration::from_mins(1)),
            submitted_at: None,
            order: None,
        };
        let late = |seconds| attempt.deadline.plus(Duration::from_millis(seconds));
        assert_eq!([0, 4999, 5000].map(|ms| attempt.takes_answers(late(ms))), [true, true, false]);
        attempt.submitted_at = Some(NOW);
        assert!(!attempt.takes_answers(NOW));
    }

    #[test]
    fn an_answer_keeps_its_type_in_json() {
        for text in ["true", "4.25", r#""four""#] {
            let wire = format!(r#"{{"questionId":"018f4e3a-0000-7000-8000-000000000001","value":{text}}}"#);
            let answer: Answer = serde_json::from_str(&wire).expect("an answer");
            assert_eq!(serde_json::to_string(&answer).expect("JSON"), wire);
        }
    }
}
