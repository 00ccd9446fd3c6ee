//! Requests that reach two processes at the same moment: of each pair there is one outcome, and nothing is lost.

use std::time::Instant;

use examhall_testkit::{DatabaseKind, eventually};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Api, TIMEOUT, attempts::Hall, on_both, revoked::Other};

const NOTHING: &Value = &Value::Null;

on_both!(
    guesses_at_a_code_have_one_limit_in_two_processes,
    a_seat_is_taken_once_while_the_code_changes,
    a_roster_is_replaced_while_its_students_start,
    an_exam_is_closed_while_its_students_submit,
    all_are_graded_again_while_the_exam_closes,
    all_are_graded_again_while_accounts_are_deleted,
);

/// Calls one of the processes.
async fn call(api: &Api, base: &str, method: Method, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let mut request = api.client.request(method, format!("{base}/api/v1{path}")).bearer_auth(token);
    if !body.is_null() {
        request = request.json(body);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn guesses_at_a_code_have_one_limit_in_two_processes(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"access": "code", "accessCode": "spring-2027"})).await;
    let other = Other::start(&hall.api.world).await;
    let seat = format!("{}/seat", hall.exam);
    let guess = async |n: usize, student: usize, code: &str| {
        let base = if n.is_multiple_of(2) { &hall.api.base } else { &other.base };
        call(&hall.api, base, Method::POST, &seat, &hall.students[student], &json!({"code": code})).await.0
    };
    let started = Instant::now();
    let answers = join_all((0..40).map(|n| guess(n, 0, "a guess"))).await;
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    // One more for every quarter of a minute that it takes.
    let most = 20 + usize::try_from(started.elapsed().as_secs() / 15).expect("seconds") + 1;
    assert_eq!(count(403) + count(429), 40, "{answers:?}");
    assert!((20..=most).contains(&count(403)), "{answers:?}");
    let answers = join_all((0..4).map(|n| guess(n, 1, "spring-2027"))).await;
    assert_eq!(answers, [200; 4], "another student is not held up");
    assert_eq!(hall.api.world.database.sql("SELECT count(*) FROM seats").await, "1");
    hall.api.stop().await;
}

async fn a_seat_is_taken_once_while_the_code_changes(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"access": "code", "accessCode": "spring-0"})).await;
    let other = Other::start(&hall.api.world).await;
    let seat = format!("{}/seat", hall.exam);
    for n in 0..6 {
        let (code, next) = (json!({"code": format!("spring-{n}")}), json!({"accessCode": format!("spring-{}", n + 1)}));
        let (api, token) = (&hall.api, &hall.students[0]);
        let (one, two, changed) = tokio::join!(
            call(api, &api.base, Method::POST, &seat, token, &code),
            call(api, &other.base, Method::POST, &seat, token, &code),
            call(api, &other.base, Method::PATCH, &hall.exam, &hall.author, &next),
        );
        assert_eq!(changed.0, 200, "{}", changed.1);
        let is_taken = [one.0, two.0].contains(&200);
        assert!([one.0, two.0].iter().all(|status| matches!(status, 200 | 403)), "{one:?} {two:?}");
        let seats = api.world.database.sql("SELECT count(*) FROM seats").await;
        assert_eq!(seats, if is_taken { "1" } else { "0" });
        let (started, attempt) = hall.start(0).await;
        assert_eq!(started, if is_taken { 201 } else { 403 }, "{attempt}");
        if is_taken {
            break;
        }
    }
    hall.api.stop().await;
}

async fn a_roster_is_replaced_while_its_students_start(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"access": "roster", "maxAttempts": 20})).await;
    let other = Other::start(&hall.api.world).await;
    let (roster, attempts) = (format!("{}/roster", hall.exam), format!("{}/attempts", hall.exam));
    let (with, without) = (
        json!({"students": [{"email": hall.emails[0]}, {"email": "new@example.com"}]}),
        json!({"students": [{"email": "new@example.com"}]}),
    );
    let mut begun = 0;
    for round in 0..10 {
        hall.as_author(200, Method::PUT, &roster, &with).await;
        let (api, token) = (&hall.api, &hall.students[0]);
        let bases = if round % 2 == 0 { [&api.base, &other.base] } else { [&other.base, &api.base] };
        let (start, replaced) = tokio::join!(
            call(api, bases[0], Method::POST, &attempts, token, NOTHING),
            call(api, bases[1], Method::PUT, &roster, &hall.author, &without),
        );
        assert_eq!((replaced.0, &replaced.1["removed"]), (200, &json!(1)), "{}", replaced.1);
        assert!(matches!(start.0, 201 | 403), "{start:?}");
        if start.0 == 201 {
            begun += 1;
            let attempt = format!("/attempts/{}", start.1["id"].as_str().expect("an id"));
            assert_eq!(hall.save(&attempt, 0, &hall.answers(1, 4.25)).await.0, 200, "what was begun goes on");
            assert_eq!(hall.submit(&attempt, 0).await.0, 200);
        }
        assert_eq!(hall.start(0).await.0, 403, "taken off the roster");
    }
    let stored = hall.api.world.database.sql("SELECT count(*) FROM attempts").await;
    assert_eq!(stored, begun.to_string());
    hall.api.stop().await;
}

async fn an_exam_is_closed_while_its_students_submit(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let other = Other::start(&api.world).await;
    let seeded = api.seed_with(2, 16).await;
    let (author, exam) = (api.log_in(&seeded["authorEmail"]).await, seeded["examId"].as_str().expect("an id"));
    let exam = format!("/exams/{exam}");
    let emails = seeded["studentEmails"].as_array().expect("addresses");
    let students = join_all(emails.iter().map(|email| api.log_in(email))).await;
    let base = |n: usize| if n.is_multiple_of(2) { &api.base } else { &other.base };
    let attempts = join_all(students.iter().enumerate().map(async |(n, student)| {
        let started = call(&api, base(n), Method::POST, &format!("{exam}/attempts"), student, NOTHING).await;
        assert_eq!(started.0, 201, "{}", started.1);
        format!("/attempts/{}/submit", started.1["id"].as_str().expect("an id"))
    }))
    .await;
    let submits = students.iter().zip(&attempts).enumerate();
    let submits = submits.map(|(n, (student, path))| call(&api, base(n), Method::POST, path, student, NOTHING));
    let (close, now) = (format!("{exam}/close"), json!({"graceSeconds": 0}));
    let (submitted, closed) =
        tokio::join!(join_all(submits), call(&api, &other.base, Method::POST, &close, &author, &now));
    assert_eq!((closed.0, &closed.1["status"]), (200, &json!("closed")), "{}", closed.1);
    assert!(submitted.iter().all(|(status, _)| *status == 200), "in the grace all arrive: {submitted:?}");
    let results = api.expect(200, Method::GET, &format!("{exam}/results?limit=100"), &author, NOTHING).await;
    assert_eq!(results["items"].as_array().map(Vec::len), Some(students.len()), "one for each");
    let open = api.expect(200, Method::GET, &format!("{exam}/attempts?state=open"), &author, NOTHING).await;
    assert_eq!(open["items"], json!([]));
    api.stop().await;
}

/// From now on 5 is the right number.
async fn correct(hall: &Hall) {
    let question = format!("/questions/{}?force=true", hall.questions[1]["id"].as_str().expect("an id"));
    hall.as_author(200, Method::PATCH, &question, &json!({"answer": 5.0})).await;
}

/// Waits until every attempt has a result by the corrected key; returns the names of their students.
async fn all_right(hall: &Hall, count: usize) -> Vec<Value> {
    eventually("every result by the right key", TIMEOUT, async || {
        let path = format!("{}/results?limit=100", hall.exam);
        let results = hall.as_author(200, Method::GET, &path, NOTHING).await;
        let results = results["items"].as_array().expect("results").clone();
        let are_right = results.iter().all(|result| result["score"] == 4.0);
        (are_right && results.len() == count).then(|| results.iter().map(|result| result["name"].clone()).collect())
    })
    .await
}

async fn all_are_graded_again_while_the_exam_closes(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let other = Other::start(&hall.api.world).await;
    let (submitted, open) = (hall.begin(0).await, hall.begin(1).await);
    for (student, attempt) in [(0, &submitted), (1, &open)] {
        hall.save(attempt, student, &hall.answers(1, 5.0)).await;
    }
    assert_eq!(hall.submit(&submitted, 0).await.1["score"], 1.0, "by the wrong key");
    correct(&hall).await;
    let (regrade, close) = (format!("{}/regrade", hall.exam), format!("{}/close", hall.exam));
    let (api, now) = (&hall.api, json!({"graceSeconds": 0}));
    let (regraded, closed) = tokio::join!(
        call(api, &api.base, Method::POST, &regrade, &hall.author, NOTHING),
        call(api, &other.base, Method::POST, &close, &hall.author, &now),
    );
    assert_eq!((regraded.0, closed.0), (202, 200), "{} {}", regraded.1, closed.1);
    all_right(&hall, 2).await;
    let exam = hall.as_author(200, Method::GET, &hall.exam, NOTHING).await;
    assert_eq!(exam["status"], "closed");
    assert_eq!(api.world.database.sql("SELECT count(*) FROM attempts WHERE submitted_at IS NULL").await, "0");
    hall.api.stop().await;
}

async fn all_are_graded_again_while_accounts_are_deleted(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let other = Other::start(&hall.api.world).await;
    for student in [0, 1] {
        let attempt = hall.begin(student).await;
        hall.save(&attempt, student, &hall.answers(1, 5.0)).await;
        assert_eq!(hall.submit(&attempt, student).await.0, 200);
    }
    correct(&hall).await;
    let (api, password) = (&hall.api, json!({"password": "examhall-demo"}));
    let regrade = format!("{}/regrade", hall.exam);
    let (regraded, deleted) = tokio::join!(
        call(api, &api.base, Method::POST, &regrade, &hall.author, NOTHING),
        call(api, &other.base, Method::DELETE, "/users/me", &hall.students[0], &password),
    );
    assert_eq!((regraded.0, deleted.0), (202, 204), "{} {}", regraded.1, deleted.1);
    let names = all_right(&hall, 2).await;
    assert_eq!(names.iter().filter(|name| **name == "Deleted account").count(), 1, "{names:?}");
    let mails = api.mails_to(&hall.emails[1], 2).await;
    assert!(mails.iter().any(|mail| mail["subject"] == "Your exam result has changed"), "{mails:?}");
    hall.api.stop().await;
}
