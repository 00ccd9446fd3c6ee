//! Attempts in a database that is not as it should be.

use examhall_testkit::{DatabaseKind, Process, World, eventually};
use serde_json::Value;

use crate::{
    Api, TIMEOUT,
    database::{on_both, sql},
    outbox::world,
    token,
};

on_both!(attempts_that_cannot_be_handed_in_hold_up_no_other, an_attempt_whose_questions_cannot_be_read_is_not_begun,);

async fn seed(world: &World, students: usize) -> Value {
    let args = ["seed", "--questions", "3", "--students", &students.to_string(), "--json"];
    let mut seeding = Process::spawn_binary("api", &args, world.settings());
    assert!(seeding.exit(TIMEOUT).await.success(), "{}", seeding.output());
    serde_json::from_str(seeding.output().lines().last().expect("a line")).expect("JSON")
}

async fn attempts_that_cannot_be_handed_in_hold_up_no_other(database: DatabaseKind) {
    let world = world(database).await;
    let api = Api::start(&world).await;
    let seeded = seed(&world, 251).await; // more than two batches
    let email = seeded["studentEmails"][0].as_str().expect("text");
    let id = if database == DatabaseKind::Sqlite { "randomblob(16)" } else { "gen_random_uuid()" };
    let attempts = format!(
        "INSERT INTO attempts (id, exam_id, user_id, number, started_at, deadline, answers) SELECT {id}, exams.id, \
         users.id, 1, 0, CASE WHEN email = '{email}' THEN 2 ELSE 1 END, CASE WHEN email = '{email}' THEN '[]' ELSE \
         '{{\"bad\": 1}}' END FROM exams, users WHERE role = 'student'"
    );
    let attempts =
        if database == DatabaseKind::Postgres { attempts.replace(" END FROM", " END::jsonb FROM") } else { attempts };
    sql(&world, &attempts).await;
    eventually("the one that is good is submitted", TIMEOUT, async || {
        (sql(&world, "SELECT count(*) FROM results").await == "1").then_some(())
    })
    .await;
    let line = api.process.line("Attempts cannot be submitted").await;
    assert!(line.contains("\"attempts\":250") && line.contains("attempts holds a bad answers"), "{line}");
}

async fn an_attempt_whose_questions_cannot_be_read_is_not_begun(database: DatabaseKind) {
    let world = world(database).await;
    let api = Api::start(&world).await;
    let seeded = seed(&world, 1).await;
    sql(&world, "UPDATE exams SET shuffle = true").await;
    sql(&world, "UPDATE questions SET kind = '{}'").await;
    let student = token(&api, seeded["studentEmails"][0].as_str().expect("text"), "examhall-demo").await;
    let start = format!("{}/exams/{}/attempts", api.base, seeded["examId"].as_str().expect("an id"));
    let answer = api.client.post(start).bearer_auth(&student).send().await.expect("an answer");
    assert_eq!(answer.status(), 500);
    assert_eq!(sql(&world, "SELECT count(*) FROM attempts").await, "0");
}
