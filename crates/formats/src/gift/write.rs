//! Writes GIFT.

use examhall_core::{Choice, Question, QuestionKind};

use crate::omitted::{Omitted, category, kept, weight};

/// Writes questions as GIFT, under a category that is called like the exam. `omitted` are JSON Pointers to what else the
/// exam has. What the file does not hold is named in comments: `// omitted: /questions/3/points (2.5)`.
pub fn write(title: &str, questions: &[Question], omitted: &[String]) -> String {
    let mut lines = vec!["// From Examhall.".to_owned()];
    lines.extend(omitted.iter().map(|pointer| format!("// omitted: {pointer}")));
    lines.push(format!("$CATEGORY: {}", category(title).replace('\\', "\\\\")));
    for (n, question) in questions.iter().enumerate() {
        let mut lost = Omitted::default();
        let written = written(question, &format!("/questions/{n}"), &mut lost);
        lines.push(String::new());
        lines.extend(lost.lines().map(|line| format!("// {line}")));
        lines.push(written);
    }
    lines.join("\n") + "\n"
}

fn written(question: &Question, at: &str, lost: &mut Omitted) -> String {
    let text = escaped(&kept(&question.text, &format!("{at}/text"), lost));
    if question.points.to_bits() != 1.0_f64.to_bits() {
        lost.add(&format!("{at}/points"), question.points);
    }
    let answers = match &question.kind {
        QuestionKind::SingleChoice { choices } => block(
            each(choices, at, lost).map(|(choice, text)| format!("{}{text}", if choice.correct { '=' } else { '~' })),
        ),
        QuestionKind::MultipleChoice { choices, partial_credit } => {
            if !partial_credit {
                lost.add(&format!("{at}/partialCredit"), "false: Moodle always gives a part of the points");
            }
            let right = choices.iter().filter(|choice| choice.correct).count();
            let weight = weight(right, &format!("{at}/choices"), lost);
            let sign = |choice: &Choice| if choice.correct { "" } else { "-" };
            block(each(choices, at, lost).map(|(choice, text)| format!("~%{}{weight}%{text}", sign(choice))))
        }
        QuestionKind::TrueFalse { correct } => if *correct { "{TRUE}" } else { "{FALSE}" }.to_owned(),
        QuestionKind::Numeric { answer, tolerance } => format!("{{#{answer}:{tolerance}}}"),
        QuestionKind::ShortText { accepted } => texts(accepted, at, lost),
    };
    format!("[plain]{text}{answers}")
}

fn each<'c>(choices: &'c [Choice], at: &str, lost: &mut Omitted) -> impl Iterator<Item = (&'c Choice, String)> {
    let texts: Vec<_> = choices
        .iter()
        .enumerate()
        .map(|(n, choice)| marked(&kept(&choice.text, &format!("{at}/choices/{n}/text"), lost)))
        .collect();
    choices.iter().zip(texts)
}

/// A `->` would make a matching question of texts that begin with `=`; one alone needs none.
fn texts(accepted: &[String], at: &str, lost: &mut Omitted) -> String {
    let is_pair = |text: &String| text.contains("->");
    let alone = accepted.iter().all(is_pair);
    let mut lines = Vec::new();
    for (n, text) in accepted.iter().enumerate() {
        let pointer = format!("{at}/accepted/{n}");
        if is_pair(text) && !(alone && n == 0) {
            lost.add(&pointer, "-> would make it a matching question");
            continue;
        }
        let text = kept(text, &pointer, lost).replace('*', "\\*");
        lines.push(format!("{}{}", if alone { "" } else { "=" }, marked(&text)));
    }
    block(lines.into_iter())
}

fn block(lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<_> = lines.map(|line| format!("\t{line}\n")).collect();
    format!("{{\n{}}}", lines.concat())
}

/// An answer. A bracket or a weight at its beginning would not be read as text.
fn marked(text: &str) -> String {
    let mark = if text.starts_with(['[', '%']) { "[plain]" } else { "" };
    format!("{mark}{}", escaped(text))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\\' | ':' | '#' | '=' | '{' | '}' | '~' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}
