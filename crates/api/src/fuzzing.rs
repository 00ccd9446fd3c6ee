//! What is fuzzed of this crate: see `crates/fuzz`.

use crate::http::{body, question_form::QuestionForm};

/// Reads a question as a body holds it, writes it, and reads it back.
///
/// # Panics
/// Where what was accepted is not read back the same, or a student would see its key.
pub fn question_form(body: &[u8]) {
    let Ok(form) = body::parse::<QuestionForm>(body) else { return };
    let Ok(question) = form.into_question("") else { return };
    let json = serde_json::to_vec(&question).expect("what was accepted can be written");
    let again = body::parse::<QuestionForm>(&json).expect("what was written is a form");
    assert_eq!(
        again.clone().over(&question).into_question("").as_ref(),
        Ok(&question),
        "unchanged by a change to itself"
    );
    assert_eq!(again.into_question(""), Ok(question.clone()));
    let shown = serde_json::to_value(question.for_student()).expect("JSON");
    for key in ["correct", "answer", "tolerance", "accepted"] {
        assert!(shown.get(key).is_none() && !shown["choices"][0].get(key).is_some(), "a student would see {key}");
    }
}
