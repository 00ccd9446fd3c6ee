//! Validation of questions.

use std::collections::HashSet;

use super::folding::folded;
use crate::{Choice, Question, QuestionKind};

/// Something in a question that cannot stay as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: a JSON Pointer (RFC 6901) into the question.
    pub pointer: String,
    /// What is wrong, as the end of a sentence that begins with the field's name.
    pub detail: &'static str,
}

/// Most questions that an exam may have.
pub const MAX_QUESTIONS: usize = 1000;
/// Beyond it neighbouring whole numbers cannot be distinguished.
const MAX_NUMBER: f64 = 9e15;

impl Question {
    /// Longest text of a question, in characters.
    pub const MAX_TEXT: usize = 10_000;
    /// Longest text that may be accepted as a short answer, in characters.
    pub const MAX_ACCEPTED: usize = 200;
    /// Most choices, and most accepted texts.
    pub const MAX_CHOICES: usize = 50;
    /// Most that one question may be worth.
    pub const MAX_POINTS: f64 = 1000.0;

    /// Everything that is wrong with it; nothing where it can be asked.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        faults.text("/text", &self.text, Self::MAX_TEXT);
        faults.check((0.0..=Self::MAX_POINTS).contains(&self.points), "/points", "must be from 0 to 1000");
        match &self.kind {
            QuestionKind::SingleChoice { choices } => {
                faults.choices(choices);
                let right = choices.iter().filter(|choice| choice.correct).count();
                faults.check(right == 1, "/choices", "must have exactly one that is correct");
            }
            QuestionKind::MultipleChoice { choices, .. } => {
                faults.choices(choices);
                faults.check(choices.iter().any(|choice| choice.correct), "/choices", "must have one that is correct");
            }
            QuestionKind::TrueFalse { .. } => {}
            QuestionKind::Numeric { answer, tolerance } => {
                faults.check(answer.abs() <= MAX_NUMBER, "/answer", "must be a number between -9e15 and 9e15");
                faults.check((0.0..=MAX_NUMBER).contains(tolerance), "/tolerance", "must be from 0 to 9e15");
            }
            QuestionKind::ShortText { accepted } => {
                faults.check((1..=Self::MAX_CHOICES).contains(&accepted.len()), "/accepted", "must have 1 to 50 texts");
                for (n, text) in accepted.iter().enumerate() {
                    let pointer = format!("/accepted/{n}");
                    faults.text(&pointer, text, Self::MAX_ACCEPTED);
                    let is_shown = text.trim().is_empty() || !folded(text).is_empty();
                    faults.check(is_shown, &pointer, "must hold a visible character");
                }
            }
        }
        faults.0
    }
}

impl Choice {
    /// Longest id, in characters.
    pub const MAX_ID: usize = 64;
    /// Longest text, in characters.
    pub const MAX_TEXT: usize = 2_000;
    /// What ids are made of, as a regular expression.
    pub const ID_PATTERN: &str = "^[A-Za-z0-9_-]+$";
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn check(&mut self, is_good: bool, pointer: &str, detail: &'static str) {
        if !is_good {
            self.0.push(Fault { pointer: pointer.to_owned(), detail });
        }
    }

    fn text(&mut self, pointer: &str, text: &str, max: usize) {
        self.check(!text.trim().is_empty(), pointer, "must not be empty");
        self.check(text.chars().count() <= max, pointer, "is too long");
        self.check(!text.contains('\0'), pointer, "must not hold the character NUL");
    }

    fn choices(&mut self, choices: &[Choice]) {
        self.check((2..=Question::MAX_CHOICES).contains(&choices.len()), "/choices", "must have 2 to 50 entries");
        let mut seen = HashSet::new();
        for (n, choice) in choices.iter().enumerate() {
            let pointer = format!("/choices/{n}/id");
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            let is_good = (1..=Choice::MAX_ID).contains(&choice.id.len()) && choice.id.chars().all(is_name);
            self.check(is_good, &pointer, "must be 1 to 64 letters, digits, - or _");
            self.check(seen.insert(choice.id.as_str()), &pointer, "must not be the id of another choice");
            self.text(&format!("/choices/{n}/text"), &choice.text, Choice::MAX_TEXT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QuestionId;

    fn choice(id: &str, correct: bool) -> Choice {
        Choice { id: id.into(), text: "four".into(), correct }
    }

    fn check(kind: QuestionKind, pointers: &[&str]) {
        let question = Question { id: QuestionId(uuid::Uuid::nil()), text: "2 + 2?".into(), points: 1.0, kind };
        let faults = question.faults();
        let found: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(found, pointers, "{question:?}");
    }

    #[test]
    fn a_question_of_each_kind_can_be_asked() {
        check(QuestionKind::SingleChoice { choices: vec![choice("a", true), choice("b", false)] }, &[]);
        let choices = vec![choice("a", true), choice("b", true)];
        check(QuestionKind::MultipleChoice { choices, partial_credit: true }, &[]);
        check(QuestionKind::TrueFalse { correct: false }, &[]);
        check(QuestionKind::Numeric { answer: -4.25, tolerance: 0.0 }, &[]);
        check(QuestionKind::ShortText { accepted: vec!["four".into()] }, &[]);
    }

    #[test]
    fn a_single_choice_has_one_key_and_distinct_choices() {
        check(QuestionKind::SingleChoice { choices: vec![choice("a", true), choice("b", true)] }, &["/choices"]);
        check(QuestionKind::SingleChoice { choices: vec![choice("a", false), choice("b", false)] }, &["/choices"]);
        check(QuestionKind::SingleChoice { choices: vec![choice("a", true)] }, &["/choices"]);
        check(QuestionKind::SingleChoice { choices: vec![choice("a", true), choice("a", false)] }, &["/choices/1/id"]);
        check(
            QuestionKind::SingleChoice { choices: vec![choice("a b", true), choice("", false)] },
            &["/choices/0/id", "/choices/1/id"],
        );
    }

    #[test]
    fn a_question_without_an_answer_is_rejected() {
        let choices = vec![choice("a", false), choice("b", false)];
        check(QuestionKind::MultipleChoice { choices, partial_credit: false }, &["/choices"]);
        check(QuestionKind::ShortText { accepted: vec![] }, &["/accepted"]);
        check(QuestionKind::ShortText { accepted: vec!["four".into(), " ".into()] }, &["/accepted/1"]);
        check(QuestionKind::Numeric { answer: f64::NAN, tolerance: -1.0 }, &["/answer", "/tolerance"]);
    }

    #[test]
    fn all_faults_are_named_at_once() {
        let question = Question {
            id: QuestionId(uuid::Uuid::nil()),
            text: " ".into(),
            points: 1000.5,
            kind: QuestionKind::ShortText { accepted: vec!["x".repeat(201)] },
        };
        let faults = question.faults();
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/text", "/points", "/accepted/0"]);
    }
}
