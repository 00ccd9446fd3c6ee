use reqwest::Method;
use serde_json::{Value, json};

use crate::Api;

fn exam() -> Value {
    json!({"title": "Algebra", "description": "Sums", "durationMinutes": 90, "paper": "whileOpen"})
}

fn questions() -> Value {
    let choices = json!([{"id": "a", "text": "four", "correct": true}, {"id": "b", "text": "five", "correct": false}]);
    json!({"questions": [
        {"type": "singleChoice", "text": "2 + 2?", "choices": choices},
        {"type": "multipleChoice", "text": "Which is 4?", "choices": choices, "partialCredit": true, "points": 2},
        {"type": "trueFalse", "text": "2 + 2 = 4", "correct": true},
        {"type": "numeric", "text": "17 / 4?", "answer": 4.25, "tolerance": 0.5},
        {"type": "shortText", "text": "IV in words?", "accepted": ["planted-key", "four"]},
    ]})
}

/// An API with an author and a student who have logged in.
async fn start() -> (Api, String, String) {
    let api = Api::start().await;
    let seeded = api.seed_while_open().await;
    let author = api.log_in(&seeded["authorEmail"]).await;
    let student = api.log_in(&seeded["studentEmails"][0]).await;
    (api, author, student)
}

#[tokio::test]
async fn an_author_writes_publishes_and_deletes_an_exam() {
    let (api, author, student) = start().await;
    let made = api.request(Method::POST, "/api/v1/exams").bearer_auth(&author).json(&exam());
    let made = made.send().await.expect("an answer");
    assert_eq!((made.status().as_u16(), &made.headers()["etag"]), (201, &"\"1.3\"".parse().expect("text")));
    let location = made.headers()["location"].to_str().expect("text").to_owned();
    let body: Value = made.json().await.expect("JSON");
    assert_eq!(location, format!("/api/v1/exams/{}", body["id"].as_str().expect("an id")));
    assert_eq!((&body["status"], &body["maxAttempts"], &body["passMark"]), (&json!("draft"), &json!(1), &json!(50)));

    let path = location.strip_prefix("/api/v1").expect("checked").to_owned();
    for forbidden in [&path, &format!("{path}/questions")] {
        api.expect(404, Method::GET, forbidden, &student, &Value::Null).await;
    }
    api.expect(404, Method::PATCH, &path, &student, &json!({"title": "Mine"})).await;
    api.expect(409, Method::POST, &format!("{path}/publish"), &author, &Value::Null).await;
    let written = api.expect(200, Method::PUT, &format!("{path}/questions"), &author, &questions()).await;
    assert_eq!(written["questions"][4]["accepted"], json!(["planted-key", "four"]));
    let published = api.expect(200, Method::POST, &format!("{path}/publish"), &author, &Value::Null).await;
    assert_eq!(published["status"], "published");

    let sheet = api.expect(200, Method::GET, &format!("{path}/questions"), &student, &Value::Null).await;
    assert_eq!(sheet["questions"].as_array().map(Vec::len), Some(5), "what was cached of the draft is gone");
    api.expect(200, Method::GET, &path, &student, &Value::Null).await;
    let closed = api.expect(200, Method::POST, &format!("{path}/close"), &author, &Value::Null).await;
    assert_eq!(closed["status"], "closed");
    api.expect(403, Method::GET, &format!("{path}/questions"), &student, &Value::Null).await;
    api.expect(204, Method::DELETE, &path, &author, &Value::Null).await;
    api.expect(404, Method::GET, &path, &author, &Value::Null).await;
    api.stop().await;
}

#[tokio::test]
async fn exams_are_listed_in_pages() {
    let (api, author, student) = start().await;
    for n in 0..3 {
        let body = json!({"title": format!("Exam {n}"), "description": "", "durationMinutes": 1});
        api.expect(201, Method::POST, "/exams", &author, &body).await;
    }
    let first = api.expect(200, Method::GET, "/exams?limit=3", &author, &Value::Null).await;
    let titles = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().expect("items").iter();
        items.map(|exam| exam["title"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(titles(&first), ["Exam 2", "Exam 1", "Exam 0"]);
    let cursor = first["nextCursor"].as_str().expect("another page");
    let rest = api.expect(200, Method::GET, &format!("/exams?cursor={cursor}"), &author, &Value::Null).await;
    assert_eq!((titles(&rest), &rest["nextCursor"]), (vec!["Demo exam".to_owned()], &Value::Null));
    let seen = api.expect(200, Method::GET, "/exams", &student, &Value::Null).await;
    assert_eq!(titles(&seen), ["Demo exam"], "no drafts");
    api.expect(400, Method::GET, "/exams?cursor=nonsense", &student, &Value::Null).await;
    api.expect(422, Method::GET, "/exams?limit=101", &student, &Value::Null).await;
    api.expect(403, Method::POST, "/exams", &student, &exam()).await;
    api.stop().await;
}

#[tokio::test]
async fn questions_are_written_one_by_one_and_seen_at_once() {
    let (api, author, student) = start().await;
    let seeded = api.expect(200, Method::GET, "/exams", &author, &Value::Null).await;
    let exam = format!("/exams/{}", seeded["items"][0]["id"].as_str().expect("an id"));
    let sheet = format!("{exam}/questions");
    api.expect(200, Method::GET, &sheet, &student, &Value::Null).await;
    let new = json!({"type": "numeric", "text": "17 / 4?", "answer": 4.25});
    let added = api.expect(201, Method::POST, &sheet, &author, &new).await;
    let path = format!("/questions/{}", added["id"].as_str().expect("an id"));
    let seen = api.expect(200, Method::GET, &sheet, &student, &Value::Null).await;
    assert_eq!(seen["questions"][2], json!({"id": added["id"], "type": "numeric", "text": "17 / 4?", "points": 1.0}));
    assert_eq!(api.expect(200, Method::GET, &path, &student, &Value::Null).await, seen["questions"][2]);
    api.expect(403, Method::GET, &format!("{path}?include=answers"), &student, &Value::Null).await;
    let full = api.expect(200, Method::GET, &format!("{path}?include=answers"), &author, &Value::Null).await;
    assert_eq!((&full["answer"], &full["tolerance"]), (&json!(4.25), &json!(0.0)));

    api.expect(403, Method::PATCH, &path, &student, &json!({"points": 9})).await;
    let changed = api.expect(200, Method::PATCH, &path, &author, &json!({"points": 3, "text": "17 : 4?"})).await;
    assert_eq!((&changed["answer"], &changed["points"]), (&json!(4.25), &json!(3.0)));
    let seen = api.expect(200, Method::GET, &path, &student, &Value::Null).await;
    assert_eq!(seen["text"], "17 : 4?");
    api.expect(204, Method::DELETE, &path, &author, &Value::Null).await;
    api.expect(404, Method::GET, &path, &student, &Value::Null).await;
    api.stop().await;
}

#[tokio::test]
async fn all_faults_of_a_set_of_questions_are_named_at_once() {
    let (api, author, _) = start().await;
    let made = api.expect(201, Method::POST, "/exams", &author, &exam()).await;
    let path = format!("/exams/{}/questions", made["id"].as_str().expect("an id"));
    let body = json!({"questions": [
        {"type": "singleChoice", "text": "", "choices": [{"id": "a", "text": "x", "correct": true}]},
        {"type": "numeric", "text": "?", "answer": 1, "accepted": ["x"]},
        {"type": "trueFalse", "text": "?", "correct": true},
        {"type": "shortText", "text": "?"},
    ]});
    let problem = api.expect(422, Method::PUT, &path, &author, &body).await;
    let errors = problem["errors"].as_array().expect("errors").iter();
    let pointers: Vec<_> = errors.map(|error| error["pointer"].as_str().expect("text")).collect();
    assert_eq!(
        pointers,
        ["/questions/0/text", "/questions/0/choices", "/questions/1/accepted", "/questions/3/accepted"]
    );
    for (body, pointer) in [
        (json!({"type": "essay", "text": "?"}), "/type"),
        (json!({"type": "trueFalse", "text": "?", "correct": "yes"}), "/correct"),
        (json!({"type": "trueFalse", "text": "a\u{0}b", "correct": true}), "/text"),
        (json!({"type": "trueFalse", "text": "?", "correct": true, "points": -1}), "/points"),
        (json!({"type": "trueFalse", "text": "?", "correct": true, "secret": 1}), "/secret"),
        (json!({"id": "7", "type": "trueFalse", "text": "?", "correct": true}), "/id"),
    ] {
        let problem = api.expect(422, Method::POST, &path, &author, &body).await;
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    api.stop().await;
}

#[tokio::test]
async fn once_students_have_begun_questions_are_locked_unless_forced() {
    let (api, author, student) = start().await;
    let seeded = api.expect(200, Method::GET, "/exams", &author, &Value::Null).await;
    let exam = format!("/exams/{}", seeded["items"][0]["id"].as_str().expect("an id"));
    api.expect(201, Method::POST, &format!("{exam}/attempts"), &student, &Value::Null).await;
    let new = json!({"type": "trueFalse", "text": "?", "correct": true});
    let path = format!("{exam}/questions");
    let locked = api.expect(409, Method::POST, &path, &author, &new).await;
    assert!(locked["detail"].as_str().expect("text").contains("force=true"), "{locked}");
    api.expect(409, Method::PUT, &path, &author, &questions()).await;
    api.expect(201, Method::POST, &format!("{path}?force=true"), &author, &new).await;
    api.expect(422, Method::POST, &format!("{path}?force=perhaps"), &author, &new).await;
    api.expect(409, Method::DELETE, &exam, &author, &Value::Null).await;
    api.stop().await;
}

#[tokio::test]
async fn a_change_of_an_old_version_of_the_questions_is_refused() {
    let (api, author, _) = start().await;
    let made = api.expect(201, Method::POST, "/exams", &author, &exam()).await;
    let path = format!("/api/v1/exams/{}/questions", made["id"].as_str().expect("an id"));
    let replace = async |etag: &str| {
        let request = api.request(Method::PUT, &path).bearer_auth(&author).header("if-match", etag);
        request.json(&questions()).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((replace("\"1\"").await, replace("\"1\"").await, replace("\"2-gzip\"").await), (200, 412, 200));
    api.stop().await;
}

#[tokio::test]
async fn a_questions_version_is_that_of_its_exam() {
    let (api, author, _) = start().await;
    let made = api.expect(201, Method::POST, "/exams", &author, &exam()).await;
    let exam = format!("/exams/{}", made["id"].as_str().expect("an id"));
    let written = api.expect(200, Method::PUT, &format!("{exam}/questions"), &author, &questions()).await;
    let path = |n: usize| format!("/questions/{}", written["questions"][n]["id"].as_str().expect("an id"));
    let etag = async |n: usize| {
        let request = api.request(Method::GET, &format!("/api/v1{}", path(n))).bearer_auth(&author);
        let answer = request.send().await.expect("an answer");
        answer.headers()["etag"].to_str().expect("text").to_owned()
    };
    assert_eq!((etag(0).await, etag(2).await), ("\"2\"".to_owned(), "\"2\"".to_owned()), "cached from now on");
    api.expect(200, Method::PATCH, &path(2), &author, &json!({"points": 3})).await;
    assert_eq!(etag(0).await, "\"3\"", "after a change of another question");
    api.expect(200, Method::PATCH, &exam, &author, &json!({"title": "Logic"})).await;
    let seen = etag(0).await;
    assert_eq!(seen, "\"4\"", "after a change of the exam");
    api.expect(201, Method::POST, &format!("{exam}/questions"), &author, &questions()["questions"][4]).await;
    api.expect(204, Method::DELETE, &path(2), &author, &Value::Null).await;
    let (old, seen) = (seen, etag(0).await);
    assert_eq!(seen, "\"6\"", "after one came and one went");
    let change = async |etag: &str| {
        let request = api.request(Method::PATCH, &format!("/api/v1{}", path(0))).bearer_auth(&author);
        let request = request.header("if-match", etag).json(&json!({"points": 2}));
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((change(&old).await, change(&seen).await), (412, 200), "what is seen can be changed");
    api.stop().await;
}
