//! Exams go out as documents, come in again, and are duplicated.

use examhall_testkit::DatabaseKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{attempts::Hall, on_both};

const NOTHING: &Value = &Value::Null;

on_both!(
    an_exported_exam_is_imported_as_it_was,
    a_bad_document_is_named_and_leaves_nothing,
    a_copy_is_a_draft_of_its_own
);

/// One question of each kind.
pub(crate) fn questions() -> Value {
    json!({"questions": [
        {"type": "singleChoice", "text": "2 + 2?", "choices": [
            {"id": "a", "text": "4", "correct": true}, {"id": "b", "text": "5", "correct": false},
        ]},
        {"type": "multipleChoice", "text": "Primes?", "points": 2.5, "partialCredit": true, "choices": [
            {"id": "a", "text": "2", "correct": true}, {"id": "b", "text": "3", "correct": true},
            {"id": "c", "text": "4", "correct": false},
        ]},
        {"type": "trueFalse", "text": "2 + 2 = 4", "correct": true},
        {"type": "numeric", "text": "17 / 4?", "answer": 4.25, "tolerance": 0.5},
        {"type": "shortText", "text": "Capital of France?", "accepted": ["Paris", "Lutetia"]},
    ]})
}

/// Without what each exam and question has of its own.
pub(crate) fn stripped(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|name, _| {
            !["id", "examId", "version", "authorId", "createdAt", "updatedAt", "status"].contains(&name.as_str())
        });
    }
    if let Some(questions) = value.get_mut("questions").and_then(Value::as_array_mut) {
        for question in questions {
            *question = stripped(question.take());
        }
    }
    value
}

pub(crate) fn path_of(exam: &Value) -> String {
    format!("/exams/{}", exam["id"].as_str().expect("an id"))
}

async fn an_exported_exam_is_imported_as_it_was(database: DatabaseKind) {
    let rules = json!({
        "shuffle": true, "passMark": 60, "opensAt": "2026-01-01T00:00:00Z", "review": true, "showMarks": true,
        "access": "roster", "results": "onPublish", "maxAttempts": 3,
    });
    let hall = Hall::open(database, rules).await;
    hall.as_author(200, Method::PUT, &format!("{}/questions", hall.exam), &questions()).await;
    let document = hall.as_author(200, Method::GET, &format!("{}/export", hall.exam), NOTHING).await;
    assert_eq!((&document["format"], &document["omitted"]), (&json!("examhall-exam"), &json!([])));
    for _ in 0..2 {
        let made = hall.as_author(201, Method::POST, "/exams/import", &document).await;
        let before = hall.as_author(200, Method::GET, &hall.exam, NOTHING).await;
        assert_eq!((stripped(made.clone()), &made["status"]), (stripped(before), &json!("draft")));
        let keys = async |exam: &str| {
            let path = format!("{exam}/questions?include=answers");
            stripped(hall.as_author(200, Method::GET, &path, NOTHING).await)
        };
        assert_eq!(keys(&path_of(&made)).await, keys(&hall.exam).await);
        let again = hall.as_author(200, Method::GET, &format!("{}/export", path_of(&made)), NOTHING).await;
        assert_eq!((stripped(again.clone()), &again["exam"]), (stripped(document.clone()), &document["exam"]));
    }
    hall.api.stop().await;
}

async fn a_bad_document_is_named_and_leaves_nothing(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"access": "code", "accessCode": "spring-2027"})).await;
    let document = hall.as_author(200, Method::GET, &format!("{}/export", hall.exam), NOTHING).await;
    assert_eq!(document["omitted"], json!(["/exam/access", "/exam/accessCode"]), "nobody can read the code");
    let count = async || hall.as_author(200, Method::GET, "/exams", NOTHING).await["items"].as_array().map(Vec::len);
    let before = count().await;
    for (pointer, value) in [
        ("/format", json!("gift")),
        ("/version", json!(2)),
        ("/exam/title", json!("")),
        ("/exam/durationMinutes", json!(0)),
        ("/questions/1/answer", json!("four")),
        ("/questions/0/type", json!("essay")),
    ] {
        let mut bad = document.clone();
        *bad.pointer_mut(pointer).expect("a field") = value;
        let refused = hall.as_author(422, Method::POST, "/exams/import", &bad).await;
        let errors = refused["errors"].as_array().expect("errors").iter();
        assert!(errors.clone().any(|error| error["pointer"] == pointer), "{pointer}: {refused}");
    }
    let mut bad = document.clone();
    bad["questions"][0]["hint"] = json!("four");
    let refused = hall.as_author(422, Method::POST, "/exams/import", &bad).await;
    assert_eq!(refused["errors"][0]["pointer"], "/questions/0/hint", "what cannot be taken over is named");
    let mut bad = document.clone();
    bad["exam"]["opensAt"] = json!("2027-01-02T00:00:00Z");
    bad["exam"]["closesAt"] = json!("2027-01-01T00:00:00Z");
    bad["questions"][1]["answer"] = json!(1e16);
    let refused = hall.as_author(422, Method::POST, "/exams/import", &bad).await;
    let pointers = |refused: &Value| -> Vec<Value> {
        refused["errors"].as_array().into_iter().flatten().map(|error| error["pointer"].clone()).collect()
    };
    assert_eq!(pointers(&refused), ["/exam/closesAt", "/questions/1/answer"], "all at once");
    let mut bad = document.clone();
    bad["exam"]["access"] = json!("code");
    let refused = hall.as_author(422, Method::POST, "/exams/import", &bad).await;
    assert_eq!(pointers(&refused), ["/exam/accessCode"]);
    assert_eq!(count().await, before, "nothing is half-imported");
    hall.api.stop().await;
}

async fn a_copy_is_a_draft_of_its_own(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"access": "code", "accessCode": "spring-2027"})).await;
    let duplicate = format!("{}/duplicate", hall.exam);
    let same = hall.as_author(201, Method::POST, &duplicate, NOTHING).await;
    assert_eq!(
        (&same["title"], &same["status"], &same["access"]),
        (&json!("Algebra"), &json!("draft"), &json!("code"))
    );
    let copy = hall.as_author(201, Method::POST, &duplicate, &json!({"title": "Algebra II"})).await;
    assert_eq!(copy["title"], "Algebra II");
    let exam = path_of(&copy);
    hall.as_author(200, Method::PUT, &format!("{exam}/questions"), &questions()).await;
    hall.as_author(200, Method::POST, &format!("{exam}/publish"), NOTHING).await;
    let code = json!({"code": "spring-2027"});
    hall.api.expect(200, Method::POST, &format!("{exam}/seat"), &hall.students[0], &code).await;
    let sheet = hall.as_author(200, Method::GET, &format!("{}/questions", hall.exam), NOTHING).await;
    assert_eq!(sheet["questions"].as_array().map(Vec::len), Some(2), "the exam is as it was");
    hall.api.stop().await;
}
