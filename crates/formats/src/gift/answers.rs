//! What stands between the braces of a question.

use examhall_core::QuestionKind;

use super::{
    numbers::range,
    tokens::{Token, line, position, split_at, text, trimmed, with_format},
};
use crate::{
    answer_key::{Weighted, multiple, numeric, short, single},
    note::Notes,
    rich_text::{Format, plain},
};

/// What is between the braces, and where the question begins.
pub(super) struct Answers<'a> {
    pub(super) inner: &'a [Token],
    pub(super) line: usize,
    /// Of the question's text.
    pub(super) format: Format,
}

impl Answers<'_> {
    /// The key, and the lines of its choices or texts.
    pub(super) fn key(&self, notes: &mut Notes) -> Option<(QuestionKind, Vec<usize>)> {
        let inner = self.inner;
        let holds = |c| position(inner, c).is_some();
        if inner.is_empty() {
            self.refuse(notes, "an essay (nothing between its braces) is no kind of question here");
            None
        } else if inner[0].is('#') {
            numeric(self.line, self.numbers(notes), notes).map(|kind| (kind, Vec::new()))
        } else if holds('~') {
            self.choices(notes)
        } else if holds('=') && inner.windows(2).any(|pair| pair[0].is('-') && pair[1].is('>')) {
            self.refuse(notes, "a matching question (->) is no kind of question here");
            None
        } else {
            self.word_or_texts(notes)
        }
    }

    fn refuse(&self, notes: &mut Notes, detail: &str) {
        notes.fault(self.line, "/type", detail);
    }

    /// `TRUE` or `FALSE`, or texts to be typed.
    fn word_or_texts(&self, notes: &mut Notes) -> Option<(QuestionKind, Vec<usize>)> {
        let (answer, feedback) = split_at(self.inner, '#');
        let correct = match text(trimmed(answer)).as_str() {
            "T" | "TRUE" => true,
            "F" | "FALSE" => false,
            word if ["t", "true", "f", "false"].contains(&word.to_ascii_lowercase().as_str()) => {
                let detail = "must be TRUE or FALSE in capitals; a text to be typed begins with =";
                notes.fault(self.line, "/correct", detail);
                return None;
            }
            _ => return Some(self.texts(notes)),
        };
        self.lose_feedback(feedback, "", notes);
        Some((QuestionKind::TrueFalse { correct }, Vec::new()))
    }

    fn choices(&self, notes: &mut Notes) -> Option<(QuestionKind, Vec<usize>)> {
        let (before, marked) = marked(self.inner, &['=', '~']);
        if !trimmed(before).is_empty() {
            notes.fault(line(before, self.line), "/choices", "must each begin with = or ~");
            return None;
        }
        let is_single = marked.iter().any(|(mark, _)| mark.is('='));
        let (mut answers, mut lines) = (Vec::new(), Vec::new());
        for (n, (mark, tokens)) in marked.into_iter().enumerate() {
            let (field, line) = (format!("/choices/{n}"), line(tokens, mark.line));
            let (weight, rest) = weight(tokens);
            if mark.is('=') && weight.is_some() {
                notes.fault(line, &field, "a weight stands after ~, and a choice with = has all points");
            }
            let (answer, feedback) = split_at(rest, '#');
            self.lose_feedback(feedback, &field, notes);
            let (format, text) = with_format(answer, self.format);
            let answer = plain(&text, format, line, &format!("{field}/text"), notes);
            let weight = if mark.is('=') { 100.0 } else { weight.unwrap_or(0.0) };
            answers.push(Weighted { line, answer, weight });
            lines.push(line);
        }
        Some((if is_single { single(answers, notes) } else { multiple(answers, notes) }, lines))
    }

    fn texts(&self, notes: &mut Notes) -> (QuestionKind, Vec<usize>) {
        let mut answers = Vec::new();
        for (line, tokens) in self.alternatives(self.inner) {
            let (weight, rest) = weight(tokens);
            let (answer, feedback) = split_at(rest, '#');
            self.lose_feedback(feedback, &format!("/accepted/{}", answers.len()), notes);
            let (_, answer) = with_format(answer, self.format);
            answers.push(Weighted { line, answer, weight: weight.unwrap_or(100.0) });
        }
        short(answers, notes)
    }

    fn numbers(&self, notes: &mut Notes) -> Vec<Weighted<Option<(f64, f64)>>> {
        let (numbers, wrong) = split_at(&self.inner[1..], '~');
        self.lose_feedback(wrong.map(|wrong| split_at(wrong, '#').1.unwrap_or(wrong)), "", notes);
        let mut answers = Vec::new();
        for (line, tokens) in self.alternatives(numbers) {
            let (weight, rest) = weight(tokens);
            let (answer, feedback) = split_at(rest, '#');
            self.lose_feedback(feedback, "/answer", notes);
            let (_, answer) = with_format(answer, self.format);
            answers.push(Weighted { line, answer: range(&answer), weight: weight.unwrap_or(100.0) });
        }
        answers
    }

    /// Answers that begin with `=`, which the first may leave out, each with its line.
    fn alternatives<'t>(&self, tokens: &'t [Token]) -> Vec<(usize, &'t [Token])> {
        let (first, rest) = marked(tokens, &['=']);
        let first = Some(first).filter(|first| !trimmed(first).is_empty());
        let first = first.into_iter().map(|tokens| (line(tokens, self.line), tokens));
        first.chain(rest.into_iter().map(|(mark, tokens)| (line(tokens, mark.line), tokens))).collect()
    }

    fn lose_feedback(&self, feedback: Option<&[Token]>, field: &str, notes: &mut Notes) {
        let feedback = feedback.map(trimmed).unwrap_or_default();
        if feedback.iter().any(|token| !token.is('#')) {
            notes.loss(line(feedback, self.line), field, "feedback is not kept");
        }
    }
}

/// What stands before the first mark, and what after each.
fn marked<'t>(tokens: &'t [Token], marks: &[char]) -> (&'t [Token], Vec<(Token, &'t [Token])>) {
    let is_mark = |token: &Token| marks.iter().any(|mark| token.is(*mark));
    let at: Vec<_> = (0..tokens.len()).filter(|at| is_mark(&tokens[*at])).collect();
    let first = at.first().copied().unwrap_or(tokens.len());
    let ends = at.iter().skip(1).copied().chain([tokens.len()]);
    let parts = at.iter().zip(ends).map(|(from, to)| (tokens[*from], &tokens[from + 1..to])).collect();
    (&tokens[..first], parts)
}

/// A weight at the beginning, `%33.33333%` or `%-50%`, and what follows it.
fn weight(tokens: &[Token]) -> (Option<f64>, &[Token]) {
    const LONGEST: usize = 20;
    let tokens = trimmed(tokens);
    let end = tokens.iter().take(LONGEST).skip(1).position(|token| token.c == '%').map(|at| at + 1);
    let (Some('%'), Some(end)) = (tokens.first().map(|token| token.c), end) else { return (None, tokens) };
    let written = text(&tokens[1..end]);
    let digits = written.strip_prefix('-').unwrap_or(&written);
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match written.parse().ok().filter(|_| is_number) {
        Some(weight) => (Some(weight), &tokens[end + 1..]),
        None => (None, tokens),
    }
}
