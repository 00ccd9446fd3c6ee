//! Numbers of the JSON forms of what is cached and tagged. Clients and older processes have the JSON of the form before: so
//! the number of a body's form is part of its `ETag`, and both numbers make the shape of the cache entry.

use examhall_core::{
    Exam, ExamAccess, ExamId, ExamResult, Profile, Question, QuestionSheet, ResultAccess, StudentQuestion,
};

/// A type whose JSON is cached or tagged.
pub(crate) trait JsonForm {
    /// Number of its JSON form. Increase it with every change of the JSON; a test compares it with the form that is recorded
    /// under this number, for what is cached.
    const FORM: u32 = 1;
}

impl JsonForm for QuestionSheet {}
impl JsonForm for StudentQuestion {}
impl JsonForm for Question {}
impl JsonForm for ExamId {}
impl JsonForm for () {}

/// 2: `paper`, `results`, `showMarks`, `review`, `resultsPublishedAt`. 3: `access`.
impl JsonForm for Exam {
    const FORM: u32 = 3;
}

/// 2 and 3: the same.
impl JsonForm for ExamAccess {
    const FORM: u32 = 3;
}

/// 2: `attemptId`. 3: `regradedAt`.
impl JsonForm for ExamResult {
    const FORM: u32 = 3;
}

/// 2: `examId`, `gradedAt`.
impl JsonForm for ResultAccess {
    const FORM: u32 = 2;
}

/// 2: roles `viewer` and `operator`.
impl JsonForm for Profile {
    const FORM: u32 = 2;
}

/// Returns the [`SHAPE`](examhall_cache::CacheKey::SHAPE) of a cached value with its head: it increases with either form.
pub(crate) const fn shape<V: JsonForm, H: JsonForm>() -> u32 {
    V::FORM + H::FORM - 1
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use examhall_core::{
        Admission, AttemptId, ExamStatus, PaperPolicy, QuestionId, ResultId, ResultPolicy, Role, StudentChoice,
        StudentKind, Timestamp, UserId,
    };
    use schemars::{JsonSchema, schema_for};
    use serde::Serialize;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    /// Removes from a schema what says nothing about the form: words for readers, and limits.
    fn strip(schema: &mut Value) {
        match schema {
            Value::Object(members) => {
                let is_limit = |name: &str| ["min", "max"].iter().any(|of| name.starts_with(of)) || name == "pattern";
                members.retain(|name, member| {
                    member.is_object()
                        || !(["$schema", "title", "description"].contains(&name.as_str()) || is_limit(name))
                });
                members.values_mut().for_each(strip);
            }
            Value::Array(members) => members.iter_mut().for_each(strip),
            _ => {}
        }
    }

    /// Compares the JSON form of a type, its schema and samples, with the one that is recorded under its number.
    fn check<T: JsonForm + JsonSchema + Serialize>(name: &str, samples: &[T]) {
        let mut schema = schema_for!(T).to_value();
        strip(&mut schema);
        let form = json!({"schema": schema, "samples": samples});
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/cache_keys/json_form/{name}.{}.json", T::FORM));
        let pretty = serde_json::to_string_pretty(&form).expect("JSON");
        if std::env::var_os("EXAMHALL_RECORD_FORMS").is_some() && !file.exists() {
            std::fs::write(&file, format!("{pretty}\n")).expect("written");
        }
        let recorded = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            serde_json::from_str::<Value>(&recorded).is_ok_and(|recorded| recorded == form),
            "The JSON of {name} is not the one recorded in {}. If the JSON has changed, increase {name}::FORM, and record \
             the new form with EXAMHALL_RECORD_FORMS=1. It is now:\n{pretty}",
            file.display(),
        );
    }

    fn uuid(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn exams() -> Vec<Exam> {
        let (opens_at, closes_at) = (Some(Timestamp::from_millis(1_000)), Some(Timestamp::from_millis(61_001)));
        let exam = |status, window: [Option<Timestamp>; 2]| Exam {
            id: ExamId(uuid(1)),
            author_id: UserId(uuid(2)),
            title: "T".into(),
            description: "D".into(),
            duration_minutes: 60,
            max_attempts: 2,
            pass_mark: 50,
            opens_at: window[0],
            closes_at: window[1],
            shuffle: true,
            paper: if window[0].is_some() { PaperPolicy::WhileOpen } else { PaperPolicy::AfterStart },
            results: match status {
                ExamStatus::Draft => ResultPolicy::OnSubmit,
                ExamStatus::Published => ResultPolicy::OnClose,
                ExamStatus::Closed => ResultPolicy::OnPublish,
            },
            show_marks: true,
            review: false,
            access: Admission::Open,
            results_published_at: window[1],
            status,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(1),
        };
        vec![
            exam(ExamStatus::Draft, [None; 2]),
            exam(ExamStatus::Published, [opens_at, closes_at]),
            exam(ExamStatus::Closed, [None, closes_at]),
        ]
    }

    fn questions() -> Vec<StudentQuestion> {
        let choices = || vec![StudentChoice { id: "a".into(), text: "A".into() }];
        let kinds = [
            StudentKind::SingleChoice { choices: choices() },
            StudentKind::MultipleChoice { choices: choices() },
            StudentKind::TrueFalse,
            StudentKind::Numeric,
            StudentKind::ShortText,
        ];
        let question = |kind| StudentQuestion { id: QuestionId(uuid(3)), text: "Q".into(), points: 1.5, kind };
        kinds.map(question).into()
    }

    #[test]
    fn cached_json_has_the_form_of_its_number() {
        check("Exam", &exams());
        check("ExamAccess", &exams().iter().map(Exam::access).collect::<Vec<_>>());
        check("StudentQuestion", &questions());
        check("QuestionSheet", &[QuestionSheet { exam_id: ExamId(uuid(1)), version: 7, questions: questions() }]);
        check("ExamId", &[ExamId(uuid(1))]);
        let graded_at = Timestamp::from_millis(0);
        let (id, exam_id, user_id) = (ResultId(uuid(4)), ExamId(uuid(1)), UserId(uuid(5)));
        let (attempt_id, score, max_score, percent) = (AttemptId(uuid(6)), 1.5, 3.0, 50.0);
        let (passed, regraded_at) = (true, Some(Timestamp::from_millis(1)));
        let result = ExamResult {
            id,
            exam_id,
            attempt_id,
            user_id,
            score,
            max_score,
            percent,
            passed,
            graded_at,
            regraded_at: None,
        };
        check("ExamResult", &[result.clone(), ExamResult { regraded_at, ..result }]);
        check("ResultAccess", &[ResultAccess { user_id, author_id: UserId(uuid(2)), exam_id, graded_at }]);
        let profile = |role| Profile { id: user_id, name: "Ada".into(), role };
        check("Profile", &Role::ALL.map(profile));
    }
}
