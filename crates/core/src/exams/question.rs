//! Questions: with their answers for authors, without them for students.

use serde::{Deserialize, Serialize};

use crate::{ExamId, QuestionId};

/// A question with its answer key: for its author and for grading, never for a student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// The question.
    pub id: QuestionId,
    /// What is asked.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = Self::MAX_TEXT)))]
    pub text: String,
    /// What a right answer earns.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = Self::MAX_POINTS)))]
    pub points: f64,
    /// How it is answered, and the key.
    #[serde(flatten)]
    pub kind: QuestionKind,
}

/// How a question is answered, with its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum QuestionKind {
    /// One of several choices.
    SingleChoice {
        /// What to choose from.
        #[cfg_attr(feature = "schema", schemars(length(min = 2, max = Question::MAX_CHOICES)))]
        choices: Vec<Choice>,
    },
    /// Any of several choices.
    MultipleChoice {
        /// What to choose from.
        #[cfg_attr(feature = "schema", schemars(length(min = 2, max = Question::MAX_CHOICES)))]
        choices: Vec<Choice>,
        /// Whether a partly right answer earns a part of the points.
        #[serde(default)]
        partial_credit: bool,
    },
    /// Yes or no.
    TrueFalse {
        /// Which of them is right.
        correct: bool,
    },
    /// A number.
    Numeric {
        /// The right one.
        answer: f64,
        /// How far off is still right.
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
        #[serde(default)]
        tolerance: f64,
    },
    /// A word or two.
    ShortText {
        /// Every text that is right.
        #[cfg_attr(
            feature = "schema",
            schemars(length(min = 1, max = Question::MAX_CHOICES), inner(length(min = 1, max = Question::MAX_ACCEPTED)))
        )]
        accepted: Vec<String>,
    },
}

/// Something to choose, and whether it is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Choice {
    /// Names it within its question.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = Self::MAX_ID), pattern(Self::ID_PATTERN)))]
    pub id: String,
    /// What it says.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = Self::MAX_TEXT)))]
    pub text: String,
    /// Whether it is right.
    pub correct: bool,
}

/// The question sheet of an exam as students see it, in the author's order. Its type has no place for an answer key,
/// so none can be cached or sent by mistake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct QuestionSheet {
    /// The exam.
    pub exam_id: ExamId,
    /// Counts the changes of the exam and its questions.
    pub version: i64,
    /// The questions.
    pub questions: Vec<StudentQuestion>,
}

/// A question as students see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StudentQuestion {
    /// The question.
    pub id: QuestionId,
    /// What is asked.
    pub text: String,
    /// What a right answer earns.
    pub points: f64,
    /// How it is answered.
    #[serde(flatten)]
    pub kind: StudentKind,
}

/// How a question is answered, without its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StudentKind {
    /// One of several choices.
    SingleChoice {
        /// What to choose from.
        choices: Vec<StudentChoice>,
    },
    /// Any of several choices.
    MultipleChoice {
        /// What to choose from.
        choices: Vec<StudentChoice>,
    },
    /// Yes or no.
    TrueFalse,
    /// A number.
    Numeric,
    /// A word or two.
    ShortText,
}

/// Something to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StudentChoice {
    /// Names it within its question.
    pub id: String,
    /// What it says.
    pub text: String,
}

impl Question {
    /// The question without its answer key.
    pub fn for_student(&self) -> StudentQuestion {
        let kind = match &self.kind {
            QuestionKind::SingleChoice { choices } => StudentKind::SingleChoice { choices: without_key(choices) },
            QuestionKind::MultipleChoice { choices, .. } => {
                StudentKind::MultipleChoice { choices: without_key(choices) }
            }
            QuestionKind::TrueFalse { .. } => StudentKind::TrueFalse,
            QuestionKind::Numeric { .. } => StudentKind::Numeric,
            QuestionKind::ShortText { .. } => StudentKind::ShortText,
        };
        StudentQuestion { id: self.id, text: self.text.clone(), points: self.points, kind }
    }
}

fn without_key(choices: &[Choice]) -> Vec<StudentChoice> {
    choices.iter().map(|choice| StudentChoice { id: choice.id.clone(), text: choice.text.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "018f4e3a-0000-7000-8000-000000000001";

    fn kinds() -> [QuestionKind; 5] {
        let choices = vec![
            Choice { id: "a".into(), text: "four".into(), correct: true },
            Choice { id: "b".into(), text: "five".into(), correct: false },
        ];
        [
            QuestionKind::SingleChoice { choices: choices.clone() },
            QuestionKind::MultipleChoice { choices, partial_credit: true },
            QuestionKind::TrueFalse { correct: true },
            QuestionKind::Numeric { answer: 4.25, tolerance: 0.5 },
            QuestionKind::ShortText { accepted: vec!["planted-key".into()] },
        ]
    }

    fn question(kind: QuestionKind) -> Question {
        Question { id: ID.parse().expect("a UUID"), text: "2 + 2?".into(), points: 1.0, kind }
    }

    #[test]
    fn the_json_of_a_question_is_that_of_the_contract() {
        let wire = json!({
            "id": ID, "type": "multipleChoice", "text": "2 + 2?", "points": 1.0, "partialCredit": true,
            "choices": [{"id": "a", "text": "four", "correct": true}, {"id": "b", "text": "five", "correct": false}],
        });
        assert_eq!(serde_json::to_value(question(kinds()[1].clone())).expect("serializes"), wire);
    }

    #[test]
    fn every_question_survives_json() {
        for question in kinds().map(question) {
            let wire = serde_json::to_string(&question).expect("serializes");
            assert_eq!(serde_json::from_str::<Question>(&wire).expect("reads back"), question);
        }
    }

    #[test]
    fn a_student_sees_no_key_of_any_kind() {
        for question in kinds().map(question) {
            let seen = serde_json::to_string(&question.for_student()).expect("serializes");
            for secret in ["correct", "answer", "tolerance", "accepted", "partialCredit", "planted-key", "4.25"] {
                assert!(!seen.contains(secret), "{seen} holds {secret}");
            }
        }
    }

    #[test]
    fn a_student_still_sees_what_to_choose_from() {
        let [single, ..] = kinds();
        let seen = serde_json::to_value(question(single).for_student()).expect("serializes");
        assert_eq!(seen["choices"], json!([{"id": "a", "text": "four"}, {"id": "b", "text": "five"}]));
        assert_eq!(seen["type"], "singleChoice");
    }
}
