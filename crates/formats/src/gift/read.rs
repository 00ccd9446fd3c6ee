//! Reads GIFT.

use examhall_core::QuestionId;

use super::{
    answers::Answers,
    blocks::blocks,
    tokens::{Token, line, position, position_of_run, text, tokens, trimmed, with_format},
};
use crate::{
    found::{Draft, Found, Reading, is_beginning},
    note::{Notes, quoted},
    rich_text::{Format, plain},
};

/// Reads questions from a file of GIFT. Each gets an id, and is worth 1 point: the format has no points.
pub fn read(file: &str, new_id: &mut dyn FnMut() -> QuestionId) -> Found {
    let mut reading = Reading::new(new_id);
    for block in blocks(file) {
        if let Some((line, path)) = block.category {
            let path = tokens(&[(line, path)]);
            reading.category(line, &text(trimmed(&path)));
        }
        let Some((first, _)) = block.lines.first() else { continue };
        if !reading.begin(*first) {
            break;
        }
        if let Some(draft) = question(*first, &tokens(&block.lines), &mut reading.notes) {
            reading.end(draft);
        }
    }
    reading.finish()
}

fn question(first: usize, tokens: &[Token], notes: &mut Notes) -> Option<Draft> {
    let (name, tokens) = name(trimmed(tokens), notes)?;
    let Parts { mut written, inner } = parts(first, tokens, notes)?;
    let inner = general_feedback(first, inner, notes);
    let (format, source) = with_format(&written, Format::Moodle);
    written.clear();
    let text = plain(&source, format, first, "/text", notes);
    if let Some(name) = name.filter(|name| !is_beginning(name, &text)) {
        notes.loss(first, "", format!("the title {} is not kept", quoted(&name)));
    }
    let (kind, lines) = Answers { inner, line: first, format }.key(notes)?;
    Some(Draft { line: first, text, points: 1.0, kind, lines })
}

/// The title between `::`, and what follows it.
fn name<'t>(tokens: &'t [Token], notes: &mut Notes) -> Option<(Option<String>, &'t [Token])> {
    if position_of_run(&tokens[..tokens.len().min(2)], ':', 2).is_none() {
        return Some((None, tokens));
    }
    let rest = &tokens[2..];
    let Some(end) = position_of_run(rest, ':', 2) else {
        notes.fault(line(tokens, 1), "", "the title has no end: write :: after it");
        return None;
    };
    Some((Some(text(trimmed(&rest[..end]))), trimmed(&rest[end + 2..])))
}

struct Parts<'t> {
    /// The question's text, with a gap where the answer stood in it.
    written: Vec<Token>,
    inner: &'t [Token],
}

fn parts<'t>(first: usize, tokens: &'t [Token], notes: &mut Notes) -> Option<Parts<'t>> {
    let mut refuse = |line, field, detail: &str| {
        notes.fault(line, field, detail);
        None
    };
    let (open, close) = match (position(tokens, '{'), position(tokens, '}')) {
        (None, None) => {
            return refuse(first, "/type", "a description (no answer in braces) is no kind of question here");
        }
        (Some(open), Some(close)) if open < close => (open, close),
        (Some(open), None) => return refuse(tokens[open].line, "", "the answer has no end: write }"),
        (_, Some(close)) => {
            return refuse(tokens[close].line, "", "the answer has no beginning: write {, or \\} for a brace");
        }
    };
    let (inner, after) = (&tokens[open + 1..close], &tokens[close + 1..]);
    if let Some(at) = position(inner, '{') {
        return refuse(inner[at].line, "", "has a brace in its answer: write \\{");
    }
    if let Some(at) = after.iter().position(|token| token.is('{') || token.is('}')) {
        return refuse(
            after[at].line,
            "",
            "has two answers: write \\{ and \\} for braces, and a blank line before a question",
        );
    }
    let mut written = tokens[..open].to_vec();
    if !trimmed(after).is_empty() {
        written.extend(gap(tokens[close].line));
        written.extend(after);
    }
    Some(Parts { written, inner: trimmed(inner) })
}

/// What Moodle shows for an answer within a text.
fn gap(line: usize) -> Vec<Token> {
    tokens(&[(line, "_____")])
}

/// What stands before the last `####`.
fn general_feedback<'t>(first: usize, inner: &'t [Token], notes: &mut Notes) -> &'t [Token] {
    let Some(at) = inner.windows(4).rposition(|run| run.iter().all(|token| token.is('#'))) else { return inner };
    let feedback = trimmed(&inner[at + 4..]);
    if !feedback.is_empty() {
        notes.loss(line(feedback, first), "", "feedback is not kept");
    }
    trimmed(&inner[..at])
}
