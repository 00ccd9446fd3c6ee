//! Results that explain themselves: which attempt, which marks, and from when on.

use examhall_testkit::DatabaseKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{attempts::Hall, on_both};

const NOTHING: &Value = &Value::Null;

on_both!(
    a_result_names_its_attempt_and_its_marks,
    results_of_two_attempts_wait_until_the_exam_is_closed,
    results_may_wait_until_they_are_published,
    the_author_sees_who_sits_the_exam,
);

async fn a_result_names_its_attempt_and_its_marks(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let attempt = hall.begin(0).await;
    hall.save(&attempt, 0, &hall.answers(1, 9.0)).await;
    let (_, result) = hall.submit(&attempt, 0).await;
    assert_eq!(format!("/attempts/{}", result["attemptId"].as_str().expect("an id")), attempt);
    let path = format!("/results/{}", result["id"].as_str().expect("an id"));
    let seen = hall.as_student(0, 200, Method::GET, &path).await;
    assert_eq!(seen, result, "the same, and no marks");
    let marks = json!([
        {"questionId": hall.questions[0]["id"], "earned": 1.0, "points": 1.0},
        {"questionId": hall.questions[1]["id"], "earned": 0.0, "points": 3.0},
    ]);
    let marked = hall.as_author(200, Method::GET, &path, NOTHING).await;
    assert_eq!((&marked["marks"], &marked["attemptId"]), (&marks, &result["attemptId"]));
    let full = hall.as_author(200, Method::GET, &attempt, NOTHING).await;
    assert_eq!((&full["state"], &full["answers"][1]["value"]), (&json!("submitted"), &json!(9.0)));
    hall.as_author(200, Method::PATCH, &hall.exam, &json!({"showMarks": true})).await;
    assert_eq!(hall.as_student(0, 200, Method::GET, &path).await["marks"], marks);
    hall.as_student(1, 403, Method::GET, &path).await;
    hall.api.stop().await;
}

async fn results_of_two_attempts_wait_until_the_exam_is_closed(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"results": null})).await;
    let exam = hall.as_author(200, Method::GET, &hall.exam, NOTHING).await;
    assert_eq!(exam["results"], "onClose", "the key could be found by trial");
    let attempt = hall.begin(0).await;
    hall.save(&attempt, 0, &hall.answers(1, 9.0)).await;
    let (status, submitted) = hall.submit(&attempt, 0).await;
    assert_eq!(status, 200, "{submitted}");
    for field in ["score", "maxScore", "percent", "passed"] {
        assert!(submitted.get(field).is_none(), "{field}: {submitted}");
    }
    assert_eq!(hall.submit(&attempt, 0).await.1, submitted, "twice is once");
    let (path, list) =
        (format!("/results/{}", submitted["id"].as_str().expect("an id")), format!("{}/results", hall.exam));
    let refused = hall.as_student(0, 403, Method::GET, &path).await;
    assert!(refused["detail"].as_str().expect("text").contains("closed"), "{refused}");
    assert_eq!(hall.as_student(0, 200, Method::GET, &list).await["items"], json!([]));
    assert_eq!(hall.as_author(200, Method::GET, &path, NOTHING).await["score"], 1.0);
    assert_eq!(hall.as_author(200, Method::GET, &list, NOTHING).await["items"][0]["score"], 1.0);
    assert_eq!(hall.api.world.database.sql("SELECT COUNT(*) FROM mail_outbox WHERE class = 'result'").await, "0");

    hall.as_author(200, Method::POST, &format!("{}/close", hall.exam), NOTHING).await;
    assert_eq!(hall.as_student(0, 200, Method::GET, &path).await["score"], 1.0);
    assert_eq!(hall.submit(&attempt, 0).await.1["score"], 1.0);
    assert_eq!(hall.as_student(0, 200, Method::GET, &list).await["items"][0]["score"], 1.0);
    let one = hall.as_author(200, Method::PATCH, &hall.exam, &json!({"maxAttempts": 1})).await;
    assert_eq!(one["results"], "onSubmit", "it follows the number of attempts");
    hall.api.stop().await;
}

async fn results_may_wait_until_they_are_published(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"results": "onPublish"})).await;
    let attempt = hall.begin(0).await;
    let (_, submitted) = hall.submit(&attempt, 0).await;
    let path = format!("/results/{}", submitted["id"].as_str().expect("an id"));
    hall.as_author(200, Method::POST, &format!("{}/close", hall.exam), NOTHING).await;
    hall.as_student(0, 403, Method::GET, &path).await;
    let publish = format!("{}/results/publish", hall.exam);
    assert_eq!(hall.as_author(202, Method::POST, &publish, NOTHING).await, json!({"queued": 1}));
    assert_eq!(hall.as_student(0, 200, Method::GET, &path).await["score"], 0.0);
    assert_eq!(hall.api.only_mail().await["subject"], "Exam results are published");
    hall.as_author(200, Method::POST, &format!("{}/reopen", hall.exam), NOTHING).await;
    let late = hall.begin(1).await;
    let (_, submitted) = hall.submit(&late, 1).await;
    let late = format!("/results/{}", submitted["id"].as_str().expect("an id"));
    hall.as_student(1, 403, Method::GET, &late).await;
    hall.as_author(202, Method::POST, &publish, NOTHING).await;
    hall.as_student(1, 200, Method::GET, &late).await;
    let exam = hall.as_author(200, Method::GET, &hall.exam, NOTHING).await;
    assert!(exam["resultsPublishedAt"].is_string(), "{exam}");
    hall.api.stop().await;
}

async fn the_author_sees_who_sits_the_exam(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let (one, other) = (hall.begin(0).await, hall.begin(1).await);
    hall.save(&other, 1, &hall.answers(1, 4.25)).await;
    let (_, result) = hall.submit(&one, 0).await;
    let list = async |query: &str| {
        let path = format!("{}/attempts{query}", hall.exam);
        hall.as_author(200, Method::GET, &path, NOTHING).await["items"].as_array().expect("items").clone()
    };
    let all = list("").await;
    assert_eq!(all.iter().map(|row| row["state"].clone()).collect::<Vec<_>>(), ["submitted", "open"]);
    assert_eq!((&all[0]["email"], &all[0]["resultId"]), (&json!(hall.emails[0]), &result["id"]));
    assert_eq!((&all[1]["name"], all[1]["savedAt"].is_string()), (&json!("Student 2"), true));
    let open = list("?state=open").await;
    assert_eq!((open.len(), &open[0]["id"]), (1, &all[1]["id"]));
    assert_eq!(list("?state=submitted").await[0]["id"], all[0]["id"]);
    let page = hall.as_author(200, Method::GET, &format!("{}/attempts?limit=1", hall.exam), NOTHING).await;
    let rest = format!("?limit=1&cursor={}", page["nextCursor"].as_str().expect("another page"));
    assert_eq!(list(&rest).await[0]["id"], all[1]["id"]);
    hall.as_author(422, Method::GET, &format!("{}/attempts?state=asleep", hall.exam), NOTHING).await;
    let mine = hall.as_student(0, 200, Method::GET, &format!("{}/attempts", hall.exam)).await;
    assert_eq!(mine["items"].as_array().map(Vec::len), Some(1));
    assert!(mine["items"][0].get("email").is_none() && mine["items"][0]["state"] == "submitted", "{mine}");
    hall.as_author(200, Method::GET, &other, NOTHING).await;
    hall.api.stop().await;
}
