use reqwest::Method;
use serde_json::{Value, json};

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
async fn every_bad_body_is_answered_by_a_problem_that_points_at_it_and_nothing_is_stored() {
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
        (json!([]), vec![""]),
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
async fn a_body_that_is_not_json_by_name_is_refused() {
    let api = Api::start().await;
    let form = api.request(Method::POST, SIGN_UP).body("email=a").header("content-type", "text/plain");
    problem(form.send().await.expect("an answer"), 415).await;
    problem(api.request(Method::POST, SIGN_UP).body("{}").send().await.expect("an answer"), 415).await;
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
