use std::time::Duration;

use examhall_testkit::{CacheEntry, DatabaseKind, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Api, TIMEOUT};

const NOTHING: &Value = &Value::Null;

/// An exam with one true/false question and one for a number, and two students.
pub(crate) struct Hall {
    pub(crate) api: Api,
    pub(crate) author: String,
    pub(crate) students: [String; 2],
    pub(crate) emails: [String; 2],
    pub(crate) exam: String,
    pub(crate) questions: Vec<Value>,
}

impl Hall {
    pub(crate) async fn open(database: DatabaseKind, options: Value) -> Self {
        let api = Api::start_on(database).await;
        let seeded = api.seed_with(1, 2).await;
        let author = api.log_in(&seeded["authorEmail"]).await;
        let students = [api.log_in(&seeded["studentEmails"][0]).await, api.log_in(&seeded["studentEmails"][1]).await];
        let mut exam = json!({
            "title": "Algebra", "description": "", "durationMinutes": 90, "maxAttempts": 2, "results": "onSubmit",
        });
        exam.as_object_mut().expect("an object").extend(options.as_object().expect("an object").clone());
        let made = api.expect(201, Method::POST, "/exams", &author, &exam).await;
        let exam = format!("/exams/{}", made["id"].as_str().expect("an id"));
        let questions = json!({"questions": [
            {"type": "trueFalse", "text": "2 + 2 = 4", "correct": true},
            {"type": "numeric", "text": "17 / 4?", "answer": 4.25, "points": 3},
        ]});
        let written = api.expect(200, Method::PUT, &format!("{exam}/questions"), &author, &questions).await;
        api.expect(200, Method::POST, &format!("{exam}/publish"), &author, NOTHING).await;
        let questions = written["questions"].as_array().expect("questions").clone();
        let emails = [0, 1].map(|n| seeded["studentEmails"][n].as_str().expect("text").to_owned());
        Self { api, author, students, emails, exam, questions }
    }

    pub(crate) async fn start(&self, student: usize) -> (u16, Value) {
        self.api.call(Method::POST, &format!("{}/attempts", self.exam), &self.students[student], NOTHING).await
    }

    /// Calls as one of the students, where the answer must be this status.
    pub(crate) async fn as_student(&self, student: usize, status: u16, method: Method, path: &str) -> Value {
        self.api.expect(status, method, path, &self.students[student], NOTHING).await
    }

    /// Calls as the author, where the answer must be this status.
    pub(crate) async fn as_author(&self, status: u16, method: Method, path: &str, body: &Value) -> Value {
        self.api.expect(status, method, path, &self.author, body).await
    }

    /// Starts an attempt and returns its path.
    pub(crate) async fn begin(&self, student: usize) -> String {
        let (status, attempt) = self.start(student).await;
        assert_eq!(status, 201, "{attempt}");
        format!("/attempts/{}", attempt["id"].as_str().expect("an id"))
    }

    pub(crate) fn answers(&self, seq: i64, number: f64) -> Value {
        json!({"seq": seq, "answers": [
            {"questionId": self.questions[0]["id"], "value": true},
            {"questionId": self.questions[1]["id"], "value": number},
        ]})
    }

    pub(crate) async fn save(&self, attempt: &str, student: usize, body: &Value) -> (u16, Value) {
        self.api.call(Method::PUT, &format!("{attempt}/answers"), &self.students[student], body).await
    }

    pub(crate) async fn submit(&self, attempt: &str, student: usize) -> (u16, Value) {
        self.api.call(Method::POST, &format!("{attempt}/submit"), &self.students[student], NOTHING).await
    }
}

async fn from_start_to_result(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let attempt = hall.begin(0).await;
    let again = format!("/api/v1{}/attempts", hall.exam);
    let again = hall.api.request(Method::POST, &again).bearer_auth(&hall.students[0]).send().await.expect("an answer");
    assert_eq!(again.status(), 409, "one at a time");
    assert_eq!(again.headers()["location"], format!("/api/v1{attempt}"));
    let problem: Value = again.json().await.expect("JSON");
    assert_eq!(Some(attempt.as_str()), problem["attemptId"].as_str().map(|id| format!("/attempts/{id}")).as_deref());
    let (status, saved) = hall.save(&attempt, 0, &hall.answers(1, 9.0)).await;
    assert_eq!((status, &saved["seq"]), (200, &json!(1)));
    hall.save(&attempt, 0, &hall.answers(3, 4.25)).await;
    let (status, late) = hall.save(&attempt, 0, &hall.answers(2, 9.0)).await;
    assert_eq!((status, &late["seq"]), (200, &json!(3)), "the higher number stays");
    let seen = hall.api.expect(200, Method::GET, &attempt, &hall.students[0], NOTHING).await;
    assert_eq!((&seen["seq"], &seen["answers"][1]["value"]), (&json!(3), &json!(4.25)));

    assert_eq!(hall.save(&attempt, 1, &hall.answers(9, 9.0)).await.0, 403, "another student");
    assert_eq!(hall.submit(&attempt, 1).await.0, 403, "another student");
    let (status, result) = hall.submit(&attempt, 0).await;
    assert_eq!((status, &result["score"], &result["percent"]), (200, &json!(4.0), &json!(100.0)), "{result}");
    assert_eq!((&result["passed"], &result["maxScore"]), (&json!(true), &json!(4.0)));
    assert_eq!(hall.submit(&attempt, 0).await, (200, result.clone()), "twice is once");
    assert_eq!(hall.save(&attempt, 0, &hall.answers(9, 9.0)).await.0, 409, "submitted");

    let mail = hall.api.only_mail().await;
    assert_eq!((&mail["class"], &mail["subject"]), (&json!("result"), &json!("Your exam result")));
    let second = hall.begin(0).await;
    hall.submit(&second, 0).await;
    assert_eq!(hall.start(0).await.0, 409, "none left");
    let mine = hall.api.expect(200, Method::GET, &format!("{}/attempts", hall.exam), &hall.students[0], NOTHING).await;
    assert_eq!(mine["items"].as_array().map(Vec::len), Some(2));
    hall.api.stop().await;
}

#[tokio::test]
async fn from_start_to_result_on_sqlite() {
    from_start_to_result(DatabaseKind::Sqlite).await;
}

#[tokio::test]
async fn from_start_to_result_on_postgres() {
    from_start_to_result(DatabaseKind::Postgres).await;
}

/// A problem document without what differs between requests.
fn stable(mut document: Value) -> Value {
    assert!(document["requestId"].take().is_string(), "{document}");
    document
}

/// Ten rounds: in each both requests are sent before an answer is read.
async fn of_two_starts_at_once_one_names_the_other(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"maxAttempts": 10})).await;
    let path = format!("/api/v1{}/attempts", hall.exam);
    let start = async || {
        let request = hall.api.request(Method::POST, &path).bearer_auth(&hall.students[0]);
        let answer = request.send().await.expect("an answer");
        let location = answer.headers()["location"].to_str().expect("text").to_owned();
        (answer.status().as_u16(), location, answer.json::<Value>().await.expect("JSON"))
    };
    for _ in 0..10 {
        let (one, two) = tokio::join!(start(), start());
        let ((201, location, attempt), (409, open, problem)) = (if one.0 == 201 { (one, two) } else { (two, one) })
        else {
            unreachable!("one of the two is started");
        };
        assert_eq!((&open, &problem["attemptId"]), (&location, &attempt["id"]));
        let (status, open, sequential) = start().await;
        assert_eq!((status, open), (409, location.clone()));
        assert_eq!(stable(problem), stable(sequential));
        assert_eq!(hall.submit(location.trim_start_matches("/api/v1"), 0).await.0, 200);
    }
    hall.api.stop().await;
}

#[tokio::test]
async fn of_two_starts_at_once_one_names_the_other_on_sqlite() {
    of_two_starts_at_once_one_names_the_other(DatabaseKind::Sqlite).await;
}

#[tokio::test]
async fn of_two_starts_at_once_one_names_the_other_on_postgres() {
    of_two_starts_at_once_one_names_the_other(DatabaseKind::Postgres).await;
}

#[tokio::test]
async fn an_exam_that_is_not_open_cannot_be_started() {
    let hall = Hall::open(DatabaseKind::usual(), json!({"opensAt": "2999-01-01T00:00:00Z"})).await;
    assert_eq!(hall.start(0).await.0, 403);
    let change = json!({"opensAt": null, "closesAt": "2000-01-01T00:00:00Z"});
    hall.api.expect(200, Method::PATCH, &hall.exam, &hall.author, &change).await;
    assert_eq!(hall.start(0).await.0, 403);
    let author = hall.api.call(Method::POST, &format!("{}/attempts", hall.exam), &hall.author, NOTHING).await;
    assert_eq!(author.0, 403, "authors sit no exams");
    let unknown = "/exams/00000000-0000-0000-0000-000000000000/attempts";
    hall.api.expect(404, Method::POST, unknown, &hall.students[0], NOTHING).await;
    let draft = json!({"title": "Draft", "description": "", "durationMinutes": 1});
    let draft = hall.api.expect(201, Method::POST, "/exams", &hall.author, &draft).await;
    let path = format!("/exams/{}/attempts", draft["id"].as_str().expect("an id"));
    hall.api.expect(404, Method::POST, &path, &hall.students[0], NOTHING).await;
    hall.api.stop().await;
}

#[tokio::test]
async fn an_attempt_left_open_is_handed_in_at_its_deadline() {
    let hall = Hall::open(DatabaseKind::usual(), json!({})).await;
    let closes_at = time_from_now(Duration::from_secs(7));
    hall.api.expect(200, Method::PATCH, &hall.exam, &hall.author, &json!({ "closesAt": closes_at })).await;
    let attempt = hall.begin(0).await;
    assert_eq!(hall.save(&attempt, 0, &hall.answers(1, 4.25)).await.0, 200);
    let results = format!("{}/results", hall.exam);
    let result = eventually("the result", TIMEOUT, async || {
        let list = hall.api.expect(200, Method::GET, &results, &hall.students[0], NOTHING).await;
        list["items"].get(0).cloned()
    })
    .await;
    assert_eq!(result["percent"], 100.0, "what was saved counts");
    let seen = hall.api.expect(200, Method::GET, &attempt, &hall.students[0], NOTHING).await;
    assert_eq!(seen["submittedAt"], seen["deadline"]);
    assert_eq!(hall.save(&attempt, 0, &hall.answers(2, 9.0)).await.0, 409);
    assert_eq!(hall.submit(&attempt, 0).await.1["id"], result["id"]);
    hall.api.stop().await;
}

fn time_from_now(span: Duration) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let millis = i64::try_from((now + span).as_millis()).expect("in range");
    examhall_core::Timestamp::from_millis(millis).to_string()
}

#[tokio::test]
async fn a_shuffled_attempt_has_an_order_of_its_own_that_stays() {
    let hall = Hall::open(DatabaseKind::usual(), json!({"shuffle": true})).await;
    let (_, attempt) = hall.start(0).await;
    let mut order: Vec<_> =
        attempt["order"].as_array().expect("an order").iter().map(|one| &one["questionId"]).collect();
    let mut questions: Vec<_> = hall.questions.iter().map(|question| &question["id"]).collect();
    order.sort_unstable_by_key(ToString::to_string);
    questions.sort_unstable_by_key(ToString::to_string);
    assert_eq!(order, questions);
    let path = format!("/attempts/{}", attempt["id"].as_str().expect("an id"));
    let again = hall.api.expect(200, Method::GET, &path, &hall.students[0], NOTHING).await;
    assert_eq!(again["order"], attempt["order"]);
    let sheet =
        hall.api.expect(200, Method::GET, &format!("{}/questions", hall.exam), &hall.students[0], NOTHING).await;
    assert_eq!(sheet["questions"][0]["id"], hall.questions[0]["id"], "the sheet is one for all");
    hall.api.stop().await;
}

#[tokio::test]
async fn an_attempt_starts_though_the_cached_sheet_is_unreadable() {
    let hall = Hall::open(DatabaseKind::usual(), json!({"shuffle": true})).await;
    let sheet = format!("{}/questions", hall.exam);
    hall.api.expect(200, Method::GET, &sheet, &hall.author, NOTHING).await;
    let (redis, key) = (&hall.api.world.redis, format!("exam:{}:questions", hall.exam.trim_start_matches("/exams/")));
    let cached: Vec<u8> = redis.cmd(&format!("GET {key}")).await;
    let renamed = CacheEntry::of(&cached).replace("\"questions\"", "\"questionz\"").bytes();
    redis.set(&key, renamed).await; // by another release that has not changed the shape number
    let is_served = async || {
        let served = hall.api.expect(200, Method::GET, &sheet, &hall.author, NOTHING).await;
        served.get("questionz").map(|_| ())
    };
    eventually("the other release's sheet to be served", TIMEOUT, is_served).await;
    let (status, attempt) = hall.start(0).await;
    assert_eq!((status, attempt["order"].as_array().map(Vec::len)), (201, Some(2)), "{attempt}");
    let path = format!("/attempts/{}", attempt["id"].as_str().expect("an id"));
    let again = hall.api.expect(200, Method::GET, &path, &hall.students[0], NOTHING).await;
    assert_eq!(again["order"], attempt["order"]);
    hall.api.stop().await;
}

#[tokio::test]
async fn two_submits_at_once_give_one_result() {
    let hall = Hall::open(DatabaseKind::Postgres, json!({})).await;
    let attempt = hall.begin(0).await;
    let url = format!("{}/api/v1{attempt}/submit", hall.api.base);
    let submits = (0..20).map(|_| {
        let request = hall.api.client.post(&url).bearer_auth(&hall.students[0]);
        tokio::spawn(async move { request.send().await.expect("an answer").json::<Value>().await.expect("JSON") })
    });
    let mut ids = std::collections::HashSet::new();
    for submit in submits.collect::<Vec<_>>() {
        ids.insert(submit.await.expect("no panic")["id"].as_str().expect("an id").to_owned());
    }
    assert_eq!(ids.len(), 1);
    hall.api.only_mail().await;
    assert_eq!(hall.api.world.redis.cmd::<i64>("ZCARD bull:email:prioritized").await, 1);
    hall.api.stop().await;
}

#[tokio::test]
async fn answers_over_a_limit_are_refused_and_point_at_it() {
    let hall = Hall::open(DatabaseKind::Postgres, json!({})).await;
    let attempt = hall.begin(0).await;
    let id = &hall.questions[0]["id"];
    for (body, pointer) in [
        (json!({"answers": []}), "/seq"),
        (json!({"seq": -1, "answers": []}), "/seq"),
        (json!({"seq": 9_007_199_254_740_992_i64, "answers": []}), "/seq"),
        (json!({"seq": 1, "answers": [{"questionId": "x"}]}), "/answers/0/questionId"),
        (json!({"seq": 1, "answers": [{"questionId": id, "value": "x".repeat(2001)}]}), "/answers/0/value"),
        (json!({"seq": 1, "answers": [{"questionId": id, "value": "\u{0}"}]}), "/answers/0/value"),
        (json!({"seq": 1, "answers": [{"questionId": id, "choiceIds": ["\u{0}"]}]}), "/answers/0/choiceIds"),
        (json!({"seq": 1, "answers": [{"questionId": id, "choiceIds": [], "value": 1}]}), "/answers/0/value"),
        (json!({"seq": 1, "answers": [{"questionId": id, "correct": true}]}), "/answers/0/correct"),
    ] {
        let (status, problem) = hall.save(&attempt, 0, &body).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}");
    }
    let (status, _) = hall.save(&attempt, 0, &json!({"seq": 1, "answers": [{"questionId": id, "value": 1e308}]})).await;
    assert_eq!(status, 200, "any number is an answer");
    hall.api.stop().await;
}

async fn another_students_attempt_is_refused(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let attempt = hall.begin(0).await;
    let id = &hall.questions[0]["id"];
    let bodies = [
        json!([]),
        json!({"seq": -1, "answers": []}),
        json!({"seq": 1, "answers": [{"questionId": "x"}]}),
        json!({"seq": 1, "answers": [{"questionId": id, "value": "x".repeat(2001)}]}),
        json!({"seq": 1, "answers": [{"questionId": id, "choiceIds": [], "value": 1}]}),
        hall.answers(1, 4.25),
    ];
    let changes = [(Method::PUT, "answers"), (Method::PATCH, "answers"), (Method::POST, "submit")];
    for (method, of) in changes {
        for (attempt, status) in [(attempt.as_str(), 403), ("/attempts/018f4e3a-0000-7000-8000-000000000001", 404)] {
            for body in &bodies {
                hall.api.expect(status, method.clone(), &format!("{attempt}/{of}"), &hall.students[1], body).await;
            }
        }
    }
    for method in [Method::PUT, Method::PATCH] {
        for body in &bodies[..5] {
            hall.api.expect(422, method.clone(), &format!("{attempt}/answers"), &hall.students[0], body).await;
        }
    }
    hall.api.stop().await;
}

#[tokio::test]
async fn another_students_attempt_is_refused_on_sqlite() {
    another_students_attempt_is_refused(DatabaseKind::Sqlite).await;
}

#[tokio::test]
async fn another_students_attempt_is_refused_on_postgres() {
    another_students_attempt_is_refused(DatabaseKind::Postgres).await;
}

async fn changes_are_merged_and_what_cannot_be_graded_is_named(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let attempt = hall.begin(0).await;
    let path = format!("{attempt}/answers");
    let change =
        async |student: usize, body: Value| hall.api.call(Method::PATCH, &path, &hall.students[student], &body).await;
    let [truth, number] = [0, 1].map(|n| hall.questions[n]["id"].clone());
    let (status, saved) = change(0, json!({"seq": 1, "answers": [{"questionId": truth, "value": false}]})).await;
    assert_eq!(
        (status, &saved["seq"], saved.get("ungraded")),
        (200, &json!(1), None),
        "wrong is no reason to be named"
    );
    let unknown = "018f4e3a-0000-7000-8000-000000000001";
    let body = json!({"seq": 2, "answers": [
        {"questionId": number, "choiceIds": ["a"]}, {"questionId": unknown, "value": 1}, {"questionId": truth},
    ]});
    let named = json!([
        {"questionId": number, "reason": "wrongKind"}, {"questionId": unknown, "reason": "unknownQuestion"},
    ]);
    assert_eq!(change(0, body).await.1["ungraded"], named);
    assert_eq!(change(1, json!({"seq": 3, "answers": []})).await.0, 403, "another student");
    let late = change(0, json!({"seq": 2, "answers": [{"questionId": number, "value": 4.25}]})).await;
    assert_eq!((late.0, &late.1["seq"]), (200, &json!(2)));
    let (_, result) = hall.submit(&attempt, 0).await;
    assert_eq!((&result["ungraded"], &result["score"]), (&named, &json!(0.0)));
    assert_eq!(hall.submit(&attempt, 0).await.1, result, "twice is once");
    assert_eq!(change(0, json!({"seq": 9, "answers": []})).await.0, 409, "submitted");
    hall.api.stop().await;
}

#[tokio::test]
async fn changes_are_merged_on_sqlite() {
    changes_are_merged_and_what_cannot_be_graded_is_named(DatabaseKind::Sqlite).await;
}

#[tokio::test]
async fn changes_are_merged_on_postgres() {
    changes_are_merged_and_what_cannot_be_graded_is_named(DatabaseKind::Postgres).await;
}

#[tokio::test]
async fn a_forced_change_of_the_key_grades_who_hands_in_after_it() {
    let hall = Hall::open(DatabaseKind::usual(), json!({})).await;
    let (first, second) = (hall.begin(0).await, hall.begin(1).await);
    for (student, attempt) in [(0, &first), (1, &second)] {
        assert_eq!(hall.save(attempt, student, &hall.answers(1, 5.0)).await.0, 200, "the paper is in memory");
    }
    assert_eq!(hall.submit(&first, 0).await.1["score"], json!(1.0));
    let question = format!("/questions/{}?force=true", hall.questions[1]["id"].as_str().expect("an id"));
    let key = json!({"type": "numeric", "text": "17 / 4?", "answer": 5.0, "points": 3});
    hall.api.expect(200, Method::PATCH, &question, &hall.author, &key).await;
    assert_eq!(hall.submit(&second, 1).await.1["score"], json!(4.0));
    hall.api.stop().await;
}
