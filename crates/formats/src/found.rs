//! What was read from a file.

use examhall_core::{Fault, MAX_QUESTIONS, Question, QuestionId, QuestionKind};

use crate::note::{Note, Notes};

/// What was read from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The last part of the first category: a file has no title.
    pub title: Option<String>,
    /// Its questions. They are all, and can be asked, only if every note is a loss.
    pub questions: Vec<Question>,
    /// By line.
    pub notes: Vec<Note>,
}

/// A file that is read.
pub(crate) struct Reading<'a> {
    pub(crate) notes: Notes,
    title: Option<String>,
    questions: Vec<Question>,
    begun: usize,
    is_refused: bool,
    new_id: &'a mut dyn FnMut() -> QuestionId,
}

/// A question that was read, and where.
pub(crate) struct Draft {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) points: f64,
    pub(crate) kind: QuestionKind,
    /// Of each choice or accepted text.
    pub(crate) lines: Vec<usize>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(new_id: &'a mut dyn FnMut() -> QuestionId) -> Self {
        Self { notes: Notes::default(), title: None, questions: Vec::new(), begun: 0, is_refused: false, new_id }
    }

    /// Begins the next question, on this line; `false` if an exam cannot have so many.
    pub(crate) fn begin(&mut self, line: usize) -> bool {
        if self.begun == MAX_QUESTIONS {
            self.notes.fault_of_file(line, format!("has more than {MAX_QUESTIONS} questions"));
            return false;
        }
        self.notes.begin(self.begun);
        self.begun += 1;
        true
    }

    /// Nothing can be read from here on, or a part of the file is something else.
    pub(crate) fn refuse(&mut self, line: usize, detail: String) {
        self.is_refused = true;
        self.notes.fault_of_file(line, detail);
    }

    /// A category, with `/` between its parts and `//` in them: the first one is the exam's title.
    pub(crate) fn category(&mut self, line: usize, path: &str) {
        if self.title.is_none() && self.begun == 0 {
            self.title = Some(last_part(path));
        } else {
            self.notes.loss_of_file(line, "categories are not kept: the exam has one list of questions");
        }
    }

    /// Takes a question, or notes what is wrong with it.
    pub(crate) fn end(&mut self, draft: Draft) {
        let Draft { line, text, points, kind, lines } = draft;
        let question = Question { id: (self.new_id)(), text, points, kind };
        for Fault { pointer, detail } in question.faults() {
            let nth = pointer.split('/').nth(2).and_then(|part| part.parse::<usize>().ok());
            let line = nth.and_then(|n| lines.get(n)).copied().unwrap_or(line);
            self.notes.fault(line, &pointer, detail);
        }
        self.questions.push(question);
    }

    pub(crate) fn finish(mut self) -> Found {
        if self.begun == 0 && !self.is_refused {
            self.notes.fault_of_file(1, "holds no question");
        }
        Found { title: self.title, questions: self.questions, notes: self.notes.finish() }
    }
}

/// Whether a question's name says no more than the beginning of its text: Moodle makes such names.
pub(crate) fn is_beginning(name: &str, text: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let name = words(name);
    words(text).starts_with(name.trim_end_matches("...").trim_end())
}

fn last_part(path: &str) -> String {
    let joined = path.replace("//", "\u{0}");
    joined.rsplit('/').next().unwrap_or_default().replace('\u{0}', "/").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_ends_in_its_name() {
        for (path, name) in [
            ("Algebra", "Algebra"),
            ("$course$/top/Default for Maths", "Default for Maths"),
            ("top/Sums // products", "Sums / products"),
            ("", ""),
        ] {
            assert_eq!(last_part(path), name, "{path}");
        }
    }

    #[test]
    fn a_name_that_is_the_texts_beginning_says_nothing() {
        assert!(is_beginning("What is", "What  is\n2 + 2?") && is_beginning("What is...", "What is 2 + 2?"));
        assert!(!is_beginning("Q1", "What is 2 + 2?"));
    }
}
