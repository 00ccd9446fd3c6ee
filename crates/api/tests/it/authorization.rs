//! Authorization: every operation, as each kind of person.

use std::time::Duration;

use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    Api,
    schemas::{faults, resolve},
};

/// The roles of those who ask, in the order of the rows.
const ROLES: [&str; 8] = ["nobody", "student", "student", "author", "author", "viewer", "operator", "admin"];

/// What they are answered, two students and two authors among them: the second ones are those whose exam it is.
type Row = (Method, String, Value, [u16; 8]);

/// What the rows are about: paths, and the id of the second student.
struct Subjects {
    user: String,
    student: String,
    exam: String,
    /// An exam that the second student sits.
    sat: String,
    draft: String,
    question: String,
    /// Submitted.
    attempt: String,
    result: String,
}

/// Of exams, viewers and operators may do what another author may, and not write any.
fn table(about: &Subjects) -> Vec<Row> {
    let rows = account(&about.user).into_iter().chain(exams(about)).chain(more_of_exams(about));
    rows.map(|(method, path, body, [nobody, other, student, other_author, author, admin])| {
        let looker = if other_author == 201 { 403 } else { other_author };
        (method, path, body, [nobody, other, student, other_author, author, looker, looker, admin])
    })
    .collect()
}

/// What everybody may do to their own account.
fn account(user: &str) -> Vec<ExamRow> {
    let (get, post, patch, delete, none) = (Method::GET, Method::POST, Method::PATCH, Method::DELETE, Value::Null);
    let new_email = json!({"email": "new@example.com", "password": "not mine"});
    let passwords = json!({"currentPassword": "not mine", "newPassword": "battery staple"});
    let unknown_session = "/users/me/sessions/00000000-0000-7000-8000-000000000000";
    vec![
        (get.clone(), "/users/me".into(), none.clone(), [401, 200, 200, 200, 200, 200]),
        (patch, "/users/me".into(), json!({"name": "Ada"}), [401, 200, 200, 200, 200, 200]),
        (get.clone(), "/users/me/sessions".into(), none.clone(), [401, 200, 200, 200, 200, 200]),
        (delete.clone(), "/users/me/sessions".into(), none.clone(), [401, 204, 204, 204, 204, 204]),
        (delete.clone(), unknown_session.into(), none.clone(), [401, 404, 404, 404, 404, 404]),
        (post.clone(), "/users/me/email".into(), new_email, [401, 422, 422, 422, 422, 422]),
        (get.clone(), "/users/me/export".into(), none.clone(), [401, 200, 200, 200, 200, 200]),
        (delete, "/users/me".into(), json!({"password": "not mine"}), [401, 422, 422, 422, 422, 422]),
        (post, "/users/me/password".into(), passwords, [401, 422, 422, 422, 422, 422]),
        (get, format!("{user}/profile"), none, [401, 200, 200, 200, 200, 200]),
    ]
}

/// Files of questions to be imported, which are no JSON.
const FILES: &[(&str, &str)] = &[
    ("text/plain", "::Sum:: 2 + 2 = 4 {TRUE}"),
    (
        "application/xml",
        "<quiz><question type=\"truefalse\"><questiontext><text>2 + 2 = 4</text></questiontext>\
         <answer fraction=\"100\"><text>true</text></answer><answer fraction=\"0\"><text>false</text></answer>\
         </question></quiz>",
    ),
];

type ExamRow = (Method, String, Value, [u16; 6]);

fn exams(about: &Subjects) -> Vec<ExamRow> {
    let Subjects { student, exam, sat, draft, question, attempt, result, .. } = about;
    let more_time = format!("{exam}/accommodations/{student}");
    let soon = examhall_core::Timestamp::from(std::time::SystemTime::now()).plus(Duration::from_mins(5));
    let (get, post, patch, put, delete) = (Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE);
    let (none, title) = (Value::Null, json!({"title": "Mine"}));
    let question_body = json!({"type": "trueFalse", "text": "?", "correct": true});
    let answers = json!({"seq": 1, "answers": []});
    let new_exam = json!({"title": "New", "description": "", "durationMinutes": 1});
    vec![
        (get.clone(), "/exams".into(), none.clone(), [401, 200, 200, 200, 200, 200]),
        (post.clone(), "/exams".into(), new_exam, [401, 403, 403, 201, 201, 201]),
        (get.clone(), exam.clone(), none.clone(), [401, 200, 200, 200, 200, 200]),
        (get.clone(), draft.clone(), none.clone(), [401, 404, 404, 404, 200, 200]),
        (patch.clone(), exam.clone(), title.clone(), [401, 403, 403, 403, 200, 200]),
        (patch.clone(), draft.clone(), title, [401, 404, 404, 404, 200, 200]),
        (delete.clone(), exam.clone(), none.clone(), [401, 403, 403, 403, 409, 409]),
        (post.clone(), format!("{exam}/publish"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (post.clone(), format!("{draft}/publish"), none.clone(), [401, 404, 404, 404, 409, 409]),
        (post.clone(), format!("{draft}/close"), none.clone(), [401, 404, 404, 404, 409, 409]),
        (post.clone(), format!("{draft}/reopen"), none.clone(), [401, 404, 404, 404, 409, 409]),
        (post.clone(), format!("{exam}/reopen"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (get.clone(), format!("{exam}/audit"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (get.clone(), format!("{exam}/accommodations"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (put.clone(), more_time.clone(), json!({"minutes": 5}), [401, 403, 403, 403, 200, 200]),
        (delete.clone(), more_time, none.clone(), [401, 403, 403, 403, 204, 404]),
        (put.clone(), format!("{attempt}/deadline"), json!({"deadline": soon}), [401, 403, 403, 403, 409, 409]),
        (get.clone(), format!("{exam}/questions"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (get.clone(), format!("{sat}/questions"), none.clone(), [401, 403, 200, 403, 200, 200]),
        (get.clone(), format!("{draft}/questions"), none.clone(), [401, 404, 404, 404, 200, 200]),
        (get.clone(), format!("{exam}/questions?include=answers"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (get.clone(), format!("{draft}/questions?include=answers"), none.clone(), [401, 404, 404, 404, 200, 200]),
        (put.clone(), format!("{exam}/questions"), json!({"questions": []}), [401, 403, 403, 403, 409, 409]),
        (post.clone(), format!("{exam}/questions"), question_body, [401, 403, 403, 403, 409, 409]),
        (get.clone(), question.clone(), none.clone(), [401, 403, 403, 403, 200, 200]),
        (get.clone(), format!("{question}?include=answers"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (patch, question.clone(), json!({"points": 2}), [401, 403, 403, 403, 409, 409]),
        (delete, question.clone(), none.clone(), [401, 403, 403, 403, 409, 409]),
        (post.clone(), format!("{draft}/attempts"), none.clone(), [401, 404, 404, 403, 403, 403]),
        (post.clone(), format!("{exam}/attempts"), none.clone(), [401, 201, 409, 403, 403, 403]),
        (get.clone(), format!("{exam}/attempts"), none.clone(), [401, 200, 200, 200, 200, 200]),
        (get.clone(), format!("{exam}/attempts.csv"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (get.clone(), attempt.clone(), none.clone(), [401, 403, 200, 403, 200, 200]),
        (put, format!("{attempt}/answers"), answers.clone(), [401, 403, 409, 403, 403, 403]),
        (Method::PATCH, format!("{attempt}/answers"), answers, [401, 403, 409, 403, 403, 403]),
        (post.clone(), format!("{attempt}/submit"), none.clone(), [401, 403, 200, 403, 403, 403]),
        (get.clone(), result.clone(), none.clone(), [401, 403, 200, 403, 200, 200]),
        (get.clone(), format!("{exam}/results"), none.clone(), [401, 200, 200, 200, 200, 200]),
        (get.clone(), format!("{draft}/results"), none.clone(), [401, 404, 404, 404, 200, 200]),
        (get.clone(), format!("{exam}/results.csv"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (get, format!("{exam}/statistics"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (post, format!("{exam}/results/publish"), none, [401, 403, 403, 403, 202, 202]),
    ]
}

/// The same, of what was added later.
fn more_of_exams(about: &Subjects) -> Vec<ExamRow> {
    let Subjects { exam, result, .. } = about;
    let (get, post, none) = (Method::GET, Method::POST, Value::Null);
    let roster = json!({"students": [{"email": "ada@example.com"}]});
    let new = json!({"title": "New", "description": "", "durationMinutes": 1});
    let document = json!({"format": "examhall-exam", "version": 1, "exam": new, "questions": []});
    vec![
        (post.clone(), format!("{exam}/regrade?dryRun=true"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (post.clone(), format!("{exam}/regrade"), none.clone(), [401, 403, 403, 403, 202, 202]),
        (get.clone(), format!("{exam}/regrade"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (get.clone(), format!("{result}/history"), none.clone(), [401, 403, 200, 403, 200, 200]),
        (post.clone(), format!("{exam}/seat"), json!({"code": "spring"}), [401, 200, 200, 403, 403, 403]),
        (Method::PUT, format!("{exam}/roster"), roster.clone(), [401, 403, 403, 403, 200, 200]),
        (post.clone(), format!("{exam}/roster"), roster, [401, 403, 403, 403, 200, 200]),
        (post.clone(), format!("{exam}/invitations"), none.clone(), [401, 403, 403, 403, 202, 202]),
        (post.clone(), "/exams/import".into(), document, [401, 403, 403, 201, 201, 201]),
        (post, format!("{exam}/duplicate"), none.clone(), [401, 403, 403, 403, 201, 201]),
        (get.clone(), format!("{exam}/export"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (get.clone(), format!("{exam}/export?format=gift"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (get.clone(), format!("{exam}/export?format=moodle-xml"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (get, format!("{exam}/roster"), none.clone(), [401, 403, 403, 403, 200, 200]),
        (Method::DELETE, format!("{exam}/roster/ada@example.com"), none, [401, 403, 403, 403, 204, 404]),
    ]
}

/// What only those may do who run the platform.
fn administration(user: &str) -> Vec<Row> {
    let (get, post, none) = (Method::GET, Method::POST, Value::Null);
    let mail = json!({"to": "ada@example.com", "subject": "Hello", "html": "<p>Hello</p>"});
    let unknown = "/emails/m-00000000-0000-7000-8000-000000000000";
    let unknown_user = "/users/00000000-0000-7000-8000-000000000000";
    let invitation = json!({"email": "grace@example.com", "name": "Grace", "role": "author"});
    let for_viewers = |status| [401, 403, 403, 403, 403, status, status, status];
    let for_operators = |status| [401, 403, 403, 403, 403, 403, status, status];
    let for_admins = |status| [401, 403, 403, 403, 403, 403, 403, status];
    vec![
        (post.clone(), "/emails".into(), mail, for_admins(202)),
        (get.clone(), "/emails".into(), none.clone(), for_viewers(200)),
        (post.clone(), "/emails/retry-failed".into(), none.clone(), for_operators(202)),
        (get.clone(), unknown.into(), none.clone(), for_viewers(404)),
        (get.clone(), format!("{unknown}/timeline"), none.clone(), for_viewers(404)),
        (post.clone(), "/emails/actions".into(), json!({"action": "retry", "q": "state:failed"}), for_operators(200)),
        (Method::DELETE, unknown.into(), none.clone(), for_operators(404)),
        (post.clone(), format!("{unknown}/retry"), none.clone(), for_operators(404)),
        (post.clone(), format!("{unknown}/promote"), none.clone(), for_operators(404)),
        (post.clone(), format!("{unknown}/resend"), none.clone(), for_operators(404)),
        (get.clone(), "/suppressions".into(), none.clone(), for_viewers(200)),
        (post.clone(), "/suppressions".into(), json!({"address": "ada@example.com"}), for_operators(201)),
        (post.clone(), "/suppressions/confirm".into(), json!({}), for_operators(200)),
        (get.clone(), "/suppressions/bob@example.com".into(), none.clone(), for_viewers(404)),
        (Method::DELETE, "/suppressions/bob@example.com".into(), none.clone(), for_operators(404)),
        (get.clone(), "/emails/failures".into(), none.clone(), for_viewers(200)),
        (get.clone(), "/emails/failures/0000000000000000".into(), none.clone(), for_viewers(404)),
        (post.clone(), "/emails/failures/0000000000000000/retry".into(), none.clone(), for_operators(404)),
        (post.clone(), "/emails/failures/0000000000000000/remove".into(), none.clone(), for_operators(404)),
        (get.clone(), "/emails/history".into(), none.clone(), for_viewers(200)),
        (get.clone(), "/mailers".into(), none.clone(), for_viewers(200)),
        (get.clone(), "/queue".into(), none.clone(), for_viewers(200)),
        (post.clone(), "/queue/pause".into(), none.clone(), for_operators(204)),
        (post.clone(), "/queue/resume".into(), none.clone(), for_operators(204)),
        (get.clone(), "/audit".into(), none.clone(), for_admins(200)),
        (get.clone(), "/users".into(), none.clone(), for_admins(200)),
        (post.clone(), "/users".into(), invitation, for_admins(201)),
        (get, unknown_user.into(), none.clone(), for_admins(404)),
        (Method::PATCH, user.into(), json!({"name": "Ada"}), for_admins(200)),
        (Method::DELETE, unknown_user.into(), none.clone(), for_admins(404)),
        (post.clone(), format!("{unknown_user}/lock"), none.clone(), for_admins(404)),
        (post.clone(), format!("{unknown_user}/unlock"), none.clone(), for_admins(404)),
        (post, format!("{unknown_user}/resend"), none, for_admins(404)),
    ]
}

/// Whether an address, such as `/exams/7?force=true`, is one of a route's, such as `/exams/{id}`; `/users/me` is none of
/// `/users/{id}`.
fn is_of(address: &str, route: &str) -> bool {
    if address == "/users/me" {
        return route == address;
    }
    let mut parts = address.split('?').next().unwrap_or_default().split('/');
    route.split('/').all(|wanted| parts.next().is_some_and(|part| part == wanted || wanted.starts_with('{')))
        && parts.next().is_none()
}

/// Every operation but those for anyone has a row, and each row refuses the roles that the document does not name.
fn check_rows(document: &Value, rows: &[Row]) {
    for (route, operations) in document["paths"].as_object().expect("paths") {
        let route = route.trim_start_matches("/api/v1");
        for (method, operation) in operations.as_object().expect("operations") {
            let of_it = |(of, path, ..): &&Row| of.as_str().eq_ignore_ascii_case(method) && is_of(path, route);
            let rows: Vec<_> = rows.iter().filter(of_it).collect();
            let Some(named) = operation["security"][0]["bearer"].as_array() else {
                assert!(rows.is_empty(), "{method} {route} is for anyone");
                continue;
            };
            let mut may_someone = false;
            for (_, path, _, expected) in &rows {
                for (role, status) in ROLES.iter().zip(expected) {
                    let is_refused = matches!(status, 401 | 403 | 404);
                    may_someone |= !is_refused || (named.contains(&json!(role)) && *status == 404);
                    assert!(is_refused || named.contains(&json!(role)), "{method} {path}: {status} for {role}");
                }
            }
            assert!(may_someone, "{method} {route} has no row that lets somebody pass");
        }
    }
}

/// An answer is what the document says of it.
fn check_answer(document: &Value, (method, path): (&Method, &str), status: u16, answer: &Value, headers: &HeaderMap) {
    let paths = document["paths"].as_object().expect("paths");
    let (_, operations) =
        paths.iter().find(|(route, _)| is_of(path, route.trim_start_matches("/api/v1"))).expect("described");
    let response = &operations[method.as_str().to_lowercase()]["responses"][status.to_string()];
    assert!(response.is_object(), "{method} {path}: {status} is not described");
    let sent = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let contents = response["content"].as_object().into_iter().flatten();
    let contents: Vec<_> = contents.filter(|(kind, _)| sent.starts_with(kind.as_str())).collect();
    assert!(response["content"].is_null() || contents.len() == 1, "{method} {path}: {sent} is not described");
    for (kind, content) in contents.into_iter().filter(|(kind, _)| kind.ends_with("json")) {
        let faults = faults(document, &content["schema"], answer, "");
        assert!(faults.is_empty(), "{method} {path}: {kind} {faults:?}");
    }
    for name in document["components"]["headers"].as_object().expect("headers").keys() {
        let described = &response["headers"][name];
        let is_required = resolve(document, described)["required"] == true;
        let is_there = headers.contains_key(name);
        assert!(!is_there || described.is_object(), "{method} {path}: {status} has {name}");
        assert!(is_there || !is_required, "{method} {path}: {status} has no {name}");
    }
}

/// The API with people, and with what the rows are about.
struct Scenario {
    api: Api,
    /// Access tokens in the order of the rows.
    people: [String; 8],
    rows: Vec<Row>,
}

async fn scenario() -> Scenario {
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
        api.log_in_as("viewer").await,
        api.log_in_as("operator").await,
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

    let user = format!("/users/{}", mine["authorId"].as_str().expect("an id"));
    let sat = sat(&api, &author, &student).await;
    let other = mine["studentIds"][1].as_str().expect("an id").to_owned();
    let operations = administration(&user);
    let mut rows = table(&Subjects { user, student: other, exam, sat, draft, question, attempt, result });
    rows.extend(operations);
    Scenario { api, people, rows }
}

/// An exam that a student sits.
async fn sat(api: &Api, author: &str, student: &str) -> String {
    let exam = json!({"title": "Sat", "description": "", "durationMinutes": 60});
    let exam = api.expect(201, Method::POST, "/exams", author, &exam).await;
    let exam = format!("/exams/{}", exam["id"].as_str().expect("an id"));
    let questions = json!({"questions": [{"type": "trueFalse", "text": "?", "correct": true}]});
    api.expect(200, Method::PUT, &format!("{exam}/questions"), author, &questions).await;
    api.expect(200, Method::POST, &format!("{exam}/publish"), author, &Value::Null).await;
    api.expect(201, Method::POST, &format!("{exam}/attempts"), student, &Value::Null).await;
    exam
}

#[tokio::test]
async fn everybody_may_do_what_is_theirs_and_nothing_else() {
    let Scenario { api, people, rows } = scenario().await;
    let document: Value = api.get("/openapi.json").await.json().await.expect("JSON");
    check_rows(&document, &rows);
    for (method, path, body, expected) in rows {
        let mut found = Vec::new();
        for token in &people {
            let response = api.send(method.clone(), &path, token, &body).await;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let answer = response.json().await.unwrap_or_default();
            found.push(status);
            check_answer(&document, (&method, &path), status, &answer, &headers);
        }
        assert_eq!(found, expected, "{method} {path}: {ROLES:?}");
    }
    api.stop().await;
}

#[tokio::test]
async fn files_of_questions_are_imported_by_those_who_write_exams() {
    let Scenario { api, people, .. } = scenario().await;
    let document: Value = api.get("/openapi.json").await.json().await.expect("JSON");
    let (path, parameters) = ("/exams/import", "title=New&durationMinutes=1&lossy=true");
    for (kind, file) in FILES {
        let mut found = Vec::new();
        for token in &people {
            let request = api.request(Method::POST, &format!("/api/v1{path}?{parameters}")).bearer_auth(token);
            let response = request.header("content-type", *kind).body(*file).send().await.expect("an answer");
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let answer = response.json().await.unwrap_or_default();
            found.push(status);
            check_answer(&document, (&Method::POST, path), status, &answer, &headers);
        }
        assert_eq!(found, [401, 403, 403, 201, 201, 403, 403, 201], "{kind}: {ROLES:?}");
    }
    api.stop().await;
}

/// Bodies that no route takes, with the type that they are said to be of.
fn bad_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let json = "application/json";
    vec![
        (json, b"{".to_vec()),
        (json, Vec::new()),
        (json, b"[7]".to_vec()),
        (json, br#"{"nonsense":true}"#.to_vec()),
        (json, vec![b' '; 1024 * 1024 + 1]),
        (json, b"\xff\xfe".to_vec()),
        ("text/plain", b"{}".to_vec()),
        ("application/x-www-form-urlencoded", b"title=Mine".to_vec()),
        ("application/json; charset=latin9; x", b"{".to_vec()),
    ]
}

/// Sends a body, again once the limit of writes allows it: a student has 100 at once.
async fn status_of(api: &Api, (method, path): (&Method, &str), token: &str, (kind, body): (&str, &[u8])) -> u16 {
    loop {
        let request = api.request(method.clone(), &format!("/api/v1{path}")).bearer_auth(token);
        let request = request.header("content-type", kind).header("if-match", "nonsense").body(body.to_vec());
        let answer = request.send().await.expect("an answer");
        if answer.status() != 429 {
            return answer.status().as_u16();
        }
        let seconds = answer.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
        tokio::time::sleep(Duration::from_secs(seconds)).await; // the time that the API itself has named
    }
}

#[tokio::test]
async fn who_may_not_is_told_so_whatever_the_body() {
    let Scenario { api, people, rows } = scenario().await;
    for (method, path, body, expected) in rows.iter().filter(|(_, _, body, _)| !body.is_null()) {
        let path = format!("{path}?force=perhaps&limit=ten");
        for (n, (token, expected)) in people.iter().zip(expected).enumerate() {
            let is_refused = matches!(expected, 401 | 403 | 404);
            for (kind, bad) in bad_bodies() {
                let status = status_of(&api, (method, &path), token, (kind, &bad)).await;
                let is_right =
                    if is_refused { status == *expected } else { [400, 412, 413, 415, 422].contains(&status) };
                let size = bad.len();
                assert!(
                    is_right,
                    "{method} {path} ({n}) with {size} bytes of {kind}: {status}, not {expected}; {body}"
                );
            }
        }
    }
    api.stop().await;
}

#[tokio::test]
async fn no_byte_of_a_body_is_waited_for_before_the_refusal() {
    let Scenario { api, people, .. } = scenario().await;
    for (token, status) in [(&people[0], "401"), (&people[2], "403")] {
        let mut client = TcpStream::connect(api.base.trim_start_matches("http://")).await.expect("connected");
        let head = format!(
            "POST /api/v1/exams HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = [0; 12];
        let read = tokio::time::timeout(Duration::from_secs(10), client.read_exact(&mut answer)).await;
        read.expect("in time, though no body came").expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
    }
    api.stop().await;
}
