//! A copy of an account's data, and the account's end: what others must keep stays, and names nobody.

use examhall_testkit::{DatabaseKind, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Api, TIMEOUT, on_both, problem,
    revoked::{Other, waits},
};

const NOTHING: &Value = &Value::Null;
const PASSWORD: &str = "examhall-demo";

on_both!(
    an_export_holds_all_that_is_shown_to_its_owner,
    an_export_holds_the_seats_of_its_owner,
    deleting_an_account_keeps_its_grades_without_a_name,
    deleting_an_account_that_sits_submits_what_it_saved,
    submitting_and_deleting_at_once_lose_nothing,
    authors_close_their_exams_before_they_go,
);

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// An exam of one question by a seeded author, with seeded students.
struct Hall {
    api: Api,
    author: String,
    exam: String,
    question: Value,
    emails: Vec<Value>,
}

impl Hall {
    async fn open(database: DatabaseKind, settings: &Value) -> Self {
        let api = Api::start_on(database).await;
        let seeded = api.seed_with(1, 2).await;
        let author = api.log_in(&seeded["authorEmail"]).await;
        let mut exam = json!({"title": "Logic", "description": "", "durationMinutes": 60});
        exam.as_object_mut().expect("an object").extend(settings.as_object().expect("an object").clone());
        let exam = api.expect(201, Method::POST, "/exams", &author, &exam).await;
        let exam = format!("/exams/{}", text(&exam["id"]));
        let questions = json!({"questions": [{"type": "trueFalse", "text": "?", "correct": true}]});
        let sheet = api.expect(200, Method::PUT, &format!("{exam}/questions"), &author, &questions).await;
        api.expect(200, Method::POST, &format!("{exam}/publish"), &author, NOTHING).await;
        let emails = seeded["studentEmails"].as_array().expect("addresses").clone();
        Self { api, author, exam, question: sheet["questions"][0]["id"].clone(), emails }
    }

    /// Logs a student in who starts and saves the right answer; returns their token and the attempt's path.
    async fn sit(&self, n: usize) -> (String, String) {
        let student = self.api.log_in(&self.emails[n]).await;
        let attempt = self.api.expect(201, Method::POST, &format!("{}/attempts", self.exam), &student, NOTHING).await;
        let attempt = format!("/attempts/{}", text(&attempt["id"]));
        let answers = json!({"seq": 1, "answers": [{"questionId": self.question, "value": true}]});
        self.api.expect(200, Method::PUT, &format!("{attempt}/answers"), &student, &answers).await;
        (student, attempt)
    }

    async fn delete(&self, token: &str) -> u16 {
        self.api.call(Method::DELETE, "/users/me", token, &json!({"password": PASSWORD})).await.0
    }

    /// The results of the exam, once there is one of each of `count` attempts.
    async fn results(&self, count: usize) -> Vec<Value> {
        eventually("all results", TIMEOUT, async || {
            let path = format!("{}/results", self.exam);
            let all = self.api.expect(200, Method::GET, &path, &self.author, NOTHING).await;
            all["items"].as_array().filter(|items| items.len() == count).cloned()
        })
        .await
    }
}

async fn an_export_holds_all_that_is_shown_to_its_owner(database: DatabaseKind) {
    let hall = Hall::open(database, &json!({"results": "onPublish", "showMarks": true})).await;
    let (student, attempt) = hall.sit(0).await;
    hall.api.expect(200, Method::POST, &format!("{attempt}/submit"), &student, NOTHING).await;
    let export = async || hall.api.expect(200, Method::GET, "/users/me/export", &student, NOTHING).await;
    let before = export().await;
    assert_eq!((&before["email"], before["sessions"].as_array().map(Vec::len)), (&hall.emails[0], Some(1)));
    let mine = &before["attempts"][0];
    assert_eq!((&mine["exam"], &mine["state"]), (&json!("Logic"), &json!("submitted")));
    assert_eq!(mine["answers"], json!([{"questionId": hall.question, "value": true}]));
    assert!(mine["result"].is_null() && mine["marks"].is_null(), "not shown yet: {mine}");
    let publish = format!("{}/results/publish", hall.exam);
    hall.api.expect(202, Method::POST, &publish, &hall.author, NOTHING).await;
    let after = export().await;
    assert_eq!(after["attempts"][0]["result"]["percent"], 100.0);
    assert_eq!(after["attempts"][0]["marks"][0]["earned"], 1.0);
    assert!(!after.to_string().contains("argon2"), "no password hash");
    hall.api.stop().await;
}

async fn an_export_holds_the_seats_of_its_owner(database: DatabaseKind) {
    let hall = Hall::open(database, &json!({"access": "roster"})).await;
    let draft = json!({"title": "Secret", "description": "", "durationMinutes": 1, "access": "roster"});
    let draft = hall.api.expect(201, Method::POST, "/exams", &hall.author, &draft).await;
    let draft = format!("/exams/{}", text(&draft["id"]));
    let roster = json!({"students": [{"email": hall.emails[0], "name": "Ada L."}, {"email": hall.emails[1]}]});
    for exam in [&hall.exam, &draft] {
        hall.api.expect(200, Method::PUT, &format!("{exam}/roster"), &hall.author, &roster).await;
    }
    let invitation = json!({"emails": [hall.emails[0]]});
    hall.api.expect(202, Method::POST, &format!("{}/invitations", hall.exam), &hall.author, &invitation).await;
    let student = hall.api.log_in(&hall.emails[0]).await;
    let export = hall.api.expect(200, Method::GET, "/users/me/export", &student, NOTHING).await;
    assert_eq!(export["seats"].as_array().map(Vec::len), Some(1), "of no draft: {export}");
    let seat = &export["seats"][0];
    assert_eq!((&seat["exam"], &seat["email"]), (&json!("Logic"), &hall.emails[0]));
    assert_eq!((&seat["name"], &seat["source"]), (&json!("Ada L."), &json!("roster")));
    assert!(seat["invitedAt"].is_string() && seat["addedAt"].is_string(), "{seat}");
    hall.api.stop().await;
}

async fn deleting_an_account_keeps_its_grades_without_a_name(database: DatabaseKind) {
    let hall = Hall::open(database, &json!({})).await;
    let other = Other::start(&hall.api.world).await;
    let (student, attempt) = hall.sit(0).await;
    hall.api.expect(200, Method::POST, &format!("{attempt}/submit"), &student, NOTHING).await;
    let id = text(&hall.api.expect(200, Method::GET, "/users/me", &student, NOTHING).await["id"]);
    let wrong = hall.api.send(Method::DELETE, "/users/me", &student, &json!({"password": "wrong horse"})).await;
    assert_eq!(problem(wrong, 422).await["errors"][0]["pointer"], "/password");
    assert_eq!(hall.delete(&student).await, 204);
    waits(&hall.api, &[&hall.api.base, &other.base], "/exams", &student).await;
    let email = text(&hall.emails[0]);
    let log_in = json!({"email": email, "password": PASSWORD});
    assert_eq!(hall.api.post("/api/v1/auth/login", &log_in).await.status(), 401);
    let kept = hall.results(1).await;
    assert_eq!((&kept[0]["percent"], &kept[0]["name"]), (&json!(100.0), &json!("Deleted account")));
    assert_eq!(text(&kept[0]["userId"]), id);
    let file = hall.api.request(Method::GET, &format!("/api/v1{}/results.csv", hall.exam)).bearer_auth(&hall.author);
    let file = file.send().await.expect("an answer").text().await.expect("text");
    assert!(!file.contains(&email) && !file.contains("Student 1"), "{file}");
    let profile = hall.api.expect(200, Method::GET, &format!("/users/{id}/profile"), &hall.author, NOTHING).await;
    assert_eq!(profile["name"], "Deleted account");
    let subjects: Vec<_> = hall.api.mails_to(&email, 2).await.iter().map(|mail| text(&mail["subject"])).collect();
    assert!(subjects.contains(&"Your account is deleted".to_owned()), "{subjects:?}");
    // The address is free for another account, which has nothing of the former one.
    assert_eq!(hall.api.sign_up(&email).await.status(), 202);
    let count = hall.api.world.database.sql(&format!("SELECT count(*) FROM users WHERE email = '{email}'")).await;
    assert_eq!(count, "1");
    hall.api.stop().await;
}

async fn deleting_an_account_that_sits_submits_what_it_saved(database: DatabaseKind) {
    let hall = Hall::open(database, &json!({})).await;
    let (student, attempt) = hall.sit(0).await;
    assert_eq!(hall.delete(&student).await, 204);
    let kept = hall.results(1).await;
    assert_eq!((&kept[0]["percent"], &kept[0]["name"]), (&json!(100.0), &json!("Deleted account")));
    let seen = hall.api.expect(200, Method::GET, &attempt, &hall.author, NOTHING).await;
    assert!(seen["submittedAt"].is_string(), "{seen}");
    let mails = hall.api.mails_to(&text(&hall.emails[0]), 1).await;
    assert_eq!(mails.len(), 1, "no mail about a result: {mails:?}");
    hall.api.stop().await;
}

async fn submitting_and_deleting_at_once_lose_nothing(database: DatabaseKind) {
    let hall = Hall::open(database, &json!({"maxAttempts": 3, "results": "onSubmit"})).await;
    for n in 0..2 {
        let (student, attempt) = hall.sit(n).await;
        let submit = format!("{attempt}/submit");
        let submitted = async { hall.api.call(Method::POST, &submit, &student, NOTHING).await.0 };
        let (deleted, submitted) = tokio::join!(hall.delete(&student), submitted);
        assert!(deleted == 204 && [200, 401].contains(&submitted), "{deleted} {submitted}");
        let start = hall.api.call(Method::POST, &format!("{}/attempts", hall.exam), &student, NOTHING).await.0;
        assert!([401, 404].contains(&start), "a deleted account starts nothing: {start}");
    }
    for kept in hall.results(2).await {
        assert_eq!((&kept["percent"], &kept["name"]), (&json!(100.0), &json!("Deleted account")));
    }
    hall.api.stop().await;
}

async fn authors_close_their_exams_before_they_go(database: DatabaseKind) {
    let hall = Hall::open(database, &json!({})).await;
    let (email, password) = hall.api.create_user("author").await;
    let log_in = json!({"email": email, "password": password});
    let author: Value = hall.api.post("/api/v1/auth/login", &log_in).await.json().await.expect("JSON");
    let author = text(&author["accessToken"]);
    let draft = json!({"title": "Draft", "description": "", "durationMinutes": 1});
    let draft = hall.api.expect(201, Method::POST, "/exams", &author, &draft).await;
    let body = json!({"password": password});
    hall.api.expect(409, Method::DELETE, "/users/me", &author, &body).await;
    let draft = format!("/exams/{}", text(&draft["id"]));
    hall.api.expect(204, Method::DELETE, &draft, &author, NOTHING).await;
    hall.api.expect(204, Method::DELETE, "/users/me", &author, &body).await;
    let left = hall.api.world.database.sql(&format!("SELECT count(*) FROM users WHERE email = '{email}'")).await;
    assert_eq!(left, "0", "nothing of it must stay");
    // The last administrator stays.
    let (email, password) = hall.api.create_user("admin").await;
    let log_in = json!({"email": email, "password": password});
    let admin: Value = hall.api.post("/api/v1/auth/login", &log_in).await.json().await.expect("JSON");
    let body = json!({"password": password});
    hall.api.expect(409, Method::DELETE, "/users/me", &text(&admin["accessToken"]), &body).await;
    hall.api.stop().await;
}
