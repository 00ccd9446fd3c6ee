//! No answer key reaches a student: not in a body, a header, an error, the cache, the log.

use examhall_testkit::{DatabaseKind, Process, Redis, RedisOptions, World, eventually};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::TIMEOUT;

/// Texts and numbers that are in answer keys only.
const PLANTED: [&str; 4] = ["planted-accepted", "424242.4242", "0.131313", "planted-other"];
/// Names of fields that hold keys.
const FIELDS: [&str; 4] = ["\"correct\"", "\"tolerance\"", "\"accepted\"", "\"answer\":"];

/// An API as a process, so that its log can be read.
struct Server {
    world: World,
    process: Process,
    base: String,
    client: Client,
    /// Everything that a student was answered: heads and bodies.
    seen: std::sync::Mutex<String>,
}

impl Server {
    async fn start() -> Self {
        let mut world = World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await;
        world.set("RUST_LOG", "debug");
        let process = world.api();
        let line = process.line("Server running on port").await;
        let port = line.rsplit(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty()).expect("a port").to_owned();
        let base = format!("http://127.0.0.1:{port}/api/v1");
        Self { world, process, base, client: Client::new(), seen: std::sync::Mutex::default() }
    }

    async fn call(&self, method: Method, path: &str, token: &str, body: &Value) -> Value {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(token);
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.expect("an answer");
        answer.json().await.unwrap_or_default()
    }

    /// As [`call`](Self::call) by a student: all of the answer is kept.
    async fn as_student(&self, method: Method, path: &str, token: &str, body: &Value) -> Value {
        let request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(token).json(body);
        let answer = request.send().await.expect("an answer");
        let head = format!("{path} {:?}", answer.headers());
        let text = answer.text().await.expect("text");
        *self.seen.lock().expect("no panic") += &[head.as_str(), text.as_str(), ""].join("\n");
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn log_in(&self, email: &Value) -> String {
        let body = json!({"email": email, "password": "examhall-demo"});
        let answer = self.call(Method::POST, "/auth/login", "", &body).await;
        answer["accessToken"].as_str().expect("a token").to_owned()
    }
}

fn planted() -> Value {
    let choices = json!([{"id": "a", "text": "one", "correct": true}, {"id": "b", "text": "two", "correct": false}]);
    json!({"questions": [
        {"type": "singleChoice", "text": "?", "choices": choices},
        {"type": "multipleChoice", "text": "?", "choices": choices, "partialCredit": true},
        {"type": "trueFalse", "text": "?", "correct": false},
        {"type": "numeric", "text": "?", "answer": 424_242.424_2, "tolerance": 0.131_313},
        {"type": "shortText", "text": "?", "accepted": ["planted-accepted", "planted-other"]},
    ]})
}

#[tokio::test]
async fn no_planted_key_is_found_anywhere_a_student_looks() {
    let server = Server::start().await;
    let mut seeding = Process::spawn_binary("api", &["seed", "--students", "1", "--json"], server.world.settings());
    assert!(seeding.exit(TIMEOUT).await.success(), "{}", seeding.output());
    let seeded: Value = serde_json::from_str(seeding.output().lines().last().expect("a line")).expect("JSON");
    let author = server.log_in(&seeded["authorEmail"]).await;
    let student = server.log_in(&seeded["studentEmails"][0]).await;

    let exam =
        json!({"title": "Planted", "description": "", "durationMinutes": 5, "shuffle": true, "paper": "whileOpen"});
    let exam = server.call(Method::POST, "/exams", &author, &exam).await;
    let exam = format!("/exams/{}", exam["id"].as_str().expect("an id"));
    let sheet = server.call(Method::PUT, &format!("{exam}/questions"), &author, &planted()).await;
    assert_eq!(sheet["questions"][4]["accepted"][0], "planted-accepted", "the author sees it");
    server.call(Method::POST, &format!("{exam}/publish"), &author, &Value::Null).await;

    let questions = sheet["questions"].as_array().expect("questions");
    let one = format!("/questions/{}", questions[3]["id"].as_str().expect("an id"));
    let nothing = &json!({});
    for (method, path, body) in [
        (Method::GET, exam.clone(), nothing),
        (Method::GET, format!("{exam}/questions"), nothing),
        (Method::GET, format!("{exam}/questions?include=answers"), nothing),
        (Method::GET, one.clone(), nothing),
        (Method::GET, format!("{one}?include=answers"), nothing),
        (Method::PUT, format!("{exam}/questions"), &planted_shape()),
        (Method::PATCH, one.clone(), &json!({"points": "x"})),
        (Method::DELETE, one.clone(), nothing),
        (Method::GET, format!("{exam}/statistics"), nothing),
        (Method::GET, format!("{exam}/results.csv"), nothing),
    ] {
        server.as_student(method, &path, &student, body).await;
    }
    sit(&server, &exam, &student, &questions[3]["id"]).await;
    eventually("the result mail queued", TIMEOUT, async || {
        (server.world.redis.cmd::<i64>("ZCARD bull:email:prioritized").await > 0).then_some(())
    })
    .await;

    let redis = everything_in(&server.world.redis).await;
    assert!(redis.contains(&format!("exam:{}:questions", exam.trim_start_matches("/exams/"))), "the sheet was cached");
    let seen = server.seen.lock().expect("no panic").clone();
    let document = server.client.get(server.base.replace("/api/v1", "/openapi.json")).send().await.expect("an answer");
    let document = document.text().await.expect("text");
    for planted in PLANTED {
        for (place, text) in
            [("answers", &seen), ("Redis", &redis), ("the log", &server.process.output()), ("OpenAPI", &document)]
        {
            assert!(!text.contains(planted), "{planted} is in {place}");
        }
    }
    for field in FIELDS {
        assert!(!seen.contains(field), "{field} is in answers:\n{seen}");
        assert!(!redis.contains(field), "{field} is in Redis");
    }
}

/// A student sits the exam, with a mistake on the way.
async fn sit(server: &Server, exam: &str, student: &str, question: &Value) {
    let nothing = &json!({});
    let attempt = server.as_student(Method::POST, &format!("{exam}/attempts"), student, nothing).await;
    let attempt = format!("/attempts/{}", attempt["id"].as_str().expect("an id"));
    let answers = json!({"seq": 1, "answers": [{"questionId": question, "value": 1}]});
    for (method, path, body) in [
        (Method::PUT, format!("{attempt}/answers"), &answers),
        (Method::PUT, format!("{attempt}/answers"), &json!({"seq": 2, "answers": [{"questionId": 7}]})),
        (Method::GET, attempt.clone(), nothing),
        (Method::POST, format!("{attempt}/submit"), nothing),
        (Method::GET, format!("{exam}/results"), nothing),
    ] {
        server.as_student(method, &path, student, body).await;
    }
}

/// Keys and values of every kind that may hold a text.
async fn everything_in(redis: &Redis) -> String {
    let mut all = Vec::new();
    for key in redis.cmd::<Vec<String>>("KEYS *").await {
        all.push(match redis.cmd::<String>(&format!("TYPE {key}")).await.as_str() {
            "string" => redis.cmd::<String>(&format!("GET {key}")).await,
            "hash" => redis.cmd::<Vec<String>>(&format!("HVALS {key}")).await.join("\n"),
            _ => String::new(),
        });
        all.push(key);
    }
    all.join("\n")
}

/// A body of the right shape with nothing planted: what a student sends may come back.
fn planted_shape() -> Value {
    json!({"questions": [{"type": "numeric", "text": "?", "answer": 1}]})
}
