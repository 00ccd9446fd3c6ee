//! What is noted while a file is read.

/// Most notes of one file.
const MOST: usize = 1000;

/// Something in a file that an exam cannot take as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Line of the file, from 1.
    pub line: usize,
    /// Where it would stand: a JSON Pointer (RFC 6901) into an exam's document, such as `/questions/3/choices/1/text`.
    pub pointer: String,
    /// What is wrong, or is not kept.
    pub detail: String,
    /// Whether the questions can be asked without it. Everything else has to be put right first.
    pub is_loss: bool,
}

/// The notes of a file, in which one question after the other is read.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    all: Vec<Note>,
    /// Of the question that is read.
    question: usize,
}

impl Notes {
    /// Notes belong to this question from now on, counted from 0.
    pub(crate) const fn begin(&mut self, question: usize) {
        self.question = question;
    }

    /// Something that has to be put right; `field` points into the question.
    pub(crate) fn fault(&mut self, line: usize, field: &str, detail: impl Into<String>) {
        self.add(line, format!("/questions/{}{field}", self.question), detail.into(), false);
    }

    /// Something that is not kept; `field` points into the question.
    pub(crate) fn loss(&mut self, line: usize, field: &str, detail: impl Into<String>) {
        self.add(line, format!("/questions/{}{field}", self.question), detail.into(), true);
    }

    /// Something that is wrong with the whole file.
    pub(crate) fn fault_of_file(&mut self, line: usize, detail: impl Into<String>) {
        self.add(line, "/questions".to_owned(), detail.into(), false);
    }

    /// Something of the whole file that is not kept.
    pub(crate) fn loss_of_file(&mut self, line: usize, detail: impl Into<String>) {
        self.add(line, "/exam".to_owned(), detail.into(), true);
    }

    /// All of them by line. If there were too many, the last one says so.
    pub(crate) fn finish(mut self) -> Vec<Note> {
        if self.all.len() > MOST {
            self.all.truncate(MOST);
            let line = self.all.last().map_or(1, |note| note.line);
            self.all.push(Note {
                line,
                pointer: "/questions".to_owned(),
                detail: format!("holds more than these {MOST}: put them right first"),
                is_loss: false,
            });
        }
        self.all.sort_by_key(|note| note.line);
        self.all
    }

    fn add(&mut self, line: usize, pointer: String, detail: String, is_loss: bool) {
        if self.all.len() <= MOST {
            self.all.push(Note { line, pointer, detail, is_loss });
        }
    }
}

/// A text in a note: not all of one that is long.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut short: String = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > LONGEST {
        short.push('…');
    }
    format!("\"{short}\"")
}
