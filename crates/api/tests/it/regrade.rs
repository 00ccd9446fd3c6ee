//! A key was wrong: its author corrects it, sees what that changes, and has all results graded again.

use examhall_testkit::{DatabaseKind, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{TIMEOUT, attempts::Hall, on_both};

const NOTHING: &Value = &Value::Null;

on_both!(a_corrected_key_reaches_every_result, what_students_do_not_see_yet_is_not_mailed);

/// Both students answer 5 to the question for a number; returns the paths of their results.
async fn sat(hall: &Hall) -> [String; 2] {
    let mut results = [String::new(), String::new()];
    for (student, result) in results.iter_mut().enumerate() {
        let attempt = hall.begin(student).await;
        hall.save(&attempt, student, &hall.answers(1, 5.0)).await;
        let (_, submitted) = hall.submit(&attempt, student).await;
        *result = format!("/results/{}", submitted["id"].as_str().expect("an id"));
    }
    results
}

/// From now on 5 is right.
async fn correct(hall: &Hall) {
    let question = format!("/questions/{}?force=true", hall.questions[1]["id"].as_str().expect("an id"));
    hall.as_author(200, Method::PATCH, &question, &json!({"answer": 5.0})).await;
}

/// Waits until all is graded again; returns how.
async fn done(hall: &Hall) -> Value {
    let path = format!("{}/regrade", hall.exam);
    eventually("all graded again", TIMEOUT, async || {
        let regrade = hall.as_author(200, Method::GET, &path, NOTHING).await;
        (regrade["state"] == "done").then_some(regrade)
    })
    .await
}

async fn a_corrected_key_reaches_every_result(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let (regrade, statistics) = (format!("{}/regrade", hall.exam), format!("{}/statistics", hall.exam));
    hall.as_author(404, Method::GET, &regrade, NOTHING).await;
    let results = sat(&hall).await;
    let before = hall.as_student(0, 200, Method::GET, &results[0]).await;
    assert_eq!(hall.as_author(200, Method::GET, &statistics, NOTHING).await["mean"], 25.0);
    correct(&hall).await;

    let plan = hall.as_author(200, Method::POST, &format!("{regrade}?dryRun=true"), NOTHING).await;
    let counted = |of: &Value| {
        ["changed", "raised", "lowered", "newlyPassed", "newlyFailed", "mailed"].map(|name| of[name].as_u64())
    };
    let expected = [2, 2, 0, 2, 0, 2].map(Some);
    assert_eq!((&plan["results"], counted(&plan)), (&json!(2), expected), "{plan}");
    let example = &plan["examples"][0];
    assert_eq!((&example["before"]["percent"], &example["after"]["percent"]), (&json!(25.0), &json!(100.0)));
    assert_eq!(hall.as_student(0, 200, Method::GET, &results[0]).await, before, "nothing is changed");
    hall.as_author(404, Method::GET, &regrade, NOTHING).await;
    hall.as_author(422, Method::POST, &format!("{regrade}?dryRun=perhaps"), NOTHING).await;
    let stale = hall.api.request(Method::POST, &format!("/api/v1{regrade}")).bearer_auth(&hall.author);
    let stale = stale.header("if-match", "\"1\"").send().await.expect("an answer");
    assert_eq!(stale.status(), 412, "not with another key than the one that was looked at");

    hall.as_author(202, Method::POST, &regrade, NOTHING).await;
    let finished = done(&hall).await;
    assert_eq!((&finished["graded"], counted(&finished)), (&json!(2), expected), "{finished}");
    assert_eq!(finished["version"], plan["version"]);
    for (student, result) in results.iter().enumerate() {
        let seen = hall.as_student(student, 200, Method::GET, result).await;
        assert_eq!((&seen["score"], &seen["passed"]), (&json!(4.0), &json!(true)), "{seen}");
        assert!(seen["regradedAt"].is_string() && (student == 1 || seen["gradedAt"] == before["gradedAt"]), "{seen}");
        let history = hall.as_student(student, 200, Method::GET, &format!("{result}/history")).await;
        assert_eq!((&history["items"][0]["percent"], history["items"][0].get("marks")), (&json!(25.0), None));
        let mails = hall.api.mails_to(&hall.emails[student], 2).await;
        let changed = mails.iter().find(|mail| mail["subject"] == "Your exam result has changed").expect("a mail");
        let text = changed["text"].as_str().expect("text");
        assert!(text.contains("Before, you had 1 of 4 points.") && text.contains("You earned 4 of 4 points"), "{text}");
    }
    hall.as_student(1, 403, Method::GET, &format!("{}/history", results[0])).await;
    let marks = hall.as_author(200, Method::GET, &format!("{}/history", results[0]), NOTHING).await;
    assert_eq!(marks["items"][0]["marks"][1]["earned"], 0.0);
    assert_eq!(hall.as_author(200, Method::GET, &statistics, NOTHING).await["mean"], 100.0);
    let audit = hall.as_author(200, Method::GET, &format!("{}/audit?limit=2", hall.exam), NOTHING).await;
    let actions = [0, 1].map(|n| (audit["items"][n]["action"].clone(), audit["items"][n]["affected"].clone()));
    assert_eq!(actions, [(json!("finish regrade"), json!(2)), (json!("regrade"), json!(2))]);

    hall.as_author(202, Method::POST, &regrade, NOTHING).await;
    assert_eq!(counted(&done(&hall).await), [Some(0); 6], "a second time changes nothing");
    hall.api.stop().await;
}

async fn what_students_do_not_see_yet_is_not_mailed(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"results": "onPublish"})).await;
    let results = sat(&hall).await;
    correct(&hall).await;
    hall.as_author(202, Method::POST, &format!("{}/regrade", hall.exam), NOTHING).await;
    let finished = done(&hall).await;
    assert_eq!((&finished["changed"], &finished["mailed"]), (&json!(2), &json!(0)));
    hall.as_student(0, 403, Method::GET, &results[0]).await;
    hall.as_student(0, 403, Method::GET, &format!("{}/history", results[0])).await;
    hall.as_author(202, Method::POST, &format!("{}/results/publish", hall.exam), NOTHING).await;
    let mails = hall.api.mails_to(&hall.emails[0], 1).await;
    assert!(mails[0]["text"].as_str().expect("text").contains("4 of 4 points"), "{}", mails[0]);
    hall.api.stop().await;
}
