//! An exam whose author says who may sit it: by invitation, by code, and not at all; through two processes, as in the story of
//! all. Its key turns out to be wrong.

use examhall_testkit::{DatabaseKind, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    TIMEOUT, on_both, pages,
    story::{Hall, Person, id, items},
};

on_both!(guests_come_by_invitation_and_by_code_and_strangers_do_not);

const NOTHING: &Value = &Value::Null;
const PASSWORD: &str = "battery staple";

/// A published exam of one question whose key is wrong; returns its path and the question's id.
async fn published(hall: &Hall, author: &Person, options: Value) -> (String, String) {
    let mut exam = json!({"title": "Logic", "description": "", "durationMinutes": 60, "maxAttempts": 2,
        "results": "onSubmit"});
    exam.as_object_mut().expect("an object").extend(options.as_object().expect("an object").clone());
    let exam = format!("/exams/{}", id(&hall.expect(201, Method::POST, "/exams", &author.token, &exam).await));
    let questions = json!({"questions": [{"type": "trueFalse", "text": "1 = 1", "correct": false}]});
    let sheet = hall.expect(200, Method::PUT, &format!("{exam}/questions"), &author.token, &questions).await;
    hall.expect(200, Method::POST, &format!("{exam}/publish"), &author.token, NOTHING).await;
    (exam, id(&sheet["questions"][0]))
}

/// Starts, answers with yes and submits; returns the result.
async fn sit(hall: &Hall, student: &Person, exam: &str, question: &str) -> Value {
    let attempt = hall.expect(201, Method::POST, &format!("{exam}/attempts"), &student.token, NOTHING).await;
    let path = format!("/attempts/{}", id(&attempt));
    let answers = json!({"seq": 1, "answers": [{"questionId": question, "value": true}]});
    hall.expect(200, Method::PUT, &format!("{path}/answers"), &student.token, &answers).await;
    hall.expect(200, Method::POST, &format!("{path}/submit"), &student.token, NOTHING).await
}

/// Two that have no account yet: one answers the invitation through the API, the other on its page.
async fn invited(hall: &Hall, author: &Person, exam: &str) -> (Person, Person) {
    let roster = json!({"students": [{"email": "ada@example.com", "name": "Ada"}, {"email": "bob@example.com"}]});
    hall.expect(200, Method::PUT, &format!("{exam}/roster"), &author.token, &roster).await;
    let invitations = format!("{exam}/invitations");
    let queued = hall.expect(202, Method::POST, &invitations, &author.token, NOTHING).await;
    assert_eq!(queued["queued"], 2);
    assert_eq!(hall.expect(202, Method::POST, &invitations, &author.token, NOTHING).await["queued"], 0);
    let link = hall.link("ada@example.com", "Invitation: Logic", "invitation").await;
    let choice = json!({"token": link, "name": "Ada", "password": PASSWORD});
    hall.expect(200, Method::POST, "/auth/invitation", "", &choice).await;
    hall.expect(409, Method::POST, "/auth/invitation", "", &choice).await;
    let link = hall.link("bob@example.com", "Invitation: Logic", "invitation").await;
    let fields = [("token", link.as_str()), ("name", "Bob"), ("password", PASSWORD)];
    assert_eq!(pages::send(&hall.api, "/invitation", &fields).await.status(), 200);
    (hall.log_in("ada@example.com", PASSWORD).await, hall.log_in("bob@example.com", PASSWORD).await)
}

/// The author sees that the key was wrong, and all is graded again.
async fn graded_again(hall: &Hall, author: &Person, exam: &str, question: &str) {
    let path = format!("/questions/{question}?force=true");
    hall.expect(200, Method::PATCH, &path, &author.token, &json!({"correct": true})).await;
    let regrade = format!("{exam}/regrade");
    let plan = hall.expect(200, Method::POST, &format!("{regrade}?dryRun=true"), &author.token, NOTHING).await;
    assert_eq!((&plan["changed"], &plan["raised"]), (&json!(2), &json!(2)), "{plan}");
    hall.expect(202, Method::POST, &regrade, &author.token, NOTHING).await;
    eventually("all graded again", TIMEOUT, async || {
        let regrade = hall.get(&regrade, &author.token).await;
        (regrade["state"] == "done").then_some(())
    })
    .await;
}

async fn guests_come_by_invitation_and_by_code_and_strangers_do_not(database: DatabaseKind) {
    let hall = Hall::open(database).await;
    let admin = hall.api.admin().await;
    let author = hall.author(&admin, "author@example.com").await;
    let second = hall.author(&admin, "second@example.com").await;
    let stranger = hall.student("mallory@example.com", "Mallory").await;
    let (exam, question) = published(&hall, &author, json!({"access": "roster"})).await;
    for path in ["invitations", "roster"] {
        let path = format!("{exam}/{path}");
        let body = if path.ends_with("roster") { json!({"students": []}) } else { Value::Null };
        hall.expect(401, Method::POST, &path, "", &body).await;
        for outsider in [&stranger, &second] {
            hall.expect(403, Method::POST, &path, &outsider.token, &body).await;
        }
    }
    let (ada, bob) = invited(&hall, &author, &exam).await;
    assert_eq!(items(&hall.get("/exams", &ada.token).await), 1);
    assert_eq!(items(&hall.get("/exams", &stranger.token).await), 0);
    hall.expect(403, Method::POST, &format!("{exam}/attempts"), &stranger.token, NOTHING).await;

    let result = sit(&hall, &ada, &exam, &question).await;
    assert_eq!(result["percent"], 0.0, "by the wrong key");
    // Bob's seat goes with him to his new address.
    let body = json!({"email": "robert@example.com", "password": PASSWORD});
    hall.expect(202, Method::POST, "/users/me/email", &bob.token, &body).await;
    let link = hall.link("robert@example.com", "Confirm your new e-mail address", "verify").await;
    hall.expect(200, Method::POST, "/auth/verify", "", &json!({"token": link})).await;
    let bob = hall.log_in("robert@example.com", PASSWORD).await;
    sit(&hall, &bob, &exam, &question).await;
    let roster = hall.get(&format!("{exam}/roster"), &author.token).await;
    assert_eq!(roster["items"][1]["email"], "robert@example.com");
    graded_again(&hall, &author, &exam, &question).await;
    let result = hall.get(&format!("/results/{}", id(&result)), &ada.token).await;
    assert_eq!(result["percent"], 100.0);
    hall.mail(&bob.email, "Your exam result has changed").await;

    let (coded, question) = published(&hall, &author, json!({"access": "code", "accessCode": "autumn-leaves"})).await;
    let (attempts, seat) = (format!("{coded}/attempts"), format!("{coded}/seat"));
    hall.expect(403, Method::POST, &attempts, &stranger.token, NOTHING).await;
    hall.expect(403, Method::POST, &seat, &stranger.token, &json!({"code": "a guess"})).await;
    hall.expect(403, Method::POST, &attempts, &stranger.token, NOTHING).await;
    hall.expect(200, Method::POST, &seat, &ada.token, &json!({"code": "autumn-leaves"})).await;
    sit(&hall, &ada, &coded, &question).await;
    let path = format!("{exam}/roster/ada@example.com");
    hall.expect(204, Method::DELETE, &path, &author.token, NOTHING).await;
    hall.expect(403, Method::POST, &format!("{exam}/attempts"), &ada.token, NOTHING).await;
    hall.api.stop().await;
}
