//! One exam from its draft to the end of its students' accounts, by everybody who has a part in it, through two processes:
//! each request goes to the other one of them.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime},
};

use examhall_core::Timestamp;
use examhall_testkit::{DatabaseKind, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Api, TIMEOUT, auth::log_in_tokens, on_both, revoked::Other};

on_both!(everybody_does_their_part_through_two_processes);

const NOTHING: &Value = &Value::Null;
const PASSWORD: &str = "correct horse";

/// Two APIs of one installation.
pub(crate) struct Hall {
    pub(crate) api: Api,
    other: Other,
    turn: AtomicUsize,
}

/// Somebody who has logged in.
pub(crate) struct Person {
    pub(crate) email: String,
    pub(crate) token: String,
}

impl Hall {
    pub(crate) async fn open(database: DatabaseKind) -> Self {
        let api = Api::start_on(database).await;
        let other = Other::start(&api.world).await;
        Self { api, other, turn: AtomicUsize::new(0) }
    }

    async fn call(&self, method: Method, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let is_first = self.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        let base = if is_first { &self.api.base } else { &self.other.base };
        let mut request = self.api.client.request(method, format!("{base}/api/v1{path}"));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    pub(crate) async fn expect(&self, status: u16, method: Method, path: &str, token: &str, body: &Value) -> Value {
        let (found, answer) = self.call(method.clone(), path, token, body).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
        answer
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Value {
        self.expect(200, Method::GET, path, token, NOTHING).await
    }

    /// The newest mail to an address with this subject, as text.
    pub(crate) async fn mail(&self, email: &str, subject: &str) -> String {
        eventually(subject, TIMEOUT, async || {
            let mails = self.api.mails_to(email, 1).await;
            let mail = mails.iter().rev().find(|mail| mail["subject"] == subject)?;
            mail["text"].as_str().map(ToOwned::to_owned)
        })
        .await
    }

    /// The token of the link to a page in that mail.
    pub(crate) async fn link(&self, email: &str, subject: &str, page: &str) -> String {
        let text = self.mail(email, subject).await;
        let after = text.split(&format!("/{page}?token=")).nth(1).expect("a link");
        after.split_whitespace().next().expect("a token").to_owned()
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Person {
        let tokens = log_in_tokens(&self.api, email, password).await;
        Person { email: email.to_owned(), token: tokens["accessToken"].as_str().expect("a token").to_owned() }
    }

    /// Somebody who signs up and answers the mail.
    pub(crate) async fn student(&self, email: &str, name: &str) -> Person {
        let body = json!({"email": email, "name": name, "password": PASSWORD});
        self.expect(202, Method::POST, "/auth/signup", "", &body).await;
        let link = self.link(email, "Confirm your e-mail address", "verify").await;
        self.expect(200, Method::POST, "/auth/verify", "", &json!({"token": link})).await;
        self.log_in(email, PASSWORD).await
    }

    /// Somebody whom the administrator invites.
    pub(crate) async fn author(&self, admin: &str, email: &str) -> Person {
        let body = json!({"email": email, "name": "Author", "role": "author"});
        self.expect(201, Method::POST, "/users", admin, &body).await;
        let link = self.link(email, "You are invited to Examhall", "reset").await;
        let body = json!({"token": link, "password": PASSWORD});
        self.expect(200, Method::POST, "/auth/reset", "", &body).await;
        self.log_in(email, PASSWORD).await
    }
}

pub(crate) fn id(value: &Value) -> String {
    value["id"].as_str().expect("an id").to_owned()
}

pub(crate) fn items(list: &Value) -> usize {
    list["items"].as_array().expect("items").len()
}

/// A published exam with two questions; returns its path and the sheet.
async fn published(hall: &Hall, author: &Person) -> (String, Value) {
    let exam = json!({"title": "Algebra", "description": "", "durationMinutes": 60, "results": "onPublish",
        "showMarks": true, "shuffle": true});
    let exam = hall.expect(201, Method::POST, "/exams", &author.token, &exam).await;
    let exam = format!("/exams/{}", id(&exam));
    let question = |text: &str| json!({"type": "trueFalse", "text": text, "correct": true});
    let questions = json!({"questions": [question("1"), question("2")]});
    let sheet = hall.expect(200, Method::PUT, &format!("{exam}/questions"), &author.token, &questions).await;
    hall.expect(200, Method::POST, &format!("{exam}/publish"), &author.token, NOTHING).await;
    (exam, sheet)
}

/// Starts, reads and saves the right answers to the first `right` questions; returns the attempt.
async fn sit(hall: &Hall, student: &Person, exam: &str, sheet: &Value, right: usize) -> Value {
    let questions = format!("{exam}/questions");
    hall.expect(403, Method::GET, &questions, &student.token, NOTHING).await; // the clock binds
    let attempt = hall.expect(201, Method::POST, &format!("{exam}/attempts"), &student.token, NOTHING).await;
    hall.get(&questions, &student.token).await;
    let answer = |n: usize| json!({"questionId": sheet["questions"][n]["id"], "value": true});
    let answers = json!({"seq": 1, "answers": (0..right).map(answer).collect::<Vec<_>>()});
    let path = format!("/attempts/{}/answers", id(&attempt));
    hall.expect(200, Method::PUT, &path, &student.token, &answers).await;
    attempt
}

/// Sends a file, to be imported with these parameters.
async fn import(hall: &Hall, token: &str, parameters: &str, kind: &str, file: String) -> (u16, Value) {
    let path = format!("{}/api/v1/exams/import?{parameters}", hall.other.base);
    let request = hall.api.client.post(path).bearer_auth(token).header("content-type", kind);
    let answer = request.body(file).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// The author hands the exam on in every format, and the second author makes it their own.
async fn the_exam_is_handed_on(hall: &Hall, author: &Person, second: &Person, student: &Person, exam: &str) {
    let keys = async |exam: &str, token: &str| {
        let sheet = hall.get(&format!("{exam}/questions?include=answers"), token).await;
        let questions = sheet["questions"].as_array().expect("questions").clone();
        questions.iter().map(|one| (one["text"].clone(), one["correct"].clone())).collect::<Vec<_>>()
    };
    let expected = keys(exam, &author.token).await;
    let before = items(&hall.get("/exams?status=draft", &second.token).await);
    for (format, kind) in
        [("json", "application/json"), ("gift", "text/plain; charset=utf-8"), ("moodle-xml", "application/xml")]
    {
        let path = format!("{exam}/export?format={format}");
        for outsider in [second, student] {
            hall.expect(403, Method::GET, &path, &outsider.token, NOTHING).await;
        }
        let request = hall.api.client.get(format!("{}/api/v1{path}", hall.api.base)).bearer_auth(&author.token);
        let file = request.send().await.expect("an answer").text().await.expect("a file");
        let parameters = if format == "json" { "" } else { "durationMinutes=60" };
        assert_eq!(import(hall, &student.token, parameters, kind, file.clone()).await.0, 403);
        let (status, made) = import(hall, &second.token, parameters, kind, file).await;
        assert_eq!((status, &made["title"], &made["status"]), (201, &json!("Algebra"), &json!("draft")), "{made}");
        assert_eq!(keys(&format!("/exams/{}", id(&made)), &second.token).await, expected);
    }
    let bad = "One?{T}\n\nTwo?{}\n\nThree?{#four}\n\nFour?{=a\n".to_owned();
    let (status, refused) = import(hall, &second.token, "title=Bad&durationMinutes=60", "text/plain", bad).await;
    let details = refused["errors"].as_array().into_iter().flatten();
    let lines: Vec<_> = details.filter_map(|error| error["detail"].as_str()?.split(':').next()).collect();
    assert_eq!((status, lines), (422, vec!["line 3", "line 5", "line 7"]));
    let path = format!("{exam}/duplicate");
    for outsider in [second, student] {
        hall.expect(403, Method::POST, &path, &outsider.token, NOTHING).await;
    }
    let copy = hall.expect(201, Method::POST, &path, &author.token, &json!({"title": "Algebra II"})).await;
    assert_eq!(keys(&format!("/exams/{}", id(&copy)), &author.token).await, expected);
    assert_eq!(items(&hall.get("/exams?status=draft", &second.token).await), before + 3, "nothing is half-imported");
}

/// What neither a stranger nor another author may do.
async fn outsiders_are_refused(hall: &Hall, exam: &str, stranger: &Person, second: &Person) {
    for (path, body) in [("close", NOTHING), ("results/publish", NOTHING)] {
        let path = format!("{exam}/{path}");
        hall.expect(401, Method::POST, &path, "", body).await;
        for outsider in [stranger, second] {
            hall.expect(403, Method::POST, &path, &outsider.token, body).await;
        }
    }
    for path in ["audit", "results.csv", "attempts.csv", "statistics"] {
        let path = format!("{exam}/{path}");
        for outsider in [stranger, second] {
            hall.expect(403, Method::GET, &path, &outsider.token, NOTHING).await;
        }
    }
    for path in ["/users", "/audit", "/queue"] {
        hall.expect(403, Method::GET, path, &second.token, NOTHING).await;
    }
    assert_eq!(items(&hall.get(&format!("{exam}/attempts"), &stranger.token).await), 0);
}

/// The author gives more time to all and to one, and closes the exam.
async fn the_author_rules_the_running_exam(hall: &Hall, author: &Person, exam: &str, attempts: &[Value]) {
    hall.expect(200, Method::PATCH, exam, &author.token, &json!({"durationMinutes": 90})).await;
    let open = hall.get(&format!("{exam}/attempts?state=open"), &author.token).await;
    assert_eq!(items(&open), attempts.len());
    for (attempt, seen) in attempts.iter().zip(open["items"].as_array().expect("items")) {
        assert!(seen["deadline"].as_str() > attempt["deadline"].as_str(), "{seen}");
    }
    let path = format!("/attempts/{}/deadline", id(&attempts[0]));
    let later = Timestamp::from(SystemTime::now()).plus(Duration::from_hours(2));
    let more = json!({"deadline": later, "reason": "fire alarm"});
    hall.expect(200, Method::PUT, &path, &author.token, &more).await;
    let closed = hall.expect(200, Method::POST, &format!("{exam}/close"), &author.token, NOTHING).await;
    assert_eq!(closed["status"], "closed");
    hall.expect(200, Method::POST, &format!("{exam}/reopen"), &author.token, NOTHING).await;
}

/// What came of it, for the author and for one student.
async fn results_are_published_and_read(hall: &Hall, author: &Person, student: &Person, exam: &str) {
    let listed = eventually("every result", TIMEOUT, async || {
        let listed = hall.get(&format!("{exam}/results?sort=-score"), &author.token).await;
        (items(&listed) == 3).then_some(listed)
    })
    .await;
    let names: Vec<_> = listed["items"].as_array().expect("items").iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["Ada", "Bob", "Deleted account"]);
    assert_eq!(items(&hall.get(&format!("{exam}/results?q=BOB"), &author.token).await), 1);
    assert_eq!(items(&hall.get(&format!("{exam}/results"), &student.token).await), 0, "not shown yet");
    hall.expect(202, Method::POST, &format!("{exam}/results/publish"), &author.token, NOTHING).await;
    hall.mail(&student.email, "Exam results are published").await;
    let mine = hall.get(&format!("{exam}/results"), &student.token).await;
    assert_eq!((items(&mine), &mine["items"][0]["percent"]), (1, &json!(100.0)));
    let result = hall.get(&format!("/results/{}", id(&mine["items"][0])), &student.token).await;
    assert_eq!(result["marks"].as_array().map(Vec::len), Some(2));
    let trail = hall.get(&format!("{exam}/audit"), &author.token).await;
    let actions: Vec<_> = trail["items"].as_array().expect("items").iter().map(|one| one["action"].clone()).collect();
    for action in ["publish results", "reopen exam", "close exam", "set deadline", "change exam"] {
        assert!(actions.contains(&json!(action)), "{action} in {actions:?}");
    }
}

async fn everybody_does_their_part_through_two_processes(database: DatabaseKind) {
    let hall = Hall::open(database).await;
    let admin = hall.api.admin().await;
    let author = hall.author(&admin, "author@example.com").await;
    let second = hall.author(&admin, "second@example.com").await;
    let (ada, bob) = (hall.student("ada@example.com", "Ada").await, hall.student("bob@example.com", "Bob").await);
    let (eve, stranger) =
        (hall.student("eve@example.com", "Eve").await, hall.student("mallory@example.com", "Mallory").await);
    let (exam, sheet) = published(&hall, &author).await;
    assert_eq!(items(&hall.get("/exams?q=ALGEBRA&status=published&sort=title", &ada.token).await), 1);

    let mut attempts = Vec::new();
    for (student, right) in [(&ada, 2), (&bob, 1), (&eve, 0)] {
        attempts.push(sit(&hall, student, &exam, &sheet, right).await);
    }
    outsiders_are_refused(&hall, &exam, &stranger, &second).await;
    the_exam_is_handed_on(&hall, &author, &second, &stranger, &exam).await;
    the_author_rules_the_running_exam(&hall, &author, &exam, &attempts).await;

    // Eve goes while she sits, Bob is locked out, and both are graded.
    hall.expect(204, Method::DELETE, "/users/me", &eve.token, &json!({"password": PASSWORD})).await;
    hall.mail(&eve.email, "Your account is deleted").await;
    let bobs = hall.get("/users?q=bob@example.com", &admin).await;
    let path = format!("/users/{}", id(&bobs["items"][0]));
    for (student, attempt) in [(&ada, &attempts[0]), (&bob, &attempts[1])] {
        let path = format!("/attempts/{}/submit", id(attempt));
        hall.expect(200, Method::POST, &path, &student.token, NOTHING).await;
    }
    hall.expect(200, Method::POST, &format!("{path}/lock"), &admin, &json!({"reason": "copied"})).await;
    eventually("Bob is out", TIMEOUT, async || {
        let (one, _) = hall.call(Method::GET, "/users/me", &bob.token, NOTHING).await;
        let (other, _) = hall.call(Method::GET, "/users/me", &bob.token, NOTHING).await;
        (one == 401 && other == 401).then_some(())
    })
    .await;
    results_are_published_and_read(&hall, &author, &ada, &exam).await;

    // Ada's account lives on under another address, and knows all she did.
    let body = json!({"email": "ada.lovelace@example.com", "password": PASSWORD});
    hall.expect(202, Method::POST, "/users/me/email", &ada.token, &body).await;
    let link = hall.link("ada.lovelace@example.com", "Confirm your new e-mail address", "verify").await;
    hall.expect(200, Method::POST, "/auth/verify", "", &json!({"token": link})).await;
    hall.mail("ada@example.com", "Your e-mail address was changed").await;
    let ada = hall.log_in("ada.lovelace@example.com", PASSWORD).await;
    let copy = hall.get("/users/me/export", &ada.token).await;
    assert_eq!(
        (&copy["attempts"][0]["result"]["percent"], copy["attempts"].as_array().map(Vec::len)),
        (&json!(100.0), Some(1))
    );
    let trail = hall.get("/audit?action=lock%20user", &admin).await;
    assert_eq!((items(&trail), &trail["items"][0]["reason"]), (1, &json!("copied")));
    hall.api.stop().await;
}
