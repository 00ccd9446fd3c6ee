//! Who may do what: every operation on exams, as each kind of person.

use reqwest::Method;
use serde_json::{Value, json};

use crate::Api;

/// What nobody, another student, the student, another author, the author and an administrator are answered.
type Row = (Method, String, Value, [u16; 6]);

fn table(exam: &str, draft: &str, question: &str, attempt: &str, result: &str) -> Vec<Row> {
    let (get, post, patch, put, delete) = (Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE);
    let (none, title) = (Value::Null, json!({"title": "Mine"}));
    let question_body = json!({"type": "trueFalse", "text": "?", "correct": true});
    let answers = json!({"seq": 1, "answers": []});
    let new_exam = json!({"title": "New", "description": "", "durationMinutes": 1});
    vec![
        (get.clone(), "/users/me".into(), none.clone(), [401, 200, 200, 200, 200, 200]),
        (get.clone(), "/exams".into(), none.clone(), [401, 200, 200, 200, 200, 200]),
        (post.clone(), "/exams".into(), new_exam, [401, 403, 403, 201, 201, 201]),
        (get.clone(), exam.into(), none.clone(), [401, 200, 200, 200, 200, 200]),
        (get.clone(), draft.into(), none.clone(), [401, 404, 404, 404, 200, 200]),
        (patch.clone(), exam.into(), title.clone(), [401, 403, 403, 403, 200, 200]),
        (patch.clone(), draft.into(), title, [401, 404, 404, 404, 200, 200]),
        (delete.clone(), exam.into(), none.clone(), [401, 403, 403, 403, 409, 409]),
        (post.clone(), format!("{exam}/publish"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (post.clone(), format!("{draft}/publish"), none.clone(), [401, 404, 404, 404, 409, 409]),
        (post.clone(), format!("{draft}/close"), none.clone(), [401, 404, 404, 404, 409, 409]),
        (get.clone(), format!("{exam}/questions"), none.clone(), [401, 200, 200, 200, 200, 200]),
        (get.clone(), format!("{draft}/questions"), none.clone(), [401, 404, 404, 404, 200, 200]),
        (get.clone(), format!("{exam}/questions?include=answers"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (get.clone(), format!("{draft}/questions?include=answers"), none.clone(), [401, 404, 404, 404, 200, 200]),
        (put.clone(), format!("{exam}/questions"), json!({"questions": []}), [401, 403, 403, 403, 409, 409]),
        (post.clone(), format!("{exam}/questions"), question_body, [401, 403, 403, 403, 409, 409]),
        (get.clone(), question.into(), none.clone(), [401, 200, 200, 200, 200, 200]),
        (get.clone(), format!("{question}?include=answers"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (patch, question.into(), json!({"points": 2}), [401, 403, 403, 403, 409, 409]),
        (delete, question.into(), none.clone(), [401, 403, 403, 403, 409, 409]),
        (post.clone(), format!("{draft}/attempts"), none.clone(), [401, 404, 404, 403, 403, 403]),
        (get.clone(), format!("{exam}/attempts"), none.clone(), [401, 200, 200, 200, 200, 200]),
        (get.clone(), attempt.into(), none.clone(), [401, 403, 200, 403, 200, 200]),
        (put, format!("{attempt}/answers"), answers, [401, 403, 409, 403, 403, 403]),
        (post.clone(), format!("{attempt}/submit"), none.clone(), [401, 403, 200, 403, 403, 403]),
        (get.clone(), result.into(), none.clone(), [401, 403, 200, 403, 200, 200]),
        (get.clone(), format!("{exam}/results"), none.clone(), [401, 200, 200, 200, 200, 200]),
        (get.clone(), format!("{draft}/results"), none.clone(), [401, 404, 404, 404, 200, 200]),
        (get.clone(), format!("{exam}/results.csv"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (get, format!("{exam}/statistics"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (post, format!("{exam}/results/publish"), none, [401, 403, 403, 403, 202, 202]),
    ]
}

#[tokio::test]
async fn everybody_may_do_what_is_theirs_and_nothing_else() {
    let api = Api::start().await;
    let (mine, other) = (api.seed_with(2, 2).await, api.seed_with(1, 0).await);
    let student = api.log_in(&mine["studentEmails"][0]).await;
    let author = api.log_in(&mine["authorEmail"]).await;
    let people = [
        String::new(),
        api.log_in(&mine["studentEmails"][1]).await,
        student.clone(),
        api.log_in(&other["authorEmail"]).await,
        author.clone(),
        api.admin().await,
    ];
    let none = &Value::Null;
    let id = |value: &Value| value["id"].as_str().expect("an id").to_owned();
    let exam = format!("/exams/{}", mine["examId"].as_str().expect("an id"));
    let draft = json!({"title": "Draft", "description": "", "durationMinutes": 1});
    let draft = format!("/exams/{}", id(&api.expect(201, Method::POST, "/exams", &author, &draft).await));
    let sheet = api.expect(200, Method::GET, &format!("{exam}/questions"), &author, none).await;
    let question = format!("/questions/{}", id(&sheet["questions"][0]));
    let attempt = api.expect(201, Method::POST, &format!("{exam}/attempts"), &student, none).await;
    let attempt = format!("/attempts/{}", id(&attempt));
    let result = api.expect(200, Method::POST, &format!("{attempt}/submit"), &student, none).await;
    let result = format!("/results/{}", id(&result));

    for (method, path, body, expected) in table(&exam, &draft, &question, &attempt, &result) {
        let mut found = Vec::new();
        for token in &people {
            found.push(api.call(method.clone(), &path, token, &body).await.0);
        }
        assert_eq!(found, expected, "{method} {path}: nobody, other student, student, other author, author, admin");
    }
    api.stop().await;
}
