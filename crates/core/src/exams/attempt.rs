//! A student's sitting of an exam, and what they answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AttemptId, ExamAccess, ExamId, OrderedQuestion, QuestionId, Timestamp, UserId};

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

    /// How far it has come.
    pub const fn state(&self) -> AttemptState {
        if self.submitted_at.is_some() { AttemptState::Submitted } else { AttemptState::Open }
    }

    /// Whether its student may read the exam's questions `now`: while it takes answers, and again once its result is shown,
    /// if the exam says so.
    pub fn shows_paper(&self, exam: &ExamAccess, now: Timestamp) -> bool {
        match self.submitted_at {
            Some(submitted_at) => exam.review && exam.shows_result(submitted_at, now),
            None => self.takes_answers(now),
        }
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

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum AttemptState {
    /// The student sits it, or its time has just ended.
    Open,
    /// It is submitted.
    Submitted,
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
    use crate::{Exam, ResultPolicy, exams::exam::tests::exam};

    const NOW: Timestamp = Timestamp::from_millis(1_795_424_400_000);

    fn attempt() -> Attempt {
        Attempt {
            id: AttemptId(uuid::Uuid::nil()),
            exam_id: ExamId(uuid::Uuid::nil()),
            user_id: UserId(uuid::Uuid::nil()),
            started_at: NOW,
            deadline: NOW.plus(Duration::from_mins(1)),
            submitted_at: None,
            order: None,
        }
    }

    #[test]
    fn answers_count_until_5_s_after_deadline_or_submission() {
        let mut attempt = attempt();
        let late = |seconds| attempt.deadline.plus(Duration::from_millis(seconds));
        assert_eq!([0, 4999, 5000].map(|ms| attempt.takes_answers(late(ms))), [true, true, false]);
        attempt.submitted_at = Some(NOW);
        assert!(!attempt.takes_answers(NOW));
    }

    #[test]
    fn the_paper_is_shown_while_it_is_sat_and_for_review() {
        let (open, submitted) = (attempt(), Attempt { submitted_at: Some(NOW), ..attempt() });
        let over = open.last_call();
        for (review, results, shown) in [
            (false, ResultPolicy::OnSubmit, [true, false, false]),
            (true, ResultPolicy::OnSubmit, [true, false, true]),
            (true, ResultPolicy::OnPublish, [true, false, false]),
        ] {
            let exam = Exam { results, review, ..exam() }.access();
            let found =
                [open.shows_paper(&exam, NOW), open.shows_paper(&exam, over), submitted.shows_paper(&exam, over)];
            assert_eq!(found, shown, "{review} {results:?}");
        }
        assert_eq!([open.state(), submitted.state()], [AttemptState::Open, AttemptState::Submitted]);
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
