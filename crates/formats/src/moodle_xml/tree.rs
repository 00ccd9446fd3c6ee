//! A file of XML as a tree, each element with its line.
//!
//! There is no document type and so no entity but XML's own: nothing is expanded, and nothing is fetched.

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesRef, BytesStart, Event},
};

use crate::omitted::BLANKS;

/// Deepest nesting. Questions need six levels.
const DEEPEST: usize = 32;
/// Most attributes of an element: each is held against those before it.
const MOST_ATTRIBUTES: usize = 32;

/// An element.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) line: usize,
    attributes: Vec<(String, String)>,
    /// Its own characters, without those of its elements.
    text: String,
    pub(super) children: Vec<Node>,
}

/// Why a file is no tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) line: usize,
    pub(super) detail: String,
}

impl Node {
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim_matches(BLANKS))
    }

    /// Its characters, without white space at both ends.
    pub(super) fn text(&self) -> &str {
        self.text.trim_matches(BLANKS)
    }

    /// The characters of a child.
    pub(super) fn text_of(&self, name: &str) -> &str {
        self.child(name).map_or("", Self::text)
    }

    /// Whether there is anything to read in it.
    pub(super) fn says_something(&self) -> bool {
        !self.text().is_empty() || self.children.iter().any(Self::says_something)
    }
}

/// Reads the root element of a file.
pub(super) fn parse(file: &str) -> Result<Node, Broken> {
    let file = file.strip_prefix('\u{feff}').unwrap_or(file);
    let mut building = Building { lines: Lines { file, at: 0, line: 1 }, open: Vec::new(), root: None };
    let mut reader = Reader::from_str(file);
    reader.config_mut().check_comments = false;
    loop {
        building.lines.go_to(reader.buffer_position());
        match reader.read_event() {
            Ok(Event::Eof) => break,
            Ok(event) => building.take(event)?,
            Err(error) => {
                building.lines.go_to(reader.error_position());
                return Err(building.broken(error.to_string()));
            }
        }
    }
    if let Some(open) = building.open.last() {
        return Err(building.broken(format!("<{}> of line {} has no end", open.name, open.line)));
    }
    building.root.ok_or(Broken { line: 1, detail: "holds no XML".to_owned() })
}

/// Where a reader is.
struct Lines<'a> {
    file: &'a str,
    at: usize,
    line: usize,
}

impl Lines<'_> {
    fn go_to(&mut self, position: u64) {
        let to = usize::try_from(position).unwrap_or(usize::MAX).min(self.file.len());
        let passed = self.file.get(self.at..to).unwrap_or_default();
        self.line += passed.matches('\n').count();
        self.at = self.at.max(to);
    }
}

struct Building<'a> {
    lines: Lines<'a>,
    /// Elements whose end is to come, outermost first.
    open: Vec<Node>,
    root: Option<Node>,
}

impl Building<'_> {
    fn broken(&self, detail: impl Into<String>) -> Broken {
        Broken { line: self.lines.line, detail: detail.into() }
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), Broken> {
        match event {
            Event::Start(tag) => {
                let node = self.node(&tag)?;
                if self.open.len() == DEEPEST {
                    return Err(self.broken(format!("elements are nested more than {DEEPEST} times")));
                }
                self.open.push(node);
            }
            Event::Empty(tag) => {
                let node = self.node(&tag)?;
                self.end(node)?;
            }
            Event::End(_) => {
                let node = self.open.pop().ok_or_else(|| self.broken("an element ends that was not begun"))?;
                self.end(node)?;
            }
            Event::Text(text) => self.text(&text.xml10_content())?,
            Event::CData(text) => self.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => {
                let text = self.referred(&reference)?;
                self.text(&text)?;
            }
            Event::DocType(_) => return Err(self.broken("a document type (<!DOCTYPE) is not read")),
            Event::Decl(declaration) => {
                if let Some(Ok(encoding)) = declaration.encoding()
                    && !encoding.eq_ignore_ascii_case("utf-8")
                {
                    return Err(self.broken(format!("is said to be {encoding}: send UTF-8")));
                }
            }
            Event::Comment(_) | Event::PI(_) | Event::Eof => {}
        }
        Ok(())
    }

    fn node(&self, tag: &BytesStart<'_>) -> Result<Node, Broken> {
        let mut attributes = Vec::new();
        for one in tag.attributes() {
            if attributes.len() == MOST_ATTRIBUTES {
                return Err(self.broken(format!("an element has more than {MOST_ATTRIBUTES} attributes")));
            }
            let one = one.map_err(|error| self.broken(error.to_string()))?;
            let value =
                one.normalized_value(XmlVersion::Implicit1_0).map_err(|error| self.broken(error.to_string()))?;
            attributes.push((one.key.as_ref().to_owned(), value.into_owned()));
        }
        Ok(Node { name: tag.name().as_ref().to_owned(), line: self.lines.line, attributes, ..Node::default() })
    }

    fn end(&mut self, node: Node) -> Result<(), Broken> {
        match self.open.last_mut() {
            Some(parent) => parent.children.push(node),
            None if self.root.is_none() => self.root = Some(node),
            None => return Err(self.broken("has two outermost elements")),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Broken> {
        match self.open.last_mut() {
            Some(node) => node.text.push_str(text),
            None if text.trim_matches(BLANKS).is_empty() => {}
            None => return Err(self.broken("has text outside of its elements")),
        }
        Ok(())
    }

    fn referred(&self, reference: &BytesRef<'_>) -> Result<String, Broken> {
        if let Some(c) = reference.resolve_char_ref().map_err(|error| self.broken(error.to_string()))? {
            return Ok(c.to_string());
        }
        let name = reference.xml10_content();
        let known = quick_xml::escape::resolve_xml_entity(&name);
        known.map(ToOwned::to_owned).ok_or_else(|| self.broken(format!("XML does not know the entity &{name};")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_lines_texts_and_attributes() {
        let root = parse(
            "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<!-- a -- note -->\n<quiz>\n  <a b='1 &lt; 2'>x &amp; <![CDATA[<y>]]>&#233;</a>\r\n<c/>\n</quiz>\n",
        );
        let root = root.expect("XML");
        let (a, c) = (&root.children[0], &root.children[1]);
        assert_eq!((root.line, a.line, c.line), (3, 4, 5));
        assert_eq!((a.attribute("b"), a.text(), c.says_something()), (Some("1 < 2"), "x & <y>é", false));
    }

    #[test]
    fn what_is_no_tree_is_refused_with_its_line() {
        let deep = "<a>".repeat(33);
        let wide = format!("<a{}/>", (0..33).map(|n| format!(" b{n}=''")).collect::<Vec<_>>().concat());
        for (file, line) in [
            ("", 1),
            ("quiz", 1),
            ("<a>\n<b>\n</a>", 3),
            ("<a>\n<b></b>\n", 3),
            ("<a/>\n<b/>", 2),
            ("<a>\n&nbsp;</a>", 2),
            ("<a>\n<b c='1' c='2'/></a>", 2),
            ("<!DOCTYPE a [\n<!ENTITY b \"bb\">]>\n<a>&b;</a>", 1),
            ("<?xml version='1.0' encoding='latin1'?><a/>", 1),
            ("<a>\n<![CDATA[", 2),
            ("<a>\n<", 2),
            ("<a>&#0;</a>", 1),
            (&deep, 1),
            (&wide, 1),
        ] {
            let broken = parse(file).expect_err(file);
            assert_eq!(broken.line, line, "{file}: {}", broken.detail);
            assert!(!broken.detail.is_empty());
        }
    }
}
