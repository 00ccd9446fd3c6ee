//! Texts with the format that a file says they have.

use crate::{
    html::{self, Kind},
    note::Notes,
    omitted::BLANKS,
};

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Moodle's own: plain, with line breaks, and HTML in it.
    Moodle,
    Html,
    Plain,
    Markdown,
}

/// The text that a question can hold; notes what it cannot.
pub(crate) fn plain(text: &str, format: Format, line: usize, field: &str, notes: &mut Notes) -> String {
    let stripped = match format {
        Format::Plain => return text.trim_matches(BLANKS).to_owned(),
        Format::Markdown => {
            notes.loss(line, field, "Markdown is shown as it is written");
            return text.trim_matches(BLANKS).to_owned();
        }
        Format::Moodle => html::strip(text, Kind::WithLineBreaks),
        Format::Html => html::strip(text, Kind::Whole),
    };
    if !stripped.refused.is_empty() {
        notes.fault(line, field, format!("holds what no text can show: {}", stripped.refused.join(", ")));
    }
    if !stripped.lost.is_empty() {
        notes.loss(line, field, format!("the markup is not kept: {}", stripped.lost.join(", ")));
    }
    stripped.text.trim_matches(BLANKS).to_owned()
}
