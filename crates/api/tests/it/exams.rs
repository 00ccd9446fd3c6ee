use examhall_testkit::DatabaseKind;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{Api, problem};

struct Exam<'a> {
    api: &'a Api,
    path: String,
    author: String,
    student: String,
}

impl<'a> Exam<'a> {
    async fn seeded(api: &'a Api) -> Self {
        let seeded = api.seed_while_open().await;
        Self {
            api,
            path: format!("/api/v1/exams/{}", seeded["examId"].as_str().expect("an id")),
            author: api.log_in(&seeded["authorEmail"]).await,
            student: api.log_in(&seeded["studentEmails"][0]).await,
        }
    }

    async fn questions(&self, token: &str) -> Response {
        let path = format!("{}/questions", self.path);
        self.api.request(Method::GET, &path).bearer_auth(token).send().await.expect("an answer")
    }

    async fn change(&self, token: &str, body: &Value) -> Response {
        self.api.request(Method::PATCH, &self.path).bearer_auth(token).json(body).send().await.expect("an answer")
    }

    fn loads() -> u64 {
        let metrics = examhall_boot::metrics::Metrics::install().render();
        let line = metrics.lines().find(|line| line.starts_with(r#"store_loads_total{what="sheet"}"#));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    }
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
}

async fn one_miss_and_a_hundred_hits_load_once(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let exam = Exam::seeded(&api).await;
    let before = Exam::loads();
    let miss = exam.questions(&exam.student).await;
    assert_eq!(
        (header(&miss, "cache-status").as_str(), header(&miss, "etag").as_str()),
        ("examhall; fwd=miss", "\"1\"")
    );
    let sheet: Value = miss.json().await.expect("JSON");
    assert_eq!((&sheet["version"], sheet["questions"].as_array().map(Vec::len)), (&json!(1), Some(2)));
    for _ in 0..100 {
        let hit = exam.questions(&exam.student).await;
        assert_eq!((hit.status().as_u16(), header(&hit, "cache-status").as_str()), (200, "examhall; hit"));
        assert_eq!(hit.json::<Value>().await.expect("JSON"), sheet);
    }
    assert_eq!(Exam::loads() - before, 1);
    api.stop().await;
}

#[tokio::test]
async fn one_miss_and_a_hundred_hits_load_once_on_sqlite() {
    one_miss_and_a_hundred_hits_load_once(DatabaseKind::Sqlite).await;
}

#[tokio::test]
async fn one_miss_and_a_hundred_hits_load_once_on_postgres() {
    one_miss_and_a_hundred_hits_load_once(DatabaseKind::Postgres).await;
}

#[tokio::test]
async fn a_change_is_seen_at_once() {
    let api = Api::start().await;
    let exam = Exam::seeded(&api).await;
    exam.questions(&exam.student).await;
    let changed = exam.change(&exam.author, &json!({"title": "Logic", "closesAt": "2000-01-01T00:00:00Z"})).await;
    assert_eq!((changed.status().as_u16(), header(&changed, "etag").as_str()), (200, "\"2.3\""));
    let body: Value = changed.json().await.expect("JSON");
    assert_eq!((&body["title"], &body["closesAt"]), (&json!("Logic"), &json!("2000-01-01T00:00:00.000Z")));
    problem(exam.questions(&exam.student).await, 403).await;

    exam.change(&exam.author, &json!({"closesAt": null})).await;
    let open = exam.questions(&exam.student).await;
    assert_eq!((open.status().as_u16(), header(&open, "etag").as_str()), (200, "\"3\""));
    api.stop().await;
}

#[tokio::test]
async fn who_has_the_current_version_is_told_so() {
    let api = Api::start().await;
    let exam = Exam::seeded(&api).await;
    exam.questions(&exam.student).await;
    let path = format!("{}/questions", exam.path);
    let ask = async |etag: &str| {
        let request = api.request(Method::GET, &path).bearer_auth(&exam.student).header("if-none-match", etag);
        request.send().await.expect("an answer")
    };
    let known = ask("\"9\", \"1\"").await;
    assert_eq!((known.status().as_u16(), header(&known, "etag").as_str()), (304, "\"1\""));
    assert!(known.bytes().await.expect("a body").is_empty());
    assert_eq!(ask("\"2\"").await.status(), 200);
    api.stop().await;
}

#[tokio::test]
async fn who_takes_gzip_is_sent_the_stored_bytes_of_it() {
    let api = Api::start().await;
    let exam = Exam::seeded(&api).await;
    exam.change(&exam.author, &json!({"description": "worth it ".repeat(200)})).await;
    let plain = api.request(Method::GET, &exam.path).bearer_auth(&exam.student).send().await.expect("an answer");
    assert_eq!(header(&plain, "content-encoding"), "");
    assert!(header(&plain, "vary").starts_with("accept-encoding"), "no cache serves it to clients without gzip");
    let plain = plain.bytes().await.expect("a body");
    let ask = async |etag: &str| {
        let request = api.request(Method::GET, &exam.path).bearer_auth(&exam.student);
        let request = request.header("accept-encoding", "gzip, br").header("if-none-match", etag);
        request.send().await.expect("an answer")
    };
    let sent = ask("\"2.3\"").await; // known to it as the plain bytes, which these are not
    let headers = ["content-encoding", "etag", "cache-status"].map(|name| header(&sent, name));
    assert_eq!((sent.status().as_u16(), headers), (200, ["gzip", "\"2.3-gzip\"", "examhall; hit"].map(Into::into)));
    let (gzip, mut unpacked) = (sent.bytes().await.expect("a body"), Vec::new());
    std::io::copy(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut unpacked).expect("gzip");
    assert_eq!(unpacked, plain);
    let known = ask("\"2.3-gzip\"").await;
    assert_eq!((known.status().as_u16(), header(&known, "etag").as_str()), (304, "\"2.3-gzip\""));
    api.stop().await;
}

#[tokio::test]
async fn a_change_of_an_old_version_is_refused() {
    let api = Api::start().await;
    let exam = Exam::seeded(&api).await;
    let change = async |etag: &str| {
        let request = api.request(Method::PATCH, &exam.path).bearer_auth(&exam.author).header("if-match", etag);
        request.json(&json!({"title": "Logic"})).send().await.expect("an answer")
    };
    assert_eq!(change("\"1-gzip\"").await.status(), 200);
    problem(change("\"1\"").await, 412).await;
    for bad in ["nonsense", "1", "W/\"2\"", "\"3\", W/\"2\"", "\"\u{fffd}\"", ""] {
        problem(change(bad).await, 412).await;
    }
    assert_eq!(change("\"1\", \"2-gzip\"").await.status(), 200, "one of a list");
    assert_eq!(change("*").await.status(), 200);
    api.stop().await;
}

#[tokio::test]
async fn only_who_may_reads_and_changes() {
    let api = Api::start().await;
    let exam = Exam::seeded(&api).await;
    let nobody = api.get(&format!("{}/questions", exam.path)).await;
    assert_eq!(header(&nobody, "www-authenticate"), "Bearer");
    problem(nobody, 401).await;
    problem(exam.questions("no.such.token").await, 401).await;
    problem(exam.change(&exam.student, &json!({"title": "Mine"})).await, 403).await;
    let unknown = "/api/v1/exams/00000000-0000-0000-0000-000000000000/questions";
    problem(api.request(Method::GET, unknown).bearer_auth(&exam.student).send().await.expect("an answer"), 404).await;
    api.stop().await;
}

#[tokio::test]
async fn a_change_that_makes_no_sense_is_refused() {
    let api = Api::start().await;
    let exam = Exam::seeded(&api).await;
    let ends_first = json!({"opensAt": "2026-01-02T00:00:00Z", "closesAt": "2026-01-01T00:00:00Z"});
    for (body, pointer) in [
        (ends_first, "/closesAt"),
        (json!({"passMark": 101}), "/passMark"),
        (json!({"opensAt": "tomorrow"}), "/opensAt"),
        (json!({"status": "published"}), "/status"),
    ] {
        let found = problem(exam.change(&exam.author, &body).await, 422).await;
        assert_eq!(found["errors"][0]["pointer"], pointer, "{body}");
    }
    api.stop().await;
}

#[tokio::test]
async fn no_answer_key_is_sent_or_cached() {
    let api = Api::start().await;
    let exam = Exam::seeded(&api).await;
    let sent = exam.questions(&exam.student).await.text().await.expect("a body");
    let key = format!("exam:{}:questions", exam.path.rsplit('/').next().expect("an id"));
    let cached: Vec<u8> = api.world.redis.cmd(&format!("GET {key}")).await;
    let cached = String::from_utf8_lossy(&cached).into_owned(); // with its compressed form
    for text in [sent, cached] {
        assert!(text.contains("How much is") && !text.contains("correct"), "{text}");
    }
    api.stop().await;
}
