use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Api, problem};

const SIGN_UP: &str = "/api/v1/auth/signup";

async fn raw(api: &Api, body: impl Into<reqwest::Body>) -> reqwest::Response {
    let request = api.request(Method::POST, SIGN_UP).header("content-type", "application/json");
    request.body(body).send().await.expect("an answer")
}

fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().into_iter().flatten().filter_map(|error| error["pointer"].as_str()).collect()
}

#[tokio::test]
async fn every_bad_body_gets_a_problem_and_stores_nothing() {
    let api = Api::start().await;
    problem(raw(&api, "").await, 400).await;
    problem(raw(&api, "{\"email\":").await, 400).await;
    problem(raw(&api, "\u{feff}{}").await, 400).await;

    let cases = [
        (json!({"email": 7, "name": "Ada", "password": "correct horse"}), vec!["/email"]),
        (json!({"email": "ada@example.com", "name": "Ada"}), vec!["/password"]),
        (json!({"email": "a@b.example", "name": "Ada", "password": "correct horse", "role": "admin"}), vec!["/role"]),
        (
            json!({"email": "a@b\r\nBcc: x@y", "name": "A\r\nB", "password": "short"}),
            vec!["/email", "/name", "/password"],
        ),
        (json!({"email": "ada@example.com", "name": "", "password": "x".repeat(1025)}), vec!["/name", "/password"]),
        (json!({"email": "ada@example.com", "name": "n".repeat(101), "password": "correct horse"}), vec!["/name"]),
        (json!({}), vec!["/email", "/name", "/password"]),
        (json!({"email": 7, "password": "short", "age": 7}), vec!["/age", "/email", "/name", "/password"]),
        (json!([]), vec![""]),
        (json!(["ada@example.com", "Ada", "correct horse"]), vec![""]),
    ];
    for (body, expected) in cases {
        let mut found = problem(api.post(SIGN_UP, &body).await, 422).await;
        let mut fields = pointers(&found);
        fields.sort_unstable();
        fields.dedup();
        assert_eq!(fields, expected, "{body}");
        found["errors"].as_array_mut().expect("errors").retain(|error| error["detail"] == "");
        assert_eq!(found["errors"], json!([]), "each says what is wrong");
    }
    assert_eq!(api.world.redis.cmd::<i64>("EXISTS bull:email:id").await, 0, "no mail");
    let log_in = json!({"email": "ada@example.com", "password": "correct horse"});
    problem(api.post("/api/v1/auth/login", &log_in).await, 401).await;
    api.stop().await;
}

#[tokio::test]
async fn a_body_of_a_megabyte_is_the_largest() {
    let api = Api::start().await;
    let largest = format!("{}{}", "{", " ".repeat(1024 * 1024 - 1));
    problem(raw(&api, largest.clone()).await, 400).await;
    problem(raw(&api, largest + " ").await, 413).await;
    api.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_after_20_seconds() {
    let api = Api::start().await;
    let mut stream = TcpStream::connect(api.base.trim_start_matches("http://")).await.expect("connected");
    let head = format!(
        "POST {SIGN_UP} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: \
         100\r\n\r\n{{\"email\""
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    let read = tokio::time::timeout(crate::TIMEOUT, stream.read_to_string(&mut answer));
    read.await.expect("an answer in time").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("application/problem+json"), "{answer}");
    api.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_json_by_name_is_refused() {
    let api = Api::start().await;
    let form = api.request(Method::POST, SIGN_UP).body("email=a").header("content-type", "text/plain");
    problem(form.send().await.expect("an answer"), 415).await;
    problem(api.request(Method::POST, SIGN_UP).body("{}").send().await.expect("an answer"), 415).await;
    api.stop().await;
}

#[tokio::test]
async fn what_stands_behind_the_question_mark_is_pointed_at_too() {
    let api = Api::start().await;
    let (seeded, admin) = (api.seed().await, api.admin().await);
    let exam = format!("/exams/{}", seeded["examId"].as_str().expect("an id"));
    let question = json!({"type": "trueFalse", "text": "?", "correct": true});
    for (method, path, body, pointer) in [
        (Method::GET, format!("{exam}/questions?include=everything"), &Value::Null, "/include"),
        (Method::POST, format!("{exam}/questions?force=1"), &question, "/force"),
        (Method::GET, "/exams?limit=ten".to_owned(), &Value::Null, "/limit"),
        (Method::GET, "/emails?limit=ten".to_owned(), &Value::Null, "/limit"),
        (Method::GET, "/emails?state=lost".to_owned(), &Value::Null, "/state"),
        (Method::GET, "/emails?state=failed&state=active".to_owned(), &Value::Null, "/state"),
    ] {
        let problem = api.expect(422, method, &path, &admin, body).await;
        assert_eq!(pointers(&problem), [pointer], "{path}: {problem}");
    }
    api.stop().await;
}

#[tokio::test]
async fn a_list_in_place_of_an_object_is_refused_wherever_it_stands() {
    let api = Api::start().await;
    let (seeded, admin) = (api.seed().await, api.admin().await);
    let student = api.log_in(&seeded["studentEmails"][0]).await;
    let exam = format!("/exams/{}", seeded["examId"].as_str().expect("an id"));
    let choice = json!({"type": "singleChoice", "text": "?", "choices": [["a", "four", true]]});
    let attempt = api.expect(201, Method::POST, &format!("{exam}/attempts"), &student, &Value::Null).await;
    let attempt = format!("/attempts/{}/answers", attempt["id"].as_str().expect("an id"));
    for (method, path, body, pointer) in [
        (Method::PATCH, exam.clone(), json!(["Mine", null, null, null, null, null, null, null]), ""),
        (Method::PUT, format!("{exam}/questions"), json!({"questions": [[]]}), "/questions/0"),
        (Method::POST, format!("{exam}/questions"), choice, "/choices/0"),
        (Method::PUT, attempt.clone(), json!({"seq": 1, "answers": [["x", null, true]]}), "/answers/0"),
    ] {
        let token = if path == attempt { &student } else { &admin };
        let problem = api.expect(422, method, &path, token, &body).await;
        assert_eq!(pointers(&problem), [pointer], "{path}: {problem}");
    }
    api.stop().await;
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems_too() {
    let api = Api::start().await;
    problem(api.get("/nowhere").await, 404).await;
    problem(api.get("/api/v1/nowhere").await, 404).await;
    problem(api.get("/api/v1/exams/not-a-uuid/questions").await, 401).await;
    problem(api.request(Method::DELETE, SIGN_UP).send().await.expect("an answer"), 405).await;
    api.stop().await;
}
