//! What a written file cannot hold.

use std::fmt::Display;

/// What is omitted of an exam, as lines for comments: a JSON Pointer each, and why.
#[derive(Default)]
pub(crate) struct Omitted(Vec<String>);

impl Omitted {
    pub(crate) fn add(&mut self, pointer: &str, why: impl Display) {
        self.0.push(format!("omitted: {pointer} ({why})"));
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// What is white space to Moodle's `trim`.
pub(crate) const BLANKS: [char; 6] = [' ', '\t', '\n', '\r', '\0', '\u{b}'];

/// The text as formats keep it: each line break is one character, and both ends are bare.
pub(crate) fn kept(text: &str, pointer: &str, omitted: &mut Omitted) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let bare = text.trim_matches(BLANKS);
    if bare != text {
        omitted.add(pointer, "white space at its ends");
    }
    bare.to_owned()
}

/// The weights in percent that Moodle takes, apart from 0 and 100.
const WEIGHTS: [usize; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20];

/// What each of `right` choices is worth, in percent, as Moodle writes it.
pub(crate) fn weight(right: usize, pointer: &str, omitted: &mut Omitted) -> String {
    if !WEIGHTS.contains(&right) {
        omitted.add(pointer, format_args!("Moodle has no weight of one in {right} and takes the nearest"));
    }
    let weight = format!("{:.5}", share(right));
    weight.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What each of `right` choices is worth, in percent.
#[expect(clippy::cast_precision_loss, reason = "a question has few choices")]
pub(crate) fn share(right: usize) -> f64 {
    100.0 / right.max(1) as f64
}

/// The path of a category that is called like the exam: a slash in its name is written twice, and not after another one.
pub(crate) fn category(title: &str) -> String {
    let gap = if title.starts_with('/') { " " } else { "" };
    format!("$course$/top/{gap}{}", title.replace('/', "//"))
}
