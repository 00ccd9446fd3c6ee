//! Writes Moodle XML.

use examhall_core::{Choice, Question, QuestionKind};

use crate::omitted::{Omitted, category, kept, weight};

/// Longest name of a question, in characters.
const LONGEST_NAME: usize = 80;

/// Writes questions as Moodle XML, under a category that is called like the exam. `omitted` are JSON Pointers to what else
/// the exam has. What the file does not hold is named in comments: `<!-- omitted: /questions/3/partialCredit (...) -->`.
pub fn write(title: &str, questions: &[Question], omitted: &[String]) -> String {
    let mut lines = vec!["<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_owned(), "<quiz>".to_owned()];
    lines.push(comment("From Examhall."));
    lines.extend(omitted.iter().map(|pointer| comment(&format!("omitted: {pointer}"))));
    let path = text(&without_strangers(&category(title)));
    lines.push(format!("<question type=\"category\"><category>{path}</category></question>"));
    for (n, question) in questions.iter().enumerate() {
        let mut lost = Omitted::default();
        let written = written(question, &format!("/questions/{n}"), &mut lost);
        lines.extend(lost.lines().map(comment));
        lines.extend(written);
    }
    lines.push("</quiz>".to_owned());
    lines.join("\n") + "\n"
}

fn written(question: &Question, at: &str, lost: &mut Omitted) -> Vec<String> {
    let asked = held(&question.text, &format!("{at}/text"), lost);
    let (kind, answers) = match &question.kind {
        QuestionKind::SingleChoice { choices } => {
            let weight = |choice: &Choice| if choice.correct { "100" } else { "0" }.to_owned();
            ("multichoice", each(choices, true, weight, at, lost))
        }
        QuestionKind::MultipleChoice { choices, partial_credit } => {
            if !partial_credit {
                lost.add(&format!("{at}/partialCredit"), "false: Moodle always gives a part of the points");
            }
            let right = choices.iter().filter(|choice| choice.correct).count();
            let part = weight(right, &format!("{at}/choices"), lost);
            let weight = |choice: &Choice| if choice.correct { part.clone() } else { format!("-{part}") };
            ("multichoice", each(choices, false, weight, at, lost))
        }
        QuestionKind::TrueFalse { correct } => {
            let of = |is_right: bool, word: &str| answer(if is_right { "100" } else { "0" }, word, "");
            ("truefalse", vec![of(*correct, "true"), of(!correct, "false")])
        }
        QuestionKind::Numeric { answer: number, tolerance } => {
            let tolerance = format!("<tolerance>{tolerance}</tolerance>");
            ("numerical", vec![answer("100", &number.to_string(), &tolerance)])
        }
        QuestionKind::ShortText { accepted } => ("shortanswer", texts(accepted, at, lost)),
    };
    let mut lines = vec![
        format!("<question type=\"{kind}\">"),
        format!("  <name>{}</name>", text(&name(&asked))),
        format!("  <questiontext format=\"plain_text\">{}</questiontext>", text(&asked)),
        format!("  <defaultgrade>{}</defaultgrade>", question.points),
    ];
    lines.extend(answers.into_iter().map(|line| format!("  {line}")));
    lines.push("</question>".to_owned());
    lines
}

fn each(
    choices: &[Choice],
    is_single: bool,
    weight: impl Fn(&Choice) -> String,
    at: &str,
    lost: &mut Omitted,
) -> Vec<String> {
    let mut lines = vec![
        format!("<single>{is_single}</single>"),
        "<shuffleanswers>false</shuffleanswers>".to_owned(),
        "<answernumbering>abc</answernumbering>".to_owned(),
    ];
    for (n, choice) in choices.iter().enumerate() {
        let text = held(&choice.text, &format!("{at}/choices/{n}/text"), lost);
        lines.push(answer(&weight(choice), &text, ""));
    }
    lines
}

fn texts(accepted: &[String], at: &str, lost: &mut Omitted) -> Vec<String> {
    let mut lines = vec!["<usecase>0</usecase>".to_owned()];
    for (n, text) in accepted.iter().enumerate() {
        let text = held(text, &format!("{at}/accepted/{n}"), lost).replace('*', "\\*");
        lines.push(answer("100", &text, ""));
    }
    lines
}

fn answer(weight: &str, content: &str, extra: &str) -> String {
    format!("<answer fraction=\"{weight}\" format=\"plain_text\">{}{extra}</answer>", text(content))
}

/// The beginning of a text: Moodle asks for a name.
fn name(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_NAME).collect()
}

/// Moodle's reader loses white space that stands between two entities: what would need one is CDATA.
fn text(content: &str) -> String {
    if content.contains(['&', '<', '>']) {
        format!("<text><![CDATA[{}]]></text>", content.replace("]]>", "]]]]><![CDATA[>"))
    } else {
        format!("<text>{content}</text>")
    }
}

fn comment(content: &str) -> String {
    format!("<!-- {} -->", content.replace("--", "- -"))
}

/// The text as XML holds it.
fn held(text: &str, pointer: &str, lost: &mut Omitted) -> String {
    let text = kept(text, pointer, lost);
    if text.contains(is_stranger) {
        lost.add(pointer, "a character that XML cannot hold is written as U+FFFD");
    }
    without_strangers(&text)
}

fn without_strangers(text: &str) -> String {
    text.replace(is_stranger, "\u{fffd}")
}

/// Whether XML 1.0 has no place for a character.
fn is_stranger(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}
