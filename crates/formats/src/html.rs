//! HTML as text.
//!
//! This reads tags and entities, and knows no page: questions hold fragments that were cleaned by an editor.

use quick_xml::escape::resolve_html5_entity;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HTML: white space is one space.
    Whole,
    /// Text in which line breaks count, and tags that are known.
    WithLineBreaks,
}

/// What is left of it, and what not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stripped {
    pub(crate) text: String,
    /// Tags without which the text can still be read.
    pub(crate) lost: Vec<String>,
    /// Tags that show something else than text.
    pub(crate) refused: Vec<String>,
}

/// Blocks and breaks: a line each.
const LINES: [&str; 3] = ["p", "div", "br"];
/// Tags that do nothing by themselves.
const BARE: [&str; 1] = ["span"];
/// Other blocks: a line each, and something that is lost.
const BLOCKS: [&str; 14] = ["blockquote", "dd", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "ul"];
/// Tags within a line that are lost.
const INLINE: [&str; 22] = [
    "a", "abbr", "b", "big", "cite", "code", "del", "em", "font", "i", "ins", "kbd", "mark", "pre", "q", "s", "small",
    "strong", "sub", "sup", "tt", "u",
];
/// Tags that show something else than text.
const REFUSED: [&str; 20] = [
    "audio", "button", "canvas", "embed", "form", "iframe", "img", "input", "link", "math", "object", "script",
    "select", "source", "style", "svg", "table", "textarea", "track", "video",
];
/// Parts of a table, which is named itself.
const CELLS: [&str; 9] = ["caption", "col", "colgroup", "tbody", "td", "tfoot", "th", "thead", "tr"];

/// Longest name of an entity, in bytes, with `&` and `;`.
const LONGEST_ENTITY: usize = 40;

/// Takes the tags out of a fragment, and entities for what they stand for.
pub(crate) fn strip(source: &str, kind: Kind) -> Stripped {
    let mut reader = Reader { kind, ..Reader::new() };
    let mut rest = source;
    while let Some(at) = rest.find(['<', '&']) {
        reader.text(&rest[..at]);
        rest = &rest[at..];
        let taken = if rest.starts_with('<') { reader.tag(rest) } else { reader.entity(rest) };
        if taken == 0 {
            reader.text(&rest[..1]);
        }
        rest = &rest[taken.max(1)..];
    }
    reader.text(rest);
    reader.stripped
}

struct Reader {
    kind: Kind,
    stripped: Stripped,
    /// Within `pre`, white space counts.
    pre: usize,
    /// That no comment ends any more is found out once.
    has_open_comment: bool,
}

impl Reader {
    fn new() -> Self {
        Self { kind: Kind::Whole, stripped: Stripped::default(), pre: 0, has_open_comment: false }
    }

    fn text(&mut self, text: &str) {
        if self.kind == Kind::WithLineBreaks || self.pre > 0 {
            self.stripped.text.push_str(text);
            return;
        }
        for c in text.chars() {
            if !c.is_ascii_whitespace() {
                self.stripped.text.push(c);
            } else if !self.stripped.text.is_empty() && !self.stripped.text.ends_with([' ', '\n']) {
                self.stripped.text.push(' ');
            }
        }
    }

    /// Reads a tag or comment at the beginning of `rest`; returns its length, 0 if there is none.
    fn tag(&mut self, rest: &str) -> usize {
        if rest.starts_with("<!--") && !self.has_open_comment {
            let end = rest.find("-->");
            self.has_open_comment = end.is_none();
            return end.map_or(0, |end| end + 3);
        }
        let inner = rest[1..].strip_prefix('/').unwrap_or(&rest[1..]);
        let name: String =
            inner.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !is_name || (self.kind == Kind::WithLineBreaks && !is_known(&name)) {
            return 0;
        }
        let Some(end) = end_of_tag(rest) else { return 0 };
        self.take(&name, rest[1..].starts_with('/'), rest[..end].to_ascii_lowercase().contains("style"));
        end
    }

    fn take(&mut self, name: &str, is_end: bool, has_style: bool) {
        if LINES.contains(&name) || BLOCKS.contains(&name) || name == "tr" {
            self.break_line(name == "br");
        }
        if name == "pre" {
            self.pre = if is_end { self.pre.saturating_sub(1) } else { self.pre + 1 };
        }
        if REFUSED.contains(&name) {
            add(&mut self.stripped.refused, format!("<{name}>"));
        } else if LINES.contains(&name) || BARE.contains(&name) {
            if has_style && !is_end {
                add(&mut self.stripped.lost, format!("<{name} style>"));
            }
        } else if !CELLS.contains(&name) {
            add(&mut self.stripped.lost, format!("<{name}>"));
        }
    }

    fn break_line(&mut self, is_always: bool) {
        let text = &mut self.stripped.text;
        let bare = text.trim_end_matches(' ').len();
        text.truncate(bare);
        if is_always || !(text.is_empty() || text.ends_with('\n')) {
            text.push('\n');
        }
    }

    /// Reads an entity at the beginning of `rest`; returns its length, 0 if there is none.
    fn entity(&mut self, rest: &str) -> usize {
        let Some(end) = rest.bytes().take(LONGEST_ENTITY).position(|byte| byte == b';') else { return 0 };
        let name = &rest[1..end];
        let number = name.strip_prefix('#').map(|number| match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        });
        match number {
            Some(number) => match number.ok().and_then(char::from_u32).filter(|c| *c != '\0') {
                Some(c) => self.stripped.text.push(c),
                None => return 0,
            },
            None => match resolve_html5_entity(name) {
                Some(text) => self.stripped.text.push_str(text),
                None => return 0,
            },
        }
        end + 1
    }
}

fn is_known(name: &str) -> bool {
    [&LINES[..], &BARE, &BLOCKS, &INLINE, &REFUSED, &CELLS].iter().any(|names| names.contains(&name))
}

/// The end of a tag: a `>` that is not in quotes, before another tag begins.
fn end_of_tag(rest: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in rest.char_indices().skip(1) {
        match (quote, c) {
            (None, '>') => return Some(at + 1),
            (None, '<') => return None,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn add(names: &mut Vec<String>, name: String) {
    if !names.contains(&name) {
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, kind: Kind, text: &str, lost: &[&str], refused: &[&str]) {
        let found = strip(source, kind);
        assert_eq!(found.text.trim(), text, "{source}");
        assert_eq!(
            (found.lost, found.refused),
            (lost.iter().map(ToString::to_string).collect(), refused.iter().map(ToString::to_string).collect()),
            "{source}"
        );
    }

    #[test]
    fn a_fragment_becomes_its_text() {
        let whole = Kind::Whole;
        check("<p dir=\"ltr\">2 +\n 2<br>= ?</p><p>Well</p>", whole, "2 + 2\n= ?\nWell", &[], &[]);
        check(
            "a &lt; b &amp; c&nbsp;&euro;&#65;&#x42; &unknown; AT&T",
            whole,
            "a < b & c\u{a0}€AB &unknown; AT&T",
            &[],
            &[],
        );
        check("1 < 2 <!-- a note --> and 3 > 2", whole, "1 < 2 and 3 > 2", &[], &[]);
        check("x<sup>2</sup> <b>bold</b> <b>b</b>", whole, "x2 bold b", &["<sup>", "<b>"], &[]);
        check("<p style=\"color: red\">a</p><pre>  b\n  c</pre>", whole, "a\n  b\n  c", &["<p style>", "<pre>"], &[]);
        check("<img alt=\"a > b\" src='@@PLUGINFILE@@/x.png'>see", whole, "see", &[], &["<img>"]);
        check("<table><tr><td>1</td></tr></table>", whole, "1", &[], &["<table>"]);
        check("<o:p>office</o:p> <b", whole, "office <b", &["<o>"], &[]);
    }

    #[test]
    fn a_text_of_moodle_keeps_its_lines_and_what_is_no_tag() {
        check("x<y and y>z\n  if <i>i</i> &gt; 1", Kind::WithLineBreaks, "x<y and y>z\n  if i > 1", &["<i>"], &[]);
    }
}
