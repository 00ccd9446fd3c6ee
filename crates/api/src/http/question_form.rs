//! A question as an author writes it: flat, so that every wrong field can be named.

use std::collections::HashSet;

use examhall_core::{Choice, Fault, Question, QuestionId, QuestionKind};
use garde::Validate;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{object::some_objects, problem::FieldError};

/// A question as its author writes it: `choices` for `singleChoice` and `multipleChoice` (with `partialCredit`), `correct`
/// for `trueFalse`, `answer` and `tolerance` for `numeric`, `accepted` for `shortText`. A new question must have `type`,
/// `text` and its key; a change may leave out everything.
#[derive(Clone, Debug, Default, Deserialize, Validate, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[schemars(example = json!({
    "type": "singleChoice",
    "text": "2 + 2?",
    "choices": [{"id": "a", "text": "four", "correct": true}, {"id": "b", "text": "five", "correct": false}],
}))]
pub(crate) struct QuestionForm {
    pub(crate) id: Option<QuestionId>,
    #[serde(rename = "type")]
    kind: Option<Kind>,
    #[schemars(length(min = 1, max = Question::MAX_TEXT))]
    text: Option<String>,
    /// 1 where a new question does not say.
    #[schemars(range(min = 0.0, max = Question::MAX_POINTS))]
    points: Option<f64>,
    #[serde(default, deserialize_with = "some_objects")]
    #[schemars(length(min = 2, max = Question::MAX_CHOICES))]
    choices: Option<Vec<ChoiceForm>>,
    /// Whether a partly right answer earns a part of the points.
    partial_credit: Option<bool>,
    correct: Option<bool>,
    answer: Option<f64>,
    /// How far off is still right.
    #[schemars(range(min = 0.0))]
    tolerance: Option<f64>,
    #[schemars(
        length(min = 1, max = Question::MAX_CHOICES),
        inner(length(min = 1, max = Question::MAX_ACCEPTED))
    )]
    accepted: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
enum Kind {
    SingleChoice,
    MultipleChoice,
    TrueFalse,
    Numeric,
    ShortText,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewChoice")]
struct ChoiceForm {
    /// Made where absent, unique within the question.
    #[schemars(length(min = 1, max = Choice::MAX_ID), pattern(Choice::ID_PATTERN))]
    id: Option<String>,
    #[schemars(length(min = 1, max = Choice::MAX_TEXT))]
    text: String,
    #[serde(default)]
    correct: bool,
}

impl QuestionForm {
    /// The question, or everything that is wrong with it; pointers begin with `at`.
    pub(crate) fn into_question(mut self, at: &str) -> Result<Question, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut missing = |field: &str| errors.push(wrong(at, field, "must be given"));
        let id = self.id.unwrap_or_else(|| QuestionId(Uuid::now_v7()));
        let (text, points) = (self.text.take(), self.points.unwrap_or(1.0));
        if text.is_none() {
            missing("text");
        }
        let kind = self.take_kind(&mut missing);
        for field in self.left_over() {
            errors.push(wrong(at, field, "does not belong to a question of this type"));
        }
        match (text, kind) {
            (Some(text), Some(kind)) if errors.is_empty() => {
                let question = Question { id, text, points, kind };
                let faults = question.faults();
                if faults.is_empty() {
                    Ok(question)
                } else {
                    Err(faults.iter().map(|fault| fault_at(at, fault)).collect())
                }
            }
            _ => Err(errors),
        }
    }

    /// This form over a question: what it does not say stays; with another type nothing of the old key does.
    pub(crate) fn over(self, current: &Question) -> Self {
        let mut form = Self::from(&current.clone());
        if self.kind.is_some_and(|kind| form.kind != Some(kind)) {
            form = Self { id: form.id, text: form.text, points: form.points, ..Self::default() };
        }
        Self {
            id: Some(current.id),
            kind: self.kind.or(form.kind),
            text: self.text.or(form.text),
            points: self.points.or(form.points),
            choices: self.choices.or(form.choices),
            partial_credit: self.partial_credit.or(form.partial_credit),
            correct: self.correct.or(form.correct),
            answer: self.answer.or(form.answer),
            tolerance: self.tolerance.or(form.tolerance),
            accepted: self.accepted.or(form.accepted),
        }
    }

    /// Takes what belongs to the question's type.
    fn take_kind(&mut self, missing: &mut impl FnMut(&str)) -> Option<QuestionKind> {
        let Some(kind) = self.kind else {
            missing("type");
            return None;
        };
        let mut required = |field: &'static str, is_there: bool| {
            is_there.then_some(()).or_else(|| {
                missing(field);
                None
            })
        };
        Some(match kind {
            Kind::SingleChoice => {
                required("choices", self.choices.is_some())?;
                QuestionKind::SingleChoice { choices: to_choices(self.choices.take()) }
            }
            Kind::MultipleChoice => {
                required("choices", self.choices.is_some())?;
                let partial_credit = self.partial_credit.take().unwrap_or(false);
                QuestionKind::MultipleChoice { choices: to_choices(self.choices.take()), partial_credit }
            }
            Kind::TrueFalse => {
                required("correct", self.correct.is_some())?;
                QuestionKind::TrueFalse { correct: self.correct.take()? }
            }
            Kind::Numeric => {
                required("answer", self.answer.is_some())?;
                QuestionKind::Numeric { answer: self.answer.take()?, tolerance: self.tolerance.take().unwrap_or(0.0) }
            }
            Kind::ShortText => {
                required("accepted", self.accepted.is_some())?;
                QuestionKind::ShortText { accepted: self.accepted.take()? }
            }
        })
    }

    fn left_over(&self) -> impl Iterator<Item = &'static str> {
        let fields = [
            ("choices", self.choices.is_some()),
            ("partialCredit", self.partial_credit.is_some()),
            ("correct", self.correct.is_some()),
            ("answer", self.answer.is_some()),
            ("tolerance", self.tolerance.is_some()),
            ("accepted", self.accepted.is_some()),
        ];
        let has_type = self.kind.is_some();
        fields.into_iter().filter(move |(_, is_left)| has_type && *is_left).map(|(name, _)| name)
    }
}

impl From<&Question> for QuestionForm {
    fn from(question: &Question) -> Self {
        let (text, points) = (Some(question.text.clone()), Some(question.points));
        let form = Self { id: Some(question.id), text, points, ..Self::default() };
        let forms = |choices: &[Choice]| {
            let to_form = |choice: &Choice| ChoiceForm {
                id: Some(choice.id.clone()),
                text: choice.text.clone(),
                correct: choice.correct,
            };
            Some(choices.iter().map(to_form).collect())
        };
        match &question.kind {
            QuestionKind::SingleChoice { choices } => {
                Self { kind: Some(Kind::SingleChoice), choices: forms(choices), ..form }
            }
            QuestionKind::MultipleChoice { choices, partial_credit } => Self {
                kind: Some(Kind::MultipleChoice),
                choices: forms(choices),
                partial_credit: Some(*partial_credit),
                ..form
            },
            QuestionKind::TrueFalse { correct } => {
                Self { kind: Some(Kind::TrueFalse), correct: Some(*correct), ..form }
            }
            QuestionKind::Numeric { answer, tolerance } => {
                Self { kind: Some(Kind::Numeric), answer: Some(*answer), tolerance: Some(*tolerance), ..form }
            }
            QuestionKind::ShortText { accepted } => {
                Self { kind: Some(Kind::ShortText), accepted: Some(accepted.clone()), ..form }
            }
        }
    }
}

fn to_choices(forms: Option<Vec<ChoiceForm>>) -> Vec<Choice> {
    let forms = forms.unwrap_or_default();
    let given: HashSet<String> = forms.iter().filter_map(|form| form.id.clone()).collect();
    let mut made = letters().filter(|id| !given.contains(id));
    let to_choice = |form: ChoiceForm| Choice {
        id: form.id.or_else(|| made.next()).unwrap_or_default(),
        text: form.text,
        correct: form.correct,
    };
    forms.into_iter().map(to_choice).collect()
}

/// `a` to `z`, then `a1` to `z1`, and so on.
fn letters() -> impl Iterator<Item = String> {
    let rounds = std::iter::once(String::new()).chain((1_u32..).map(|round| round.to_string()));
    rounds.flat_map(|round| ('a'..='z').map(move |letter| format!("{letter}{round}")))
}

fn wrong(at: &str, field: &str, detail: &str) -> FieldError {
    FieldError { pointer: format!("{at}/{field}"), detail: detail.to_owned() }
}

fn fault_at(at: &str, fault: &Fault) -> FieldError {
    FieldError { pointer: format!("{at}{}", fault.pointer), detail: fault.detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn form(body: Value) -> QuestionForm {
        serde_json::from_value(body).expect("a form")
    }

    #[expect(clippy::needless_pass_by_value, reason = "so that a case is one line")]
    fn check(body: Value, pointers: &[&str]) {
        let errors = form(body.clone()).into_question("").err().unwrap_or_default();
        let found: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(found, pointers, "{body}");
    }

    #[test]
    fn a_question_of_each_type_is_understood() {
        let choices = json!([{"id": "a", "text": "four", "correct": true}, {"id": "b", "text": "five"}]);
        check(json!({"type": "singleChoice", "text": "?", "choices": choices}), &[]);
        check(json!({"type": "multipleChoice", "text": "?", "choices": choices, "partialCredit": true}), &[]);
        check(json!({"type": "trueFalse", "text": "?", "correct": false, "points": 2}), &[]);
        check(json!({"type": "numeric", "text": "?", "answer": 4}), &[]);
        check(json!({"type": "shortText", "text": "?", "accepted": ["four"]}), &[]);
    }

    #[test]
    fn what_is_missing_or_does_not_belong_is_named() {
        check(json!({}), &["/text", "/type"]);
        check(json!({"type": "numeric", "text": "?"}), &["/answer"]);
        check(
            json!({"type": "trueFalse", "correct": true, "answer": 1, "accepted": []}),
            &["/text", "/answer", "/accepted"],
        );
        check(json!({"type": "singleChoice", "text": "?", "choices": []}), &["/choices", "/choices"]);
    }

    #[test]
    fn choices_without_an_id_get_one_of_their_own() {
        let ids = |choices: Value| -> Vec<String> {
            let question = form(json!({"type": "multipleChoice", "text": "?", "choices": choices})).into_question("");
            let QuestionKind::MultipleChoice { choices, .. } = question.expect("good").kind else { return Vec::new() };
            choices.into_iter().map(|choice| choice.id).collect()
        };
        let (right, wrong) = (json!({"text": "x", "correct": true}), json!({"text": "y"}));
        assert_eq!(ids(json!([right, wrong])), ["a", "b"]);
        assert_eq!(
            ids(json!([right, {"id": "a", "text": "y"}, wrong, {"id": null, "text": "z"}])),
            ["b", "a", "c", "d"]
        );
        let many = ids(json!(std::iter::repeat_n(&right, 50).collect::<Vec<_>>()));
        assert_eq!((many.len(), many[25].as_str(), many[26].as_str()), (50, "z", "a1"));
        assert_eq!(many.iter().collect::<HashSet<_>>().len(), 50);
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let old = form(json!({"type": "numeric", "text": "?", "answer": 4, "tolerance": 0.5, "points": 3}));
        let old = old.into_question("").expect("good");
        let new = form(json!({"answer": 5})).over(&old).into_question("").expect("good");
        assert_eq!(new.kind, QuestionKind::Numeric { answer: 5.0, tolerance: 0.5 });
        assert_eq!((new.id, new.points, new.text.as_str()), (old.id, 3.0, "?"));
        let other = form(json!({"type": "trueFalse", "correct": true})).over(&old).into_question("").expect("good");
        assert_eq!((other.kind, other.points), (QuestionKind::TrueFalse { correct: true }, 3.0));
    }
}
