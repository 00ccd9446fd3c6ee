//! Who may sit an exam: students that know its code, or those on its roster.
#![expect(clippy::print_stdout, reason = "how long things took, for those who run the tests")]

use std::{fmt::Write, time::Instant};

use examhall_testkit::DatabaseKind;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{
    attempts::Hall,
    on_both, problem,
    revoked::{Other, status},
};

const NOTHING: &Value = &Value::Null;

on_both!(
    a_code_is_exchanged_for_a_seat,
    a_roster_says_who_may_sit,
    nothing_takes_everybody_off_by_mistake,
    a_long_roster_is_taken_whole_or_not_at_all,
);

/// Exchanges a code for a seat.
async fn take(hall: &Hall, student: usize, code: &str) -> (u16, Value) {
    let path = format!("{}/seat", hall.exam);
    hall.api.call(Method::POST, &path, &hall.students[student], &json!({ "code": code })).await
}

/// The exam as a student finds it in the list.
async fn listed(hall: &Hall, student: usize) -> Option<Value> {
    let all = hall.as_student(student, 200, Method::GET, "/exams").await;
    let mut items = all["items"].as_array().expect("exams").iter();
    items.find(|exam| format!("/exams/{}", exam["id"].as_str().expect("an id")) == hall.exam).cloned()
}

async fn a_code_is_exchanged_for_a_seat(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"access": "code", "accessCode": "spring-2027"})).await;
    let seen = hall.as_student(0, 200, Method::GET, &hall.exam).await;
    assert_eq!((&seen["access"], seen.get("accessCode")), (&json!("code"), None));
    assert_eq!(listed(&hall, 0).await.expect("listed")["seat"], false);
    let (status, refused) = hall.start(0).await;
    assert_eq!((status, refused["detail"].as_str().expect("text").contains("code")), (403, true), "{refused}");
    assert_eq!(take(&hall, 0, "Spring-2027").await.0, 403);
    let (status, taken) = take(&hall, 0, " spring-2027 ").await;
    assert_eq!((status, &taken["seat"]), (200, &json!(true)), "{taken}");
    assert_eq!(take(&hall, 0, "whatever").await.0, 200, "who has a seat needs no code");
    assert_eq!(listed(&hall, 0).await.expect("listed")["seat"], true);
    hall.begin(0).await;
    assert_eq!(hall.start(1).await.0, 403, "another student");
    hall.api.expect(403, Method::POST, &format!("{}/seat", hall.exam), &hall.author, &json!({"code": "x"})).await;

    hall.as_author(200, Method::PATCH, &hall.exam, &json!({"accessCode": "autumn-2027"})).await;
    let audit = hall.as_author(200, Method::GET, &format!("{}/audit?limit=1", hall.exam), NOTHING).await;
    assert_eq!(audit["items"][0]["after"], json!({"accessCode": "changed"}), "nobody reads it anywhere");
    assert_eq!(take(&hall, 1, "spring-2027").await.0, 403, "the code of before");
    assert_eq!(take(&hall, 1, "autumn-2027").await.0, 200);
    for (body, pointer) in [
        (json!({"accessCode": "short"}), "/accessCode"),
        (json!({"accessCode": "   abc   "}), "/accessCode"),
        (json!({"accessCode": 7}), "/accessCode"),
        (json!({"access": "never"}), "/access"),
    ] {
        let wrong = hall.as_author(422, Method::PATCH, &hall.exam, &body).await;
        assert_eq!(wrong["errors"][0]["pointer"], pointer, "{wrong}");
    }
    let new = json!({"title": "New", "description": "", "durationMinutes": 1, "access": "code"});
    let wrong = hall.as_author(422, Method::POST, "/exams", &new).await;
    assert_eq!(wrong["errors"][0]["pointer"], "/accessCode", "an exam with a code needs one");
    guesses_are_limited(&hall).await;
    hall.api.stop().await;
}

/// Another exam, whose code a student tries to find.
async fn guesses_are_limited(hall: &Hall) {
    let new = json!({
        "title": "New", "description": "", "durationMinutes": 1, "access": "code", "accessCode": "secret-1",
    });
    let made = hall.as_author(201, Method::POST, "/exams", &new).await;
    let exam = format!("/exams/{}", made["id"].as_str().expect("an id"));
    let guess = async |student: usize| {
        let path = format!("{exam}/seat");
        hall.api.call(Method::POST, &path, &hall.students[student], &json!({"code": "guess"})).await.0
    };
    assert_eq!(guess(0).await, 404, "a draft");
    let question = json!({"questions": [{"type": "trueFalse", "text": "?", "correct": true}]});
    hall.as_author(200, Method::PUT, &format!("{exam}/questions"), &question).await;
    hall.as_author(200, Method::POST, &format!("{exam}/publish"), NOTHING).await;
    let mut refused = 0;
    while guess(0).await == 403 {
        refused += 1;
        assert!(refused <= 21, "guesses have an end");
    }
    assert_eq!(guess(0).await, 429);
    assert_eq!(guess(1).await, 403, "another student is not held up");
    hall.as_author(200, Method::PATCH, &exam, &json!({"access": "open"})).await;
    hall.api.expect(201, Method::POST, &format!("{exam}/attempts"), &hall.students[0], NOTHING).await;
}

/// Sends a file as the author.
async fn send_file(hall: &Hall, method: Method, kind: &str, file: String) -> Response {
    let request = hall.api.request(method, &format!("/api/v1{}/roster", hall.exam)).bearer_auth(&hall.author);
    request.header("content-type", kind).body(file).send().await.expect("an answer")
}

async fn a_roster_says_who_may_sit(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"access": "roster", "paper": "whileOpen"})).await;
    let (roster, sheet) = (format!("{}/roster", hall.exam), format!("{}/questions", hall.exam));
    let change = |added: u64, kept: u64, removed: u64| json!({"added": added, "kept": kept, "removed": removed});
    assert_eq!(listed(&hall, 0).await, None, "not what they may not sit");
    hall.as_student(0, 403, Method::GET, &hall.exam).await;
    hall.as_student(0, 403, Method::GET, &sheet).await;
    assert_eq!(hall.start(0).await.0, 403);
    assert_eq!(take(&hall, 0, "any code").await.0, 403);

    let students = json!({"students": [
        {"email": hall.emails[0].to_uppercase(), "name": "Ada"}, {"email": "new@example.com"},
    ]});
    assert_eq!(hall.as_author(200, Method::PUT, &roster, &students).await, change(2, 0, 0));
    hall.as_student(0, 200, Method::GET, &hall.exam).await;
    assert_eq!(listed(&hall, 0).await.expect("listed")["seat"], true);
    hall.as_student(0, 403, Method::GET, &sheet).await;
    let attempt = hall.begin(0).await;
    hall.as_student(0, 200, Method::GET, &sheet).await;
    assert_eq!(hall.start(1).await.0, 403);

    let file = format!("\u{feff}name;email\r\n\"Bob; the 2nd\";{}\r\nNew;new@example.com\r\n", hall.emails[1]);
    let added = send_file(&hall, Method::POST, "text/csv; charset=utf-8", file).await;
    assert_eq!(added.json::<Value>().await.expect("JSON"), change(1, 1, 0));
    let all = hall.as_author(200, Method::GET, &roster, NOTHING).await;
    let names = all["items"].as_array().expect("students").iter().map(|student| student["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["Ada", "New", "Bob; the 2nd"]);
    assert_eq!(all["items"][2]["source"], "roster");
    let one = format!("{roster}/{}", hall.emails[1]);
    hall.as_author(204, Method::DELETE, &one, NOTHING).await;
    hall.as_author(404, Method::DELETE, &one, NOTHING).await;
    assert_eq!(hall.start(1).await.0, 403, "taken off the roster");

    let bad = json!({"students": [{"email": "nonsense"}, {"email": "a@x.example"}, {"email": "A@X.example", "name": "\u{7}"}]});
    let refused = hall.as_author(422, Method::PUT, &roster, &bad).await;
    let pointers: Vec<_> = refused["errors"].as_array().expect("errors").iter().map(|one| &one["pointer"]).collect();
    assert_eq!(pointers, ["/students/0/email", "/students/2/name", "/students/2/email"]);
    problem(send_file(&hall, Method::PUT, "text/plain", "a@x.example".to_owned()).await, 415).await;
    let only = json!({"students": [{"email": "new@example.com"}]});
    assert_eq!(hall.as_author(200, Method::PUT, &roster, &only).await, change(0, 1, 1));
    assert_eq!(hall.save(&attempt, 0, &hall.answers(1, 4.25)).await.0, 200, "what was begun goes on");
    let other = Other::start(&hall.api.world).await;
    for base in [&hall.api.base, &other.base] {
        for path in [&hall.exam, &sheet] {
            let read = status(&hall.api.client, base, path, &hall.students[0]).await;
            assert_eq!(read, 200, "who sits it reads {path}");
        }
    }
    assert_eq!(listed(&hall, 0).await.expect("listed")["seat"], false, "no further attempt");
    assert_eq!(listed(&hall, 1).await, None);
    let audit = hall.as_author(200, Method::GET, &format!("{}/audit?limit=1", hall.exam), NOTHING).await;
    assert_eq!(audit["items"][0]["action"], "change roster");
    hall.api.stop().await;
}

async fn nothing_takes_everybody_off_by_mistake(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"access": "roster"})).await;
    let roster = format!("{}/roster", hall.exam);
    let students = json!({"students": [{"email": hall.emails[0]}]});
    hall.as_author(200, Method::PUT, &roster, &students).await;
    for (file, expected) in [("", 400), ("\u{feff}\r\n \r\n", 400), ("\"", 400), ("email,name\r\n", 200)] {
        let answer = send_file(&hall, Method::PUT, "text/csv", file.to_owned()).await;
        assert_eq!(answer.status(), expected, "{file:?}");
        let left = hall.as_author(200, Method::GET, &roster, NOTHING).await;
        assert_eq!(left["items"].as_array().map(Vec::len), Some(usize::from(expected == 400)), "{file:?}");
    }
    let new = json!({"title": "New", "description": "", "durationMinutes": 1, "access": "roster"});
    let draft = hall.as_author(201, Method::POST, "/exams", &new).await;
    let draft = format!("/exams/{}", draft["id"].as_str().expect("an id"));
    hall.as_student(0, 404, Method::GET, &draft).await;
    hall.api.stop().await;
}

async fn a_long_roster_is_taken_whole_or_not_at_all(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"access": "roster"})).await;
    let file = |is_wrong: fn(u32) -> bool| {
        (1..=10_000).fold(String::new(), |mut file, n| {
            let at = if is_wrong(n) { "" } else { "@" };
            writeln!(file, "student-{n}{at}example.com,Student {n}").expect("text");
            file
        })
    };
    let refused = send_file(&hall, Method::PUT, "text/csv", file(|n| n % 588 == 0)).await;
    let refused = problem(refused, 422).await;
    let errors = refused["errors"].as_array().expect("errors");
    assert_eq!((errors.len(), &errors[16]["pointer"]), (17, &json!("/students/9995/email")), "all are named");
    assert!(errors[0]["detail"].as_str().expect("text").starts_with("line 588: "), "{}", errors[0]);
    let roster = format!("{}/roster", hall.exam);
    assert_eq!(hall.as_author(200, Method::GET, &roster, NOTHING).await["items"], json!([]), "none is taken");

    let (file, started) = (file(|_| false), Instant::now());
    let taken = send_file(&hall, Method::PUT, "text/csv", file).await.json::<Value>().await.expect("JSON");
    println!("10,000 students put on a roster in {:.2?} ({database:?})", started.elapsed());
    assert_eq!(taken, json!({"added": 10_000, "kept": 0, "removed": 0}));
    hall.api.stop().await;
}
