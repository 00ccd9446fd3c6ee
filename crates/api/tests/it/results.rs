use examhall_testkit::DatabaseKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::Api;

const NOTHING: &Value = &Value::Null;

/// A seeded exam that its three students have sat; returns the exam's path, the author and the students.
async fn sat(api: &Api) -> (String, String, Vec<String>) {
    let seeded = api.seed_with(4, 3).await;
    let exam = format!("/exams/{}", seeded["examId"].as_str().expect("an id"));
    let author = api.log_in(&seeded["authorEmail"]).await;
    let mut students = Vec::new();
    for email in seeded["studentEmails"].as_array().expect("addresses") {
        let student = api.log_in(email).await;
        let attempt = api.expect(201, Method::POST, &format!("{exam}/attempts"), &student, NOTHING).await;
        let path = format!("/attempts/{}/submit", attempt["id"].as_str().expect("an id"));
        api.expect(200, Method::POST, &path, &student, NOTHING).await;
        students.push(student);
    }
    (exam, author, students)
}

#[tokio::test]
async fn a_result_is_for_who_earned_it_and_who_wrote_the_exam() {
    let api = Api::start().await;
    let (exam, author, students) = sat(&api).await;
    let all = api.expect(200, Method::GET, &format!("{exam}/results"), &author, NOTHING).await;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(3));
    let mine = api.expect(200, Method::GET, &format!("{exam}/results"), &students[0], NOTHING).await;
    assert_eq!(mine["items"].as_array().map(Vec::len), Some(1));
    let path = format!("/results/{}", mine["items"][0]["id"].as_str().expect("an id"));
    for (token, status) in [(&students[0], 200), (&author, 200), (&students[1], 403)] {
        api.expect(status, Method::GET, &path, token, NOTHING).await;
    }
    let cached = api.request(Method::GET, &format!("/api/v1{path}")).bearer_auth(&students[0]);
    let cached = cached.send().await.expect("an answer");
    assert_eq!(cached.headers()["cache-status"], "examhall; hit");
    api.expect(404, Method::GET, "/results/00000000-0000-0000-0000-000000000000", &author, NOTHING).await;
    for path in ["statistics", "results.csv"] {
        api.expect(403, Method::GET, &format!("{exam}/{path}"), &students[0], NOTHING).await;
    }
    api.expect(403, Method::POST, &format!("{exam}/results/publish"), &students[0], NOTHING).await;
    api.stop().await;
}

#[tokio::test]
async fn results_can_be_counted_and_exported() {
    let api = Api::start().await;
    let (exam, author, _) = sat(&api).await;
    let statistics = api.expect(200, Method::GET, &format!("{exam}/statistics"), &author, NOTHING).await;
    assert_eq!((&statistics["count"], &statistics["mean"]), (&json!(3), &json!(0.0)));
    assert_eq!(statistics["questions"].as_array().map(Vec::len), Some(4));
    let file = api.request(Method::GET, &format!("/api/v1{exam}/results.csv")).bearer_auth(&author);
    let file = file.send().await.expect("an answer");
    assert_eq!(file.headers()["content-type"], "text/csv; charset=utf-8");
    let bytes = file.bytes().await.expect("a body");
    assert!(bytes.starts_with(b"\xef\xbb\xbf"), "spreadsheets see that it is UTF-8");
    let text = String::from_utf8(bytes[3..].to_vec()).expect("text");
    let lines: Vec<_> = text.split("\r\n").collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert_eq!(lines[0], "resultId,userId,name,email,score,maxScore,percent,passed,gradedAt,attemptId,marks");
    assert!(lines[1].contains(",Student 1,student-1-") && lines[1].contains(",0,4,0,no,"), "{text}");
    assert!(lines[1].ends_with(",0 of 1 | 0 of 1 | 0 of 1 | 0 of 1"), "{text}");
    api.stop().await;
}

fn computations() -> u64 {
    let metrics = examhall_boot::metrics::Metrics::install().render();
    let line = metrics.lines().find(|line| line.starts_with("statistics_computed_total"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

async fn statistics_are_computed_once_until_they_change(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let (exam, author, _) = sat(&api).await;
    let (other, other_author, _) = sat(&api).await;
    let path = format!("{exam}/statistics");
    let read = async || api.expect(200, Method::GET, &path, &author, NOTHING).await;
    let crowd = futures_util::future::join_all((0..50).map(|_| read())).await;
    assert_eq!((&crowd[0]["count"], crowd[0]["questions"].as_array().map(Vec::len)), (&json!(3), Some(4)));
    assert!(crowd.iter().all(|one| *one == crowd[0]));
    assert_eq!(computations(), 1, "of 50 readers at once");
    assert_eq!((read().await, computations()), (crowd[0].clone(), 1), "nothing has changed");

    let late = api.seed_with(1, 1).await;
    let late = api.log_in(&late["studentEmails"][0]).await;
    let attempt = api.expect(201, Method::POST, &format!("{exam}/attempts"), &late, NOTHING).await;
    assert_eq!((read().await, computations()), (crowd[0].clone(), 1), "an open attempt has no result");
    let submit = format!("/attempts/{}/submit", attempt["id"].as_str().expect("an id"));
    api.expect(200, Method::POST, &submit, &late, NOTHING).await;
    assert_eq!((&read().await["count"], computations()), (&json!(4), 2), "a new result");

    let key = json!({"questions": [{"type": "trueFalse", "text": "2 + 2 = 4", "correct": true}]});
    api.expect(200, Method::PUT, &format!("{exam}/questions?force=true"), &author, &key).await;
    assert_eq!((&read().await["count"], computations()), (&json!(4), 3), "a changed key");
    let others = api.expect(200, Method::GET, &format!("{other}/statistics"), &other_author, NOTHING).await;
    assert_eq!((&others["count"], computations()), (&json!(3), 4), "another exam");
    assert_eq!((&read().await["count"], computations()), (&json!(4), 4), "another exam pushes none out");
    api.stop().await;
}

#[tokio::test]
async fn statistics_are_computed_once_on_sqlite() {
    statistics_are_computed_once_until_they_change(DatabaseKind::Sqlite).await;
}

#[tokio::test]
async fn statistics_are_computed_once_on_postgres() {
    statistics_are_computed_once_until_they_change(DatabaseKind::Postgres).await;
}

async fn publishing_queues_one_mail_per_student(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let (exam, author, _) = sat(&api).await;
    let publish = format!("{exam}/results/publish");
    assert_eq!(api.expect(202, Method::POST, &publish, &author, NOTHING).await, json!({"queued": 3}));
    assert_eq!(api.expect(202, Method::POST, &publish, &author, NOTHING).await, json!({"queued": 0}));
    examhall_testkit::eventually("all mails queued", crate::TIMEOUT, async || {
        (api.world.redis.cmd::<i64>("ZCARD bull:email:prioritized").await == 6).then_some(())
    })
    .await;
    let ids: Vec<String> = api.world.redis.cmd("ZRANGE bull:email:prioritized 0 -1").await;
    let mut subjects = Vec::new();
    for id in ids {
        let data: String = api.world.redis.cmd(&format!("HGET bull:email:{id} data")).await;
        let mail: Value = serde_json::from_str(&data).expect("JSON");
        subjects.push(mail["subject"].as_str().expect("text").to_owned());
    }
    let (first, last) = subjects.split_at(3);
    assert!(first.iter().all(|subject| subject == "Your exam result"), "priority 5 goes first: {subjects:?}");
    assert!(last.iter().all(|subject| subject == "Exam results are published"), "{subjects:?}");
    api.stop().await;
}

#[tokio::test]
async fn publishing_queues_one_mail_per_student_on_sqlite() {
    publishing_queues_one_mail_per_student(DatabaseKind::Sqlite).await;
}

#[tokio::test]
async fn publishing_queues_one_mail_per_student_on_postgres() {
    publishing_queues_one_mail_per_student(DatabaseKind::Postgres).await;
}
