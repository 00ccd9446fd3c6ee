//! Reads Moodle XML.

use examhall_core::QuestionId;

use super::{
    answers::{Answers, formatted},
    tree::{Node, parse},
};
use crate::{
    answer_key::number,
    found::{Draft, Found, Reading, is_beginning},
    note::{Notes, quoted},
    rich_text::{Format, plain},
};

/// Elements of a question that are read.
const READ: [&str; 6] = ["answer", "defaultgrade", "name", "questiontext", "single", "usecase"];
/// Elements that say how Moodle shows a question, tries and units: they change no key.
const IDLE: [&str; 9] = [
    "answernumbering",
    "penalty",
    "showstandardinstruction",
    "shownumcorrect",
    "showunits",
    "unitgradingtype",
    "unitpenalty",
    "unitsleft",
    "hidden",
];

/// Reads questions from a file of Moodle XML, and gives each an id.
///
/// There is nothing in a file that is expanded or fetched: a document type is refused.
pub fn read(file: &str, new_id: &mut dyn FnMut() -> QuestionId) -> Found {
    let mut reading = Reading::new(new_id);
    match parse(file) {
        Ok(root) if root.name == "quiz" => each(&root, &mut reading),
        Ok(root) => reading.refuse(root.line, format!("is no file of Moodle: it holds <{}>, not <quiz>", root.name)),
        Err(broken) => reading.refuse(broken.line, format!("is no XML: {}", broken.detail)),
    }
    reading.finish()
}

fn each(root: &Node, reading: &mut Reading) {
    for node in &root.children {
        let kind = node.attribute("type").unwrap_or_default();
        if node.name != "question" {
            reading.refuse(node.line, format!("<{}> is no question", node.name));
        } else if kind == "category" {
            let path = node.child("category").map(|category| category.text_of("text")).unwrap_or_default();
            reading.category(node.line, path);
            if node.child("info").is_some_and(Node::says_something) {
                reading.notes.loss_of_file(node.line, "what a category is about is not kept");
            }
        } else if !reading.begin(node.line) {
            break;
        } else if let Some(draft) = question(node, kind, &mut reading.notes) {
            reading.end(draft);
        }
    }
}

fn question(node: &Node, kind: &str, notes: &mut Notes) -> Option<Draft> {
    let (format, text) = match node.child("questiontext") {
        Some(written) => {
            let (format, source) = formatted(written, Format::Html, "/text", notes);
            (format, plain(source, format, written.line, "/text", notes))
        }
        None => (Format::Html, String::new()),
    };
    let (kind, lines) = Answers { question: node, format }.key(kind, notes)?;
    let name = node.child("name").map(|name| name.text_of("text")).unwrap_or_default();
    if !is_beginning(name, &text) {
        notes.loss(node.line, "", format!("the name {} is not kept", quoted(name)));
    }
    lose_the_rest(node, notes);
    let points = match node.child("defaultgrade") {
        None => 1.0,
        Some(points) => number(points.text()).unwrap_or_else(|| {
            notes.fault(points.line, "/points", "must be a number");
            1.0
        }),
    };
    Some(Draft { line: node.line, text, points, kind, lines })
}

/// Notes what else a question says.
fn lose_the_rest(node: &Node, notes: &mut Notes) {
    for child in &node.children {
        let name = child.name.as_str();
        let is_on = ["true", "1"].contains(&child.text());
        if name == "shuffleanswers" {
            if is_on {
                notes.loss(child.line, "", "shuffleanswers is not kept: the exam's shuffle is for all its questions");
            }
        } else if name == "hidden" && is_on {
            notes.loss(child.line, "", "hidden is not kept: the question is asked");
        } else if !READ.contains(&name) && !IDLE.contains(&name) && child.says_something() {
            notes.loss(child.line, "", format!("{name} is not kept"));
        }
    }
}
