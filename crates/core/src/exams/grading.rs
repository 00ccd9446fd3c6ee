//! What answers are worth.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{
    folding::folded,
    number::{NotANumber, parse_number},
};
use crate::{Answer, AnswerValue, Choice, Question, QuestionId, QuestionKind};

/// What came of grading an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grade {
    /// Points earned.
    pub score: f64,
    /// Points that could be earned.
    pub max_score: f64,
    /// `score` of `max_score`, 0 to 100, to two decimals.
    pub percent: f64,
    /// Whether `percent` reached the pass mark.
    pub passed: bool,
    /// Question by question.
    pub marks: Vec<Mark>,
}

/// What one question brought.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// The question.
    pub question_id: QuestionId,
    /// Points earned.
    pub earned: f64,
    /// Points that could be earned.
    pub points: f64,
}

/// Why an answer cannot be graded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum WhyUngraded {
    /// The exam has no such question.
    UnknownQuestion,
    /// The question is answered in another way, such as by `choiceIds`.
    WrongKind,
    /// The question has no such choice; the others count.
    UnknownChoice,
    /// A numeric question is answered by a text that is no number.
    NotANumber,
    /// A numeric question is answered by a text that may be two numbers: `1,234`.
    AmbiguousNumber,
}

/// An answer that earns nothing because it cannot be graded, which says nothing about the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Ungraded {
    /// The question that it names.
    pub question_id: QuestionId,
    /// Why.
    pub reason: WhyUngraded,
}

/// The answer key of an exam, prepared once for many attempts: right choices as sets, accepted texts folded.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerKey {
    questions: Vec<Keyed>,
    by_id: HashMap<QuestionId, usize>,
}

#[derive(Clone, Debug, PartialEq)]
struct Keyed {
    id: QuestionId,
    points: f64,
    right: Right,
}

#[derive(Clone, Debug, PartialEq)]
enum Right {
    Choices {
        right: HashSet<String>,
        all: HashSet<String>,
        partial_credit: bool,
    },
    TrueFalse(bool),
    Number {
        answer: f64,
        tolerance: f64,
    },
    /// Folded.
    Texts(HashSet<String>),
}

impl AnswerKey {
    /// Prepares the key of these questions, in their order.
    pub fn new(questions: &[Question]) -> Self {
        let keyed =
            |question: &Question| Keyed { id: question.id, points: question.points, right: Right::of(&question.kind) };
        let by_id = questions.iter().enumerate().map(|(n, question)| (question.id, n)).collect();
        Self { questions: questions.iter().map(keyed).collect(), by_id }
    }

    /// Grades answers. A question that is not answered, or whose answer cannot be graded, earns nothing; of several
    /// answers to one question the last counts.
    pub fn grade(&self, answers: &[Answer], pass_mark: u8) -> Grade {
        let mut shares = vec![0.0; self.questions.len()];
        for answer in answers {
            if let Some(n) = self.by_id.get(&answer.question_id) {
                shares[*n] = self.questions[*n].right.share(answer).unwrap_or(0.0);
            }
        }
        let both = self.questions.iter().zip(shares);
        let marks: Vec<_> = both
            .map(|(question, share)| Mark {
                question_id: question.id,
                earned: question.points * share,
                points: question.points,
            })
            .collect();
        let score: f64 = marks.iter().map(|mark| mark.earned).sum();
        let max_score: f64 = marks.iter().map(|mark| mark.points).sum();
        // The pass mark is held against the rounded percentage that is shown.
        let percent = if max_score > 0.0 { round(100.0 * score / max_score) } else { 0.0 };
        let passed = percent >= f64::from(pass_mark);
        Grade { score: round(score), max_score: round(max_score), percent, passed, marks }
    }

    /// The answers that cannot be graded, in their order.
    pub fn ungraded(&self, answers: &[Answer]) -> Vec<Ungraded> {
        let last: HashMap<_, _> = answers.iter().map(|answer| (answer.question_id, answer)).collect();
        let counts = |answer: &&Answer| last.get(&answer.question_id).is_some_and(|last| std::ptr::eq(*last, *answer));
        let why = |answer: &Answer| match self.by_id.get(&answer.question_id) {
            None => Some(WhyUngraded::UnknownQuestion),
            Some(n) => self.questions[*n].right.why_ungraded(answer),
        };
        let ungraded = |answer: &Answer| Some(Ungraded { question_id: answer.question_id, reason: why(answer)? });
        answers.iter().filter(counts).filter_map(ungraded).collect()
    }
}

impl Right {
    fn of(kind: &QuestionKind) -> Self {
        let choices = |choices: &[Choice], partial_credit| Self::Choices {
            right: choices.iter().filter(|choice| choice.correct).map(|choice| choice.id.clone()).collect(),
            all: choices.iter().map(|choice| choice.id.clone()).collect(),
            partial_credit,
        };
        match kind {
            QuestionKind::SingleChoice { choices: some } => choices(some, false),
            QuestionKind::MultipleChoice { choices: some, partial_credit } => choices(some, *partial_credit),
            QuestionKind::TrueFalse { correct } => Self::TrueFalse(*correct),
            QuestionKind::Numeric { answer, tolerance } => Self::Number { answer: *answer, tolerance: *tolerance },
            QuestionKind::ShortText { accepted } => Self::Texts(accepted.iter().map(|text| folded(text)).collect()),
        }
    }

    fn why_ungraded(&self, answer: &Answer) -> Option<WhyUngraded> {
        match (self, &answer.choice_ids, &answer.value) {
            (Self::Choices { all, .. }, Some(chosen), None) if chosen.iter().any(|id| !all.contains(id)) => {
                Some(WhyUngraded::UnknownChoice)
            }
            _ => self.share(answer).err(),
        }
    }

    /// The part of the points that an answer earns, 0 to 1.
    fn share(&self, answer: &Answer) -> Result<f64, WhyUngraded> {
        let whole = |is_right: bool| if is_right { 1.0 } else { 0.0 };
        match (self, &answer.choice_ids, &answer.value) {
            (_, None, None) => Ok(0.0),
            (Self::Choices { right, partial_credit, .. }, Some(chosen), None) => {
                let chosen: HashSet<&str> = chosen.iter().map(String::as_str).collect();
                let hits = chosen.iter().filter(|id| right.contains(**id)).count();
                if *partial_credit {
                    return Ok(part(hits, chosen.len(), right.len()));
                }
                Ok(whole(hits == right.len() && hits == chosen.len()))
            }
            (Self::TrueFalse(correct), None, Some(AnswerValue::Bool(given))) => Ok(whole(given == correct)),
            (Self::Number { answer, tolerance }, None, Some(value)) => {
                let given = match value {
                    AnswerValue::Number(given) => *given,
                    AnswerValue::Text(text) => match parse_number(text) {
                        Ok(given) => given,
                        Err(NotANumber::Ambiguous) => return Err(WhyUngraded::AmbiguousNumber),
                        Err(NotANumber::Other) if text.trim().is_empty() => return Ok(0.0),
                        Err(NotANumber::Other) => return Err(WhyUngraded::NotANumber),
                    },
                    AnswerValue::Bool(_) => return Err(WhyUngraded::WrongKind),
                };
                // 0.4 is within 0.1 of 0.3, though in binary it is a little further.
                let slack = answer.abs().max(*tolerance) * 1e-12;
                Ok(whole((given - answer).abs() <= tolerance + slack))
            }
            (Self::Texts(accepted), None, Some(AnswerValue::Text(given))) => {
                Ok(whole(accepted.contains(&folded(given))))
            }
            _ => Err(WhyUngraded::WrongKind),
        }
    }
}

/// Right choices less wrong ones, of all right ones; so choosing everything earns no more than guessing.
#[expect(clippy::cast_precision_loss, reason = "a question has at most fifty choices")]
fn part(hits: usize, chosen: usize, right: usize) -> f64 {
    hits.saturating_sub(chosen - hits) as f64 / right.max(1) as f64
}

/// To two decimals: thirds that add up make a whole again.
fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests;
