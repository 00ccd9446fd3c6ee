//! Exams while students sit them: the clock binds, and the author may move it.

use std::time::{Duration, SystemTime};

use examhall_core::Timestamp;
use examhall_testkit::DatabaseKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{attempts::Hall, on_both};

const NOTHING: &Value = &Value::Null;

on_both!(
    questions_are_shown_once_the_clock_runs,
    questions_may_be_shown_while_the_exam_is_open,
    a_closed_exam_is_shown_to_those_who_sit_it,
    deadlines_follow_the_exam,
    what_costs_students_is_locked_and_recorded,
    one_student_gets_another_deadline,
    accommodations_count_from_the_start,
);

fn time(value: &Value) -> Timestamp {
    value.as_str().expect("text").parse().expect("a time")
}

fn minutes(count: u64) -> Duration {
    Duration::from_mins(count)
}

fn loads(what: &str) -> u64 {
    let metrics = examhall_boot::metrics::Metrics::install().render();
    let series = format!("store_loads_total{{what=\"{what}\"}}");
    let line = metrics.lines().find(|line| line.starts_with(&series));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

async fn questions_are_shown_once_the_clock_runs(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let sheet = format!("{}/questions", hall.exam);
    let question = format!("/questions/{}", hall.questions[0]["id"].as_str().expect("an id"));
    let refused = hall.as_student(0, 403, Method::GET, &sheet).await;
    assert!(refused["detail"].as_str().expect("text").contains("start an attempt"), "{refused}");
    hall.as_student(0, 403, Method::GET, &question).await;
    let attempt = hall.begin(0).await;
    let (sheets, attempts) = (loads("sheet"), loads("attempt"));
    for _ in 0..20 {
        hall.as_student(0, 200, Method::GET, &sheet).await;
        hall.as_student(0, 200, Method::GET, &question).await;
    }
    assert_eq!((loads("sheet") - sheets, loads("attempt") - attempts), (0, 0), "both are in memory");
    hall.as_student(1, 403, Method::GET, &sheet).await;
    assert_eq!(hall.submit(&attempt, 0).await.0, 200);
    hall.as_student(0, 403, Method::GET, &sheet).await;
    hall.as_author(200, Method::PATCH, &hall.exam, &json!({"review": true})).await;
    hall.as_student(0, 200, Method::GET, &sheet).await;
    hall.as_student(1, 403, Method::GET, &sheet).await;
    let later = json!({"results": "onPublish"});
    hall.as_author(200, Method::PATCH, &hall.exam, &later).await;
    hall.as_student(0, 403, Method::GET, &sheet).await;
    hall.api.stop().await;
}

async fn questions_may_be_shown_while_the_exam_is_open(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"paper": "whileOpen"})).await;
    let sheet = format!("{}/questions", hall.exam);
    hall.as_student(1, 200, Method::GET, &sheet).await;
    hall.as_author(200, Method::PATCH, &hall.exam, &json!({"closesAt": "2000-01-01T00:00:00Z"})).await;
    hall.as_student(1, 403, Method::GET, &sheet).await;
    let changed =
        hall.as_author(200, Method::PATCH, &hall.exam, &json!({"closesAt": null, "paper": "afterStart"})).await;
    assert_eq!(changed["paper"], "afterStart");
    hall.as_student(1, 403, Method::GET, &sheet).await;
    let wrong = hall.as_author(422, Method::PATCH, &hall.exam, &json!({"paper": "never"})).await;
    assert_eq!(wrong["errors"][0]["pointer"], "/paper");
    hall.api.stop().await;
}

async fn a_closed_exam_is_shown_to_those_who_sit_it(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let (sheet, attempt) = (format!("{}/questions", hall.exam), hall.begin(0).await);
    let before = time(&hall.as_student(0, 200, Method::GET, &attempt).await["deadline"]);
    let close = format!("{}/close", hall.exam);
    let wrong = hall.as_author(422, Method::POST, &close, &json!({"graceSeconds": 3601})).await;
    assert_eq!(wrong["errors"][0]["pointer"], "/graceSeconds");
    let closed = hall.as_author(200, Method::POST, &close, &json!({"graceSeconds": 600})).await;
    assert_eq!((&closed["status"], &closed["openAttempts"]), (&json!("closed"), &json!(1)));
    let seen = hall.as_student(0, 200, Method::GET, &attempt).await;
    let deadline = time(&seen["deadline"]);
    assert!(deadline < before, "{seen}");
    assert_eq!(time(&closed["attemptsEndAt"]), deadline.plus(Duration::from_secs(5)), "the time to save is named");
    hall.as_student(0, 200, Method::GET, &sheet).await;
    assert_eq!(hall.save(&attempt, 0, &hall.answers(1, 4.25)).await.0, 200);
    hall.as_student(1, 403, Method::GET, &sheet).await;
    assert_eq!(hall.start(1).await.0, 403);
    let publish = hall.as_author(409, Method::POST, &format!("{}/publish", hall.exam), NOTHING).await;
    assert!(publish["detail"].as_str().expect("text").contains("reopen"), "{publish}");

    let reopen = format!("{}/reopen", hall.exam);
    let past = hall.as_author(422, Method::POST, &reopen, &json!({"closesAt": "2020-01-01T00:00:00Z"})).await;
    assert_eq!(past["errors"][0]["pointer"], "/closesAt", "{past}");
    let reopened = hall.as_author(200, Method::POST, &reopen, &json!({"closesAt": "2999-01-01T00:00:00Z"})).await;
    assert_eq!((&reopened["status"], &reopened["closesAt"]), (&json!("published"), &json!("2999-01-01T00:00:00.000Z")));
    let seen = hall.as_student(0, 200, Method::GET, &attempt).await;
    assert_eq!(time(&seen["deadline"]), before, "its time is back");
    hall.begin(1).await;
    hall.api.stop().await;
}

async fn deadlines_follow_the_exam(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let (one, other) = (hall.begin(0).await, hall.begin(1).await);
    let deadline = async |student: usize, attempt: &str| {
        let seen = hall.as_student(student, 200, Method::GET, attempt).await;
        (time(&seen["startedAt"]), time(&seen["deadline"]))
    };
    hall.as_author(200, Method::PATCH, &hall.exam, &json!({"durationMinutes": 120})).await;
    for (student, attempt) in [(0, &one), (1, &other)] {
        let (started_at, deadline) = deadline(student, attempt).await;
        assert_eq!(deadline, started_at.plus(minutes(120)));
    }
    let closes_at = Timestamp::from(SystemTime::now()).plus(minutes(10));
    hall.as_author(200, Method::PATCH, &hall.exam, &json!({"closesAt": closes_at})).await;
    assert_eq!(deadline(0, &one).await.1, closes_at);
    let closes_at = closes_at.plus(minutes(5));
    hall.as_author(200, Method::PATCH, &hall.exam, &json!({"closesAt": closes_at})).await;
    assert_eq!(deadline(1, &other).await.1, closes_at, "extended for all");
    assert_eq!(hall.submit(&other, 1).await.0, 200);
    let before = Timestamp::from(SystemTime::now());
    hall.as_author(200, Method::PATCH, &hall.exam, &json!({"closesAt": "2000-01-01T00:00:00Z"})).await;
    let (_, ended) = deadline(0, &one).await;
    assert!(ended >= before, "not before it was changed, so that what was typed can be saved: {ended}");
    assert_eq!(deadline(1, &other).await.1, closes_at, "what is submitted stays as it is");
    hall.api.stop().await;
}

async fn what_costs_students_is_locked_and_recorded(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    hall.as_author(200, Method::PATCH, &hall.exam, &json!({"passMark": 40, "shuffle": true, "durationMinutes": 60}))
        .await;
    hall.begin(0).await;
    for change in [json!({"passMark": 41}), json!({"shuffle": false}), json!({"durationMinutes": 59})] {
        let locked = hall.as_author(409, Method::PATCH, &hall.exam, &change).await;
        assert!(locked["detail"].as_str().expect("text").contains("force=true"), "{locked}");
        hall.as_author(200, Method::PATCH, &format!("{}?force=true", hall.exam), &change).await;
    }
    hall.as_author(200, Method::PATCH, &hall.exam, &json!({"title": "Logic", "durationMinutes": 61, "passMark": 41}))
        .await;
    hall.as_author(422, Method::PATCH, &format!("{}?force=perhaps", hall.exam), &json!({"title": "x"})).await;
    let audit = hall.as_author(200, Method::GET, &format!("{}/audit?limit=4", hall.exam), NOTHING).await;
    let entries = audit["items"].as_array().expect("entries").iter();
    let changes: Vec<_> = entries.map(|entry| (&entry["action"], &entry["before"], &entry["after"])).collect();
    let expected = [
        (json!({"title": "Algebra", "durationMinutes": 59}), json!({"title": "Logic", "durationMinutes": 61})),
        (json!({"durationMinutes": 60}), json!({"durationMinutes": 59})),
        (json!({"shuffle": true}), json!({"shuffle": false})),
        (json!({"passMark": 40}), json!({"passMark": 41})),
    ];
    let action = &json!("change exam");
    assert_eq!(changes, expected.iter().map(|(before, after)| (action, before, after)).collect::<Vec<_>>());
    assert!(audit["items"][0]["actor"].as_str().expect("an address").starts_with("author-"));
    assert_eq!(format!("/exams/{}", audit["items"][0]["examId"].as_str().expect("an id")), hall.exam);
    hall.api.stop().await;
}

async fn one_student_gets_another_deadline(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let attempt = hall.begin(0).await;
    let path = format!("{attempt}/deadline");
    let deadline = Timestamp::from(SystemTime::now()).plus(minutes(150));
    let body = json!({"deadline": deadline, "reason": "the fire alarm"});
    hall.api.expect(403, Method::PUT, &path, &hall.students[0], &body).await;
    let moved = hall.as_author(200, Method::PUT, &path, &body).await;
    assert_eq!((time(&moved["deadline"]), &moved["state"]), (deadline, &json!("open")));
    assert_eq!(hall.as_author(200, Method::PUT, &path, &body).await["deadline"], moved["deadline"], "twice is once");
    let seen = hall.as_student(0, 200, Method::GET, &attempt).await;
    assert_eq!(time(&seen["deadline"]), deadline);
    for bad in [json!("2000-01-01T00:00:00Z"), json!("2999-01-01T00:00:00Z"), json!("soon"), json!(7)] {
        let refused = hall.as_author(422, Method::PUT, &path, &json!({ "deadline": bad })).await;
        assert_eq!(refused["errors"][0]["pointer"], "/deadline", "{bad}");
    }
    hall.as_author(200, Method::PATCH, &hall.exam, &json!({"durationMinutes": 100})).await;
    let seen = hall.as_student(0, 200, Method::GET, &attempt).await;
    assert_eq!(time(&seen["deadline"]), deadline.plus(minutes(10)), "and what all get on top");
    hall.submit(&attempt, 0).await;
    hall.as_author(409, Method::PUT, &path, &body).await;
    hall.as_author(404, Method::PUT, "/attempts/00000000-0000-0000-0000-000000000000/deadline", &body).await;
    let audit = hall.as_author(200, Method::GET, &format!("{}/audit", hall.exam), NOTHING).await;
    let entry = audit["items"].as_array().expect("entries").iter().find(|entry| entry["action"] == "set deadline");
    let entry = entry.expect("recorded");
    assert_eq!((&entry["reason"], &entry["userId"]), (&json!("the fire alarm"), &seen["userId"]));
    assert_eq!(time(&entry["after"]["deadline"]), deadline);
    hall.api.stop().await;
}

async fn accommodations_count_from_the_start(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let all = format!("{}/accommodations", hall.exam);
    let of = |student: &str| format!("{all}/{student}");
    for (bad, pointer) in [
        (json!({}), "/factor"),
        (json!({"factor": 0.9}), "/factor"),
        (json!({"factor": "twice"}), "/factor"),
        (json!({"minutes": -1}), "/minutes"),
        (json!({"hours": 1}), "/hours"),
    ] {
        let refused = hall.as_author(422, Method::PUT, &of(&hall.emails[0]), &bad).await;
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{bad}");
    }
    let granted = hall.as_author(200, Method::PUT, &of(&hall.emails[0]), &json!({"factor": 1.504, "minutes": 5})).await;
    assert_eq!(granted, json!({"factor": 1.5, "minutes": 5}));
    hall.as_author(404, Method::PUT, &of("nobody@example.com"), &json!({"minutes": 5})).await;
    hall.as_author(404, Method::PUT, &of("not an address"), &json!({"minutes": 5})).await;
    let listed = hall.as_author(200, Method::GET, &all, NOTHING).await;
    assert_eq!((&listed["items"][0]["email"], &listed["items"][0]["factor"]), (&json!(hall.emails[0]), &json!(1.5)));
    for (student, more) in [(0, 50), (1, 0)] {
        let attempt = hall.begin(student).await;
        let seen = hall.as_student(student, 200, Method::GET, &attempt).await;
        assert_eq!(time(&seen["deadline"]), time(&seen["startedAt"]).plus(minutes(90 + more)));
    }
    let student = listed["items"][0]["userId"].as_str().expect("an id");
    hall.as_author(204, Method::DELETE, &of(student), NOTHING).await;
    hall.as_author(404, Method::DELETE, &of(student), NOTHING).await;
    let listed = hall.as_author(200, Method::GET, &all, NOTHING).await;
    assert_eq!(listed["items"], json!([]));
    hall.api.expect(403, Method::GET, &all, &hall.students[0], NOTHING).await;
    hall.api.stop().await;
}
