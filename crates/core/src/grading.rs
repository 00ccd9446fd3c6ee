//! What answers are worth.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

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
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// The question.
    pub question_id: QuestionId,
    /// Points earned.
    pub earned: f64,
    /// Points that could be earned.
    pub points: f64,
}

/// Grades answers against the key. What is not answered, not understood or answers no question earns nothing; of
/// several answers to one question the last counts.
pub fn grade(questions: &[Question], answers: &[Answer], pass_mark: u8) -> Grade {
    let by_question: HashMap<_, _> = answers.iter().map(|answer| (answer.question_id, answer)).collect();
    let mark = |question: &Question| {
        let share = by_question.get(&question.id).map_or(0.0, |answer| share(&question.kind, answer));
        Mark { question_id: question.id, earned: question.points * share, points: question.points }
    };
    let marks: Vec<_> = questions.iter().map(mark).collect();
    let score: f64 = marks.iter().map(|mark| mark.earned).sum();
    let max_score: f64 = marks.iter().map(|mark| mark.points).sum();
    // Whoever is shown "50 %" has 50 %: the pass mark is held against what is shown.
    let percent = if max_score > 0.0 { round(100.0 * score / max_score) } else { 0.0 };
    Grade { score: round(score), max_score: round(max_score), percent, passed: percent >= f64::from(pass_mark), marks }
}

/// To two decimals: thirds that add up make a whole again.
fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// Which part of the points an answer earns, 0 to 1.
fn share(key: &QuestionKind, answer: &Answer) -> f64 {
    let whole = |is_right: bool| if is_right { 1.0 } else { 0.0 };
    match (key, &answer.choice_ids, &answer.value) {
        (QuestionKind::MultipleChoice { choices, partial_credit: true }, Some(chosen), None) => part(choices, chosen),
        (QuestionKind::SingleChoice { choices } | QuestionKind::MultipleChoice { choices, .. }, Some(chosen), None) => {
            whole(is_exact(choices, chosen))
        }
        (QuestionKind::TrueFalse { correct }, None, Some(AnswerValue::Bool(given))) => whole(given == correct),
        (QuestionKind::Numeric { answer, tolerance }, None, Some(AnswerValue::Number(given))) => {
            // 0.4 is within 0.1 of 0.3, though in binary it is a little further.
            let slack = answer.abs().max(*tolerance) * 1e-12;
            whole((given - answer).abs() <= tolerance + slack)
        }
        (QuestionKind::ShortText { accepted }, None, Some(AnswerValue::Text(given))) => {
            let given = folded(given);
            whole(accepted.iter().any(|text| folded(text) == given))
        }
        _ => 0.0,
    }
}

/// Whether all right choices and no other were chosen.
fn is_exact(choices: &[Choice], chosen: &[String]) -> bool {
    let chosen: HashSet<_> = chosen.iter().map(String::as_str).collect();
    let right: HashSet<_> = choices.iter().filter(|choice| choice.correct).map(|choice| choice.id.as_str()).collect();
    chosen == right
}

/// Right choices less wrong ones, of all right ones; so choosing everything earns no more than guessing.
#[expect(clippy::cast_precision_loss, reason = "a question has at most fifty choices")]
fn part(choices: &[Choice], chosen: &[String]) -> f64 {
    let right: HashSet<_> = choices.iter().filter(|choice| choice.correct).map(|choice| choice.id.as_str()).collect();
    let chosen: HashSet<_> = chosen.iter().map(String::as_str).collect();
    let hits = chosen.intersection(&right).count();
    hits.saturating_sub(chosen.len() - hits) as f64 / right.len().max(1) as f64
}

/// Case and white space do not count.
fn folded(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
