//! Questions of every kind, and what a file keeps of them.

use examhall_core::{Choice, Question, QuestionId, QuestionKind};
use examhall_formats::Found;
use proptest::{collection::vec, prelude::*};
use uuid::Uuid;

pub(crate) fn question(text: &str, kind: QuestionKind) -> Question {
    Question { id: QuestionId(Uuid::nil()), text: text.to_owned(), points: 1.0, kind }
}

/// Choices `a`, `b`, ...: a text that begins with `+` is right.
pub(crate) fn choices(texts: &[&str]) -> Vec<Choice> {
    let id = |n: usize| char::from(b'a' + u8::try_from(n).expect("few")).to_string();
    let choice = |(n, text): (usize, &&str)| Choice {
        id: id(n),
        text: text.trim_start_matches('+').to_owned(),
        correct: text.starts_with('+'),
    };
    texts.iter().enumerate().map(choice).collect()
}

pub(crate) fn single(text: &str, texts: &[&str]) -> Question {
    question(text, QuestionKind::SingleChoice { choices: choices(texts) })
}

pub(crate) fn multiple(text: &str, texts: &[&str]) -> Question {
    question(text, QuestionKind::MultipleChoice { choices: choices(texts), partial_credit: true })
}

pub(crate) fn true_false(text: &str, correct: bool) -> Question {
    question(text, QuestionKind::TrueFalse { correct })
}

pub(crate) fn numeric(text: &str, answer: f64, tolerance: f64) -> Question {
    question(text, QuestionKind::Numeric { answer, tolerance })
}

pub(crate) fn short(text: &str, accepted: &[&str]) -> Question {
    question(text, QuestionKind::ShortText { accepted: accepted.iter().map(ToString::to_string).collect() })
}

/// Ids that are all the same, so that questions can be compared.
pub(crate) fn nil() -> QuestionId {
    QuestionId(Uuid::nil())
}

/// Line, pointer, and whether the questions can be asked without it.
pub(crate) fn noted(found: &Found) -> Vec<(usize, &str, bool)> {
    found.notes.iter().map(|note| (note.line, note.pointer.as_str(), note.is_loss)).collect()
}

/// Texts with all that means something to one of the formats.
fn text() -> impl Strategy<Value = String> {
    let nasty = "[a-cT0-9~=#{}:\\\\%\\[\\]*<>&;$/\"'!?_.,+\\- \n\té€𝄞-]{1,12}";
    let pieces = prop_oneof![
        4 => nasty.boxed(),
        1 => prop_oneof![
            Just("->"), Just("::"), Just("####"), Just("//"), Just("[html]"), Just("%50%"), Just("]]>"), Just("--"),
            Just("<b>"), Just("&amp;"), Just("\r\n"), Just("\\n"), Just("$CATEGORY: x"), Just("\n\n"), Just("TRUE"),
            Just("\\*"), Just("<!--"), Just("{TRUE}"), Just("\u{b}"), Just("\u{feff}"),
        ].prop_map(str::to_owned).boxed(),
        1 => any::<String>().boxed(),
    ];
    vec(pieces, 1..4).prop_map(|pieces| pieces.concat().replace('\0', ""))
}

fn some_choices() -> impl Strategy<Value = Vec<Choice>> {
    vec((text(), any::<bool>()), 2..12).prop_map(|all| {
        let id = |n: usize| char::from(b'a' + u8::try_from(n).expect("few")).to_string();
        all.into_iter().enumerate().map(|(n, (text, correct))| Choice { id: id(n), text, correct }).collect()
    })
}

fn kind() -> impl Strategy<Value = QuestionKind> {
    let one_right = |(mut choices, right): (Vec<Choice>, prop::sample::Index)| {
        let right = right.index(choices.len());
        choices.iter_mut().enumerate().for_each(|(n, choice)| choice.correct = n == right);
        QuestionKind::SingleChoice { choices }
    };
    prop_oneof![
        (some_choices(), any::<prop::sample::Index>()).prop_map(one_right),
        (some_choices(), any::<bool>())
            .prop_map(|(choices, partial_credit)| QuestionKind::MultipleChoice { choices, partial_credit }),
        any::<bool>().prop_map(|correct| QuestionKind::TrueFalse { correct }),
        (-9e15..9e15, 0.0..9e15).prop_map(|(answer, tolerance)| QuestionKind::Numeric { answer, tolerance }),
        (-10.0..10.0, 0.0..1.0).prop_map(|(answer, tolerance)| QuestionKind::Numeric { answer, tolerance }),
        vec(text(), 1..5).prop_map(|accepted| QuestionKind::ShortText { accepted }),
    ]
}

/// Questions that can be asked.
pub(crate) fn questions() -> impl Strategy<Value = Vec<Question>> {
    let one = (text(), 0.0..1000.0, kind())
        .prop_map(|(text, points, kind)| Question { id: nil(), text, points, kind })
        .prop_filter("can be asked", |question| question.faults().is_empty() && kept(question).faults().is_empty());
    vec(one, 1..6)
}

/// A text as a file keeps it.
fn bare(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.trim_matches([' ', '\t', '\n', '\r', '\0', '\u{b}']).to_owned()
}

fn bare_all(choices: &mut [Choice]) {
    for choice in choices {
        choice.text = bare(&choice.text);
    }
}

/// A question as a file keeps it.
pub(crate) fn kept(question: &Question) -> Question {
    let mut question = question.clone();
    question.text = bare(&question.text);
    match &mut question.kind {
        QuestionKind::SingleChoice { choices } => bare_all(choices),
        QuestionKind::MultipleChoice { choices, partial_credit } => {
            bare_all(choices);
            *partial_credit = true;
        }
        QuestionKind::ShortText { accepted } => *accepted = accepted.iter().map(|one| bare(one)).collect(),
        QuestionKind::TrueFalse { .. } | QuestionKind::Numeric { .. } => {}
    }
    question
}
