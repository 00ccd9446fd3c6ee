//! `Idempotency-Key` of exams and questions.

use examhall_testkit::DatabaseKind;
use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{Api, on_both, problem};

on_both!(
    a_repeated_request_gets_the_first_answer,
    of_twenty_equal_requests_at_once_one_is_done,
    a_failed_request_does_not_use_its_key_up,
    an_import_and_a_copy_are_made_once,
);

/// Status, `Location`, `ETag`, content type and body.
type Answer = (u16, [String; 3], String);

async fn post(api: &Api, path: &str, token: &str, key: &str, body: &Value) -> Response {
    let request = api.request(Method::POST, &format!("/api/v1{path}")).bearer_auth(token);
    request.header("idempotency-key", key).json(body).send().await.expect("an answer")
}

async fn answer(response: Response) -> Answer {
    let header = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
    let headers = ["location", "etag", "content-type"].map(header);
    (response.status().as_u16(), headers, response.text().await.expect("a body"))
}

fn draft(title: &str) -> Value {
    json!({"title": title, "description": "", "durationMinutes": 60})
}

fn question(text: &str) -> Value {
    json!({"type": "numeric", "text": text, "answer": 4})
}

async fn a_repeated_request_gets_the_first_answer(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let author = api.log_in(&api.seed().await["authorEmail"]).await;
    let first = answer(post(&api, "/exams", &author, "k", &draft("Algebra")).await).await;
    assert_eq!((first.0, first.1[1].as_str(), first.1[2].as_str()), (201, "\"1.3\"", "application/json"));
    let exam = first.1[0].strip_prefix("/api/v1").expect("under the API").to_owned();
    let plain = api.expect(201, Method::POST, "/exams", &author, &draft("Algebra")).await;
    let keys = |body: &Value| body.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&plain), keys(&serde_json::from_str(&first.2).expect("JSON")), "as without a key");

    // Written in another way, with defaults, after the exam was changed.
    api.expect(200, Method::PATCH, &exam, &author, &json!({"title": "Logic"})).await;
    let mut same = draft("Algebra");
    (same["maxAttempts"], same["opensAt"]) = (json!(1), Value::Null);
    assert_eq!(answer(post(&api, "/exams", &author, " k ", &same).await).await, first);
    assert_eq!(problem(post(&api, "/exams", &author, "k", &draft("Other")).await, 422).await["status"], 422);

    let questions = format!("{exam}/questions");
    problem(post(&api, &questions, &author, "k", &question("2 + 2")).await, 422).await;
    let added = answer(post(&api, &questions, &author, "q", &question("2 + 2")).await).await;
    assert_eq!(added.0, 201);
    assert_eq!(answer(post(&api, &questions, &author, "q", &question("2 + 2")).await).await, added);
    problem(post(&api, &questions, &author, "q", &question("2 + 3")).await, 422).await;
    let all = api.expect(200, Method::GET, &format!("{questions}?include=answers"), &author, &Value::Null).await;
    assert_eq!(all["questions"].as_array().map(Vec::len), Some(1));

    let admin = api.admin().await;
    assert_ne!(answer(post(&api, "/exams", &admin, "k", &draft("Algebra")).await).await.1, first.1, "another user");
    api.stop().await;
}

async fn of_twenty_equal_requests_at_once_one_is_done(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let author = api.log_in(&api.seed().await["authorEmail"]).await;
    let (exams, draft) = (api.expect(200, Method::GET, "/exams?limit=100", &author, &Value::Null).await, draft("A"));
    let before = exams["items"].as_array().map_or(0, Vec::len);
    let all = join_all((0..20).map(async |_| answer(post(&api, "/exams", &author, "k", &draft).await).await)).await;
    assert!(all.iter().all(|answer| *answer == all[0]) && all[0].0 == 201, "{all:?}");
    let exams = api.expect(200, Method::GET, "/exams?limit=100", &author, &Value::Null).await;
    assert_eq!(exams["items"].as_array().map_or(0, Vec::len), before + 1);

    let path = format!("{}/questions", all[0].1[0].strip_prefix("/api/v1").expect("under the API"));
    let question = question("2 + 2");
    let add = async |_| {
        let request = api.request(Method::POST, &format!("/api/v1{path}")).bearer_auth(&author);
        let request = request.header("idempotency-key", "q").header("if-match", "\"1\"");
        answer(request.json(&question).send().await.expect("an answer")).await
    };
    let all = join_all((0..20).map(add)).await;
    assert!(all.iter().all(|answer| *answer == all[0]) && all[0].0 == 201, "{all:?}");
    let sheet = api.expect(200, Method::GET, &format!("{path}?include=answers"), &author, &Value::Null).await;
    assert_eq!((sheet["questions"].as_array().map(Vec::len), &sheet["version"]), (Some(1), &json!(2)));
    api.stop().await;
}

async fn a_failed_request_does_not_use_its_key_up(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let seeded = api.seed().await;
    let (author, student) = (api.log_in(&seeded["authorEmail"]).await, api.log_in(&seeded["studentEmails"][0]).await);
    let exam = format!("/exams/{}", seeded["examId"].as_str().expect("an id"));
    problem(post(&api, "/exams", &student, "k", &draft("A")).await, 403).await;
    problem(post(&api, "/exams", &author, "k", &json!({"title": ""})).await, 422).await;
    problem(post(&api, "/exams", &author, &"k".repeat(201), &draft("A")).await, 400).await;
    assert_eq!(post(&api, "/exams", &author, "k", &draft("A")).await.status(), 201);

    api.expect(201, Method::POST, &format!("{exam}/attempts"), &student, &Value::Null).await;
    let path = format!("{exam}/questions");
    problem(post(&api, &path, &author, "q", &question("2 + 2")).await, 409).await;
    let added = answer(post(&api, &format!("{path}?force=true"), &author, "q", &question("2 + 2")).await).await;
    assert_eq!(added.0, 201);
    // The first answer, though without `force` it would be refused.
    assert_eq!(answer(post(&api, &path, &author, "q", &question("2 + 2")).await).await, added);
    api.stop().await;
}

async fn an_import_and_a_copy_are_made_once(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let seeded = api.seed().await;
    let author = api.log_in(&seeded["authorEmail"]).await;
    let exam = format!("/exams/{}", seeded["examId"].as_str().expect("an id"));
    let count = async || {
        let exams = api.expect(200, Method::GET, "/exams?limit=100", &author, &Value::Null).await;
        exams["items"].as_array().map_or(0, Vec::len)
    };
    let before = count().await;
    let mut document = api.expect(200, Method::GET, &format!("{exam}/export"), &author, &Value::Null).await;
    let all = join_all((0..5).map(async |_| answer(post(&api, "/exams/import", &author, "i", &document).await).await));
    let all = all.await;
    assert!(all.iter().all(|answer| *answer == all[0]) && all[0].0 == 201, "{all:?}");
    document["omitted"] = json!(["/exam/accessCode"]); // says nothing of what is asked
    assert_eq!(answer(post(&api, "/exams/import", &author, "i", &document).await).await, all[0]);
    document["questions"][0]["points"] = json!(7);
    problem(post(&api, "/exams/import", &author, "i", &document).await, 422).await;

    let duplicate = format!("{exam}/duplicate");
    let first = answer(post(&api, &duplicate, &author, "d", &json!({"title": "B"})).await).await;
    assert_eq!(answer(post(&api, &duplicate, &author, "d", &json!({"title": "B"})).await).await, first);
    problem(post(&api, &duplicate, &author, "d", &json!({"title": "C"})).await, 422).await;
    assert_eq!(count().await, before + 2);
    api.stop().await;
}
