//! Answers with weights, as Moodle has them, as keys of our questions.

use examhall_core::{Choice, QuestionKind};

use crate::{
    note::{Notes, quoted},
    omitted::share,
};

/// An answer of a file.
pub(crate) struct Weighted<T> {
    pub(crate) line: usize,
    pub(crate) answer: T,
    /// What it earns, in percent of the points.
    pub(crate) weight: f64,
}

/// Moodle rounds weights to five decimals, people to two.
const SAME: f64 = 0.01;

impl<T> Weighted<T> {
    fn is_worth(&self, weight: f64) -> bool {
        (self.weight - weight).abs() < SAME
    }

    /// Whether it is right where an answer is right or wrong; notes a weight between.
    fn is_right(&self, field: &str, notes: &mut Notes) -> bool {
        let is_right = self.is_worth(100.0);
        if !is_right && !self.is_worth(0.0) {
            notes.loss(self.line, field, format!("a weight of {} % is not kept: it counts as wrong", self.weight));
        }
        is_right
    }
}

/// One of several choices.
pub(crate) fn single(answers: Vec<Weighted<String>>, notes: &mut Notes) -> QuestionKind {
    let right: Vec<bool> =
        answers.iter().enumerate().map(|(n, one)| one.is_right(&format!("/choices/{n}"), notes)).collect();
    QuestionKind::SingleChoice { choices: choices(answers, &right) }
}

/// Any of several choices. Moodle always gives a part of the points; a weight above 0 is right.
pub(crate) fn multiple(answers: Vec<Weighted<String>>, notes: &mut Notes) -> QuestionKind {
    let right: Vec<bool> = answers.iter().map(|one| one.weight > 0.0).collect();
    let each = share(right.iter().filter(|is_right| **is_right).count());
    for (n, one) in answers.iter().enumerate() {
        let expected = if right[n] { each } else { -each };
        if !one.is_worth(expected) {
            let detail = format!("a weight of {} % is not kept: it is {expected:.5} % here", one.weight);
            notes.loss(one.line, &format!("/choices/{n}"), detail);
        }
    }
    QuestionKind::MultipleChoice { choices: choices(answers, &right), partial_credit: true }
}

/// A word or two; returns the lines of those that are right, too.
pub(crate) fn short(answers: Vec<Weighted<String>>, notes: &mut Notes) -> (QuestionKind, Vec<usize>) {
    let (mut accepted, mut lines) = (Vec::new(), Vec::new());
    for (n, one) in answers.into_iter().enumerate() {
        let field = format!("/accepted/{n}");
        if one.is_right(&field, notes) {
            accepted.push(without_wildcards(&one, &field, notes));
            lines.push(one.line);
        }
    }
    (QuestionKind::ShortText { accepted }, lines)
}

/// A number, or a range as its middle and half its width.
pub(crate) fn numeric(
    line: usize,
    answers: Vec<Weighted<Option<(f64, f64)>>>,
    notes: &mut Notes,
) -> Option<QuestionKind> {
    let all: Vec<_> = answers.into_iter().filter(|one| one.is_right("/answer", notes)).collect();
    if let Some(second) = all.get(1) {
        notes.fault(second.line, "/answer", "has two right numbers: give one, or one range");
        return None;
    }
    let Some(one) = all.into_iter().next() else {
        notes.fault(line, "/answer", "has no right number");
        return None;
    };
    let Some((answer, tolerance)) = one.answer else {
        notes.fault(one.line, "/answer", "must be a number, number:tolerance or least..greatest");
        return None;
    };
    Some(QuestionKind::Numeric { answer, tolerance })
}

/// A number as programs write it.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|number: &f64| is_plain && number.is_finite())
}

/// Choices without ids of their own: `a` to `z`, then `a1` to `z1`, and so on.
fn choices(answers: Vec<Weighted<String>>, right: &[bool]) -> Vec<Choice> {
    let id = |n: usize| {
        let letter = ('a'..='z').nth(n % 26).unwrap_or('a');
        if n < 26 { letter.to_string() } else { format!("{letter}{}", n / 26) }
    };
    let to_choice = |(n, one): (usize, Weighted<String>)| Choice { id: id(n), text: one.answer, correct: right[n] };
    answers.into_iter().enumerate().map(to_choice).collect()
}

/// `\*` is a star to Moodle, and a star alone any text.
fn without_wildcards(one: &Weighted<String>, field: &str, notes: &mut Notes) -> String {
    let text = &one.answer;
    let is_bare = |(at, _): (usize, &str)| !text[..at].ends_with('\\');
    if text.match_indices('*').any(is_bare) {
        let detail = format!("{} has a star for any text, which no accepted text can have; write \\\\*", quoted(text));
        notes.fault(one.line, field, detail);
    }
    text.replace("\\*", "*")
}
