//! Two processes grade an exam again, and one of them is killed: each result is changed once, and mailed once.

use examhall_testkit::{DatabaseKind, Process, World, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    Api, TIMEOUT,
    database::{on_both, sql},
    outbox::{jobs, world},
    token,
};

const STUDENTS: usize = 2_000;

on_both!(a_killed_regrade_is_finished_by_another_process);

/// An exam that everybody has answered with 5; returns its path and its author's token.
async fn sat(world: &World, api: &Api) -> (String, String) {
    let args = ["seed", "--questions", "1", "--students", &STUDENTS.to_string(), "--json"];
    let mut seeding = Process::spawn_binary("api", &args, world.settings());
    assert!(seeding.exit(TIMEOUT).await.success(), "{}", seeding.output());
    let seeded: Value = serde_json::from_str(seeding.output().lines().last().expect("a line")).expect("JSON");
    let author = token(api, seeded["authorEmail"].as_str().expect("text"), "examhall-demo").await;
    let path = format!("/exams/{}", seeded["examId"].as_str().expect("an id"));
    let questions = json!({"questions": [{"type": "numeric", "text": "17 / 4?", "answer": 4.25, "points": 3}]});
    let put = api.client.put(format!("{}{path}/questions", api.base)).bearer_auth(&author).json(&questions);
    let written: Value = put.send().await.expect("an answer").json().await.expect("JSON");
    let answers = json!([{"questionId": written["questions"][0]["id"], "value": 5.0}]);
    let (id, json) = match &world.database {
        examhall_testkit::Database::Sqlite(_) => ("randomblob(16)", ""),
        examhall_testkit::Database::Postgres(_) => ("gen_random_uuid()", "::jsonb"),
    };
    let attempts = format!(
        "INSERT INTO attempts (id, exam_id, user_id, number, started_at, deadline, answers, submitted_at) SELECT {id}, \
         exams.id, users.id, 1, 0, 1, '{answers}'{json}, 1 FROM exams, users WHERE role = 'student'"
    );
    sql(world, &attempts).await;
    let results = format!(
        "INSERT INTO results (id, attempt_id, exam_id, user_id, score, max_score, percent, passed, marks, graded_at) \
         SELECT {id}, id, exam_id, user_id, 0, 3, 0, false, '[]', 1 FROM attempts"
    );
    sql(world, &results).await;
    (path, author)
}

async fn a_killed_regrade_is_finished_by_another_process(database: DatabaseKind) {
    let world = world(database).await;
    let (mut one, other) = (Api::start(&world).await, Api::start(&world).await);
    let (exam, author) = sat(&world, &one).await;
    let key = json!({"questions": [{"type": "numeric", "text": "17 / 4?", "answer": 5.0, "points": 3}]});
    let sheet = format!("{}{exam}/questions?include=answers", other.base);
    let read: Value =
        other.client.get(&sheet).bearer_auth(&author).send().await.expect("an answer").json().await.expect("JSON");
    let question =
        format!("{}/questions/{}?force=true", other.base, read["questions"][0]["id"].as_str().expect("an id"));
    let changed = other.client.patch(question).bearer_auth(&author).json(&key["questions"][0]).send().await;
    assert_eq!(changed.expect("an answer").status(), StatusCode::OK);

    let regrade = |api: &Api| format!("{}{exam}/regrade", api.base);
    let begun = one.client.post(regrade(&one)).bearer_auth(&author).send().await.expect("an answer");
    assert_eq!(begun.status(), StatusCode::ACCEPTED);
    let seen = async || {
        let answer = other.client.get(regrade(&other)).bearer_auth(&author).send().await.expect("an answer");
        answer.json::<Value>().await.expect("JSON")
    };
    eventually("the first of them graded again", TIMEOUT, async || {
        (seen().await["graded"].as_u64() > Some(0)).then_some(())
    })
    .await;
    one.process.kill().await;
    let done = eventually("all graded again", TIMEOUT, async || {
        let regrade = seen().await;
        (regrade["state"] == "done").then_some(regrade)
    })
    .await;
    assert_eq!(
        (&done["graded"], &done["changed"], &done["mailed"]),
        (&json!(STUDENTS), &json!(STUDENTS), &json!(STUDENTS))
    );
    assert_eq!(sql(&world, "SELECT count(*) FROM results WHERE score = 3 AND version = 2").await, STUDENTS.to_string());
    assert_eq!(sql(&world, "SELECT count(*) FROM former_results WHERE score = 0").await, STUDENTS.to_string());
    eventually("a mail for each in the queue", TIMEOUT, async || {
        (usize::try_from(jobs(&world).await) == Ok(STUDENTS)).then_some(())
    })
    .await;
}
