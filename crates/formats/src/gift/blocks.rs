//! A file as blocks of lines: a question each.

use crate::omitted::BLANKS;

/// Lines between blank ones, each with its number, without comments.
pub(super) struct Block<'a> {
    pub(super) category: Option<(usize, &'a str)>,
    pub(super) lines: Vec<(usize, &'a str)>,
}

const CATEGORY: &str = "$CATEGORY:";

/// The blocks of a file that hold something.
pub(super) fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = lines(text).peekable();
    std::iter::from_fn(move || {
        loop {
            lines.peek()?;
            let block: Vec<_> = lines.by_ref().take_while(|(_, line)| !line.is_empty()).collect();
            let block = without_comments(block);
            if block.category.is_some() || !block.lines.is_empty() {
                return Some(block);
            }
        }
    })
}

/// Lines of any system, with their numbers, trimmed.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = Some(text);
    let ends = std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else { return rest.take() };
        let after = if text[end..].starts_with("\r\n") { end + 2 } else { end + 1 };
        rest = Some(&text[after..]);
        Some(&text[..end])
    });
    ends.enumerate().map(|(n, line)| (n + 1, line.trim_matches(BLANKS)))
}

/// Moodle takes a block that begins with a category for nothing else; here the question in it is read.
fn without_comments(lines: Vec<(usize, &str)>) -> Block<'_> {
    let mut lines: Vec<_> = lines.into_iter().filter(|(_, line)| !line.starts_with("//")).collect();
    let category = lines.first().and_then(|(n, line)| Some((*n, line.strip_prefix(CATEGORY)?)));
    if category.is_some() {
        lines.remove(0);
    }
    Block { category, lines }
}
