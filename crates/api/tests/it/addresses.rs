//! Addresses and times as strangers write them: what is accepted can be read again, whatever is done with it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Api, TIMEOUT, problem};
use examhall_testkit::eventually;

const LAST: &str = "9999-12-31T23:59:59.999Z";

async fn log_in_status(api: &Api, email: &str) -> u16 {
    let body = json!({"email": email, "password": "correct horse"});
    api.post("/api/v1/auth/login", &body).await.status().as_u16()
}

#[tokio::test]
async fn an_address_that_grows_in_lower_case_is_mailed_to() {
    let api = Api::start().await;
    let grows = format!("a@{}.example", "Ⱥ".repeat(31));
    for email in ["a@İ.example", &grows, "\"quoted\"@exämple.example", "\u{212a}ate@example.com"] {
        assert_eq!(api.sign_up(email).await.status(), 202, "{email}");
        assert_eq!(log_in_status(&api, email).await, 403, "{email}: signed up, and not verified");
    }
    let queued = async || {
        let ids: Vec<String> = api.world.redis.cmd("ZRANGE bull:email:prioritized 0 -1").await;
        let mut to = Vec::new();
        for id in ids {
            let data: String = api.world.redis.cmd(&format!("HGET bull:email:{id} data")).await;
            to.push(serde_json::from_str::<Value>(&data).expect("JSON")["to"].as_str().expect("text").to_owned());
        }
        (to.len() == 4).then_some(to)
    };
    let mut to = eventually("four mails", TIMEOUT, queued).await;
    to.sort();
    let label = format!("a@xn--cgj{}.example", "a".repeat(30));
    assert_eq!(to, ["Kate@example.com", &label, "a@xn--i-9bb.example", "quoted@xn--exmple-cua.example"]);
    api.stop().await;
}

#[tokio::test]
async fn an_address_that_cannot_be_mailed_to_is_refused() {
    let api = Api::start().await;
    let (long, labels) = ("a".repeat(65), "b.".repeat(127));
    for email in [
        "\"jane doe\"@example.com".to_owned(),
        "\"victim@other.test x\"@example.com".to_owned(),
        "pаypal@example.com".to_owned(),
        "ad\u{200b}a@example.com".to_owned(),
        "a@b..example".to_owned(),
        "a@b.example.".to_owned(),
        format!("{long}@example.com"),
        format!("a@{labels}example"),
        format!("a@{}.example", "Ⱥ".repeat(63)),
    ] {
        let refused = problem(api.sign_up(&email).await, 422).await;
        assert_eq!(refused["errors"][0]["pointer"], "/email", "{email}: {refused}");
    }
    api.stop().await;
}

#[tokio::test]
async fn one_mailbox_signs_up_once_however_it_is_spelt() {
    let api = Api::start().await;
    api.sign_up("kate@exämple.example").await;
    for email in ["\u{212a}ATE@xn--exmple-cua.example", "\"kate\"@EXÄMPLE.example", "ｋａｔｅ＠exämple．example"]
    {
        assert_eq!(api.sign_up(email).await.status(), 202, "{email}");
        assert_eq!(log_in_status(&api, email).await, 403, "{email}");
    }
    assert_eq!(api.world.database.sql("SELECT count(*) FROM users").await, "1");
    api.stop().await;
}

#[tokio::test]
async fn a_time_that_cannot_be_written_is_refused() {
    let api = Api::start().await;
    let seeded = api.seed().await;
    let author = api.log_in(&seeded["authorEmail"]).await;
    let exam = |at: &str| json!({"title": "Algebra", "description": "", "durationMinutes": 60, "closesAt": at});
    let path = format!("/exams/{}", seeded["examId"].as_str().expect("an id"));
    for at in ["9999-12-31T23:59:59-05:00", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59"] {
        for (method, path) in [(Method::POST, "/exams"), (Method::PATCH, &path)] {
            let body = if method == Method::POST { exam(at) } else { json!({ "closesAt": at }) };
            let refused = api.expect(422, method, path, &author, &body).await;
            assert_eq!(refused["errors"][0]["pointer"], "/closesAt", "{refused}");
        }
    }
    let made = api.expect(201, Method::POST, "/exams", &author, &exam("9999-12-31T23:59:59.9999Z")).await;
    assert_eq!(made["closesAt"], "9999-12-31T23:59:59.999Z");
    let listed = api.expect(200, Method::GET, "/exams", &author, &Value::Null).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2));
    api.stop().await;
}

#[tokio::test]
async fn a_stored_time_out_of_range_is_shown_as_the_nearest() {
    let api = Api::start().await;
    let seeded = api.seed().await;
    let author = api.log_in(&seeded["authorEmail"]).await;
    api.world.database.sql("UPDATE exams SET closes_at = 253402318799000, opens_at = -62167305540000").await;
    let path = format!("/exams/{}", seeded["examId"].as_str().expect("an id"));
    let listed = api.expect(200, Method::GET, "/exams", &author, &Value::Null).await;
    let read = api.expect(200, Method::GET, &path, &author, &Value::Null).await;
    for exam in [&listed["items"][0], &read] {
        assert_eq!((&exam["opensAt"], &exam["closesAt"]), (&json!("0000-01-01T00:00:00.000Z"), &json!(LAST)));
    }
    api.expect(200, Method::GET, &format!("{path}/questions"), &author, &Value::Null).await;
    let changed = api.expect(200, Method::PATCH, &path, &author, &json!({"closesAt": LAST})).await;
    assert_eq!(changed["closesAt"], LAST);
    api.stop().await;
}

#[tokio::test]
async fn a_name_that_advertises_or_hides_is_refused() {
    let api = Api::start().await;
    let seeded = api.seed().await;
    let student = api.log_in(&seeded["studentEmails"][0]).await;
    for name in [
        "You won 500 EUR, go to https://evil.example/claim",
        "evil.example",
        "ｅｖｉｌ。ｅｘａｍｐｌｅ",
        "ada@evil.example",
        "\u{200b}",
        "\u{202e}",
        "\u{feff}",
        "Ada\u{202e}gpj",
    ] {
        let body = json!({"email": "ada@example.com", "name": name, "password": "correct horse"});
        let refused = problem(api.post("/api/v1/auth/signup", &body).await, 422).await;
        assert_eq!(refused["errors"][0]["pointer"], "/name", "{name}: {refused}");
        let refused = api.expect(422, Method::PATCH, "/users/me", &student, &json!({ "name": name })).await;
        assert_eq!(refused["errors"][0]["pointer"], "/name", "{name}: {refused}");
    }
    for name in ["J.R.R. Tolkien", "O'Brien", "María José", "क्\u{200d}षितिज", "李", "محمد"] {
        let changed = api.expect(200, Method::PATCH, "/users/me", &student, &json!({ "name": name })).await;
        assert_eq!(changed["name"], name);
    }
    api.stop().await;
}

#[tokio::test]
async fn a_stranger_is_not_mailed_what_a_sign_up_says() {
    let api = Api::start().await;
    let body = json!({"email": "victim@example.com", "name": "Call 0900-PRIZE", "password": "correct horse"});
    assert_eq!(api.post("/api/v1/auth/signup", &body).await.status(), 202);
    for path in ["", "/api/v1/auth/forgot"] {
        if !path.is_empty() {
            api.world.redis.cmd::<String>("FLUSHALL").await;
            api.post(path, &json!({"email": "victim@example.com"})).await;
        }
        let mail = api.only_mail().await;
        assert!(!mail.to_string().contains("PRIZE"), "{mail}");
    }
    api.stop().await;
}
