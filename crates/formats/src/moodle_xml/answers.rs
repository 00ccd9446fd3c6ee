//! The answers of a question, by its type.

use examhall_core::QuestionKind;

use super::tree::Node;
use crate::{
    answer_key::{Weighted, multiple, number, numeric, short, single},
    note::Notes,
    rich_text::{Format, plain},
};

/// A text with its format: its characters as they are.
pub(super) fn formatted<'a>(node: &'a Node, otherwise: Format, field: &str, notes: &mut Notes) -> (Format, &'a str) {
    for file in node.children.iter().filter(|child| child.name == "file") {
        let name = file.attribute("name").unwrap_or_default();
        notes.fault(file.line, field, format!("holds a file ({name}), which no text can show"));
    }
    let Some(text) = node.child("text") else { return (otherwise, "") };
    if let Some(tag) = text.children.first() {
        notes.fault(tag.line, field, format!("<{}> stands in a text: write &lt; or <![CDATA[", tag.name));
    }
    let format = match node.attribute("format") {
        None => otherwise,
        Some("html") => Format::Html,
        Some("moodle_auto_format") => Format::Moodle,
        Some("plain_text") => Format::Plain,
        Some("markdown") => Format::Markdown,
        Some(other) => {
            notes.fault(node.line, field, format!("has the format {other}, which is not known"));
            otherwise
        }
    };
    (format, text.text())
}

/// A question and the format of its text.
pub(super) struct Answers<'a> {
    pub(super) question: &'a Node,
    pub(super) format: Format,
}

impl Answers<'_> {
    /// The key, and the lines of its choices or texts.
    pub(super) fn key(&self, kind: &str, notes: &mut Notes) -> Option<(QuestionKind, Vec<usize>)> {
        match kind {
            "multichoice" => Some(self.choices(notes)),
            "truefalse" => Some((self.true_false(notes)?, Vec::new())),
            "shortanswer" => Some(self.texts(notes)),
            "numerical" => Some((self.number(notes)?, Vec::new())),
            other => {
                let detail = format!("a question of the type {other} is no kind of question here");
                notes.fault(self.question.line, "/type", detail);
                None
            }
        }
    }

    /// Its answers, with weight; notes what else they hold.
    fn each<'n>(&'n self, extra: &str, notes: &mut Notes) -> Vec<(&'n Node, f64)> {
        let answers: Vec<_> = self.question.children.iter().filter(|child| child.name == "answer").collect();
        let mut weighted = Vec::new();
        for answer in answers {
            let written = answer.attribute("fraction").unwrap_or("0");
            let weight = number(written).unwrap_or_else(|| {
                notes.fault(answer.line, "", "the fraction of an answer must be a number");
                0.0
            });
            for child in &answer.children {
                if !["text", "file", extra].contains(&child.name.as_str()) && child.says_something() {
                    notes.loss(child.line, "", format!("{} of an answer is not kept", child.name));
                }
            }
            weighted.push((answer, weight));
        }
        weighted
    }

    fn choices(&self, notes: &mut Notes) -> (QuestionKind, Vec<usize>) {
        let mut answers = Vec::new();
        for (n, (node, weight)) in self.each("", notes).into_iter().enumerate() {
            let field = format!("/choices/{n}/text");
            let (format, text) = formatted(node, self.format, &field, notes);
            answers.push(Weighted { line: node.line, answer: plain(text, format, node.line, &field, notes), weight });
        }
        let lines = answers.iter().map(|answer| answer.line).collect();
        let is_single =
            !self.question.child("single").is_some_and(|single| ["false", "0", ""].contains(&single.text()));
        (if is_single { single(answers, notes) } else { multiple(answers, notes) }, lines)
    }

    fn true_false(&self, notes: &mut Notes) -> Option<QuestionKind> {
        let mut correct = None;
        for (node, weight) in self.each("", notes) {
            let is_right = (weight - 100.0).abs() < 0.01;
            match node.text_of("text") {
                "true" => correct = Some(is_right),
                "false" => correct = Some(!is_right),
                _ => {
                    notes.fault(node.line, "/correct", "the answers must be true and false");
                    return None;
                }
            }
        }
        if correct.is_none() {
            notes.fault(self.question.line, "/correct", "the answers must be true and false");
        }
        correct.map(|correct| QuestionKind::TrueFalse { correct })
    }

    fn texts(&self, notes: &mut Notes) -> (QuestionKind, Vec<usize>) {
        if self.question.text_of("usecase") == "1" {
            notes.loss(self.question.line, "/accepted", "capitals are never told from small letters");
        }
        let mut answers = Vec::new();
        for (n, (node, weight)) in self.each("", notes).into_iter().enumerate() {
            let (_, text) = formatted(node, self.format, &format!("/accepted/{n}"), notes);
            answers.push(Weighted { line: node.line, answer: text.to_owned(), weight });
        }
        short(answers, notes)
    }

    fn number(&self, notes: &mut Notes) -> Option<QuestionKind> {
        let mut answers = Vec::new();
        for (node, weight) in self.each("tolerance", notes) {
            let (_, text) = formatted(node, self.format, "/answer", notes);
            let tolerance = match node.text_of("tolerance") {
                "" => Some(0.0),
                written => number(written),
            };
            answers.push(Weighted { line: node.line, answer: number(text).zip(tolerance), weight });
        }
        numeric(self.question.line, answers, notes)
    }
}
