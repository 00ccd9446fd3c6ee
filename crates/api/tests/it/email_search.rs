//! Search of mails, what happened to one, and actions on exactly those that a query finds.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Api, problem};

const NOTHING: &Value = &Value::Null;

impl Api {
    pub(crate) async fn send_mail(&self, admin: &str, to: &str, subject: &str) -> String {
        let body = json!({"to": to, "subject": subject, "html": "<p>secret body</p>"});
        let answer = self.expect(202, Method::POST, "/emails", admin, &body).await;
        answer["jobId"].as_str().expect("an id").to_owned()
    }

    /// Lets a job fail, as a mailer does.
    pub(crate) async fn fail(&self, id: &str, reason: &str) {
        let (redis, job) = (&self.world.redis, format!("bull:email:{id}"));
        let now: Vec<String> = redis.cmd("TIME").await;
        let now = format!("{}000", now[0]);
        redis.command::<i64>(&["HSET", &job, "failedReason", reason, "finishedOn", &now, "atm", "1"]).await;
        redis.command::<i64>(&["ZREM", "bull:email:prioritized", id]).await;
        redis.command::<i64>(&["ZADD", "bull:email:failed", &now, id]).await;
    }

    /// Lets a job be held, as a mailer does.
    pub(crate) async fn hold(&self, id: &str) {
        self.fail(id, "held: it may have been delivered before").await;
        let at = 1_795_424_403_000_i64;
        let entry = json!({"state": "held", "messageId": format!("<{id}@exams.example>"), "at": at, "inDoubt": true});
        self.world.redis.command::<()>(&["SET", &format!("mail:sent:{id}"), &entry.to_string()]).await;
        self.world.redis.command::<i64>(&["ZADD", "mail:held", &at.to_string(), id]).await;
    }

    async fn find(&self, admin: &str, q: &str) -> Value {
        let q: String = url::form_urlencoded::byte_serialize(q.as_bytes()).collect();
        self.expect(200, Method::GET, &format!("/emails?q={q}"), admin, NOTHING).await
    }

    pub(crate) async fn found(&self, admin: &str, q: &str) -> Vec<String> {
        let page = self.find(admin, q).await;
        let items = page["items"].as_array().expect("items");
        items.iter().map(|item| item["jobId"].as_str().expect("an id").to_owned()).collect()
    }
}

#[tokio::test]
async fn mails_are_found_by_every_key_and_shown_without_bodies() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let ada = api.send_mail(&admin, "Ada@Example.com", "Exam moved").await;
    let bob = api.send_mail(&admin, "bob@example.com", "Result of \"History\"").await;
    api.fail(&ada, "suppressed: 550 5.1.1 no such user").await;
    // A job of a Node program, with a large body.
    let (redis, large) =
        (&api.world.redis, json!({"to": "eve@x.example", "subject": "Big", "html": "x".repeat(50_000)}));
    let node = json!({"to": {"name": "Ada", "address": "ada@example.com"}, "subject": "From Node", "html": "x"});
    for (id, data) in [("7", &node), ("8", &large)] {
        let job = format!("bull:email:{id}");
        let hash = [
            "name",
            "send-email",
            "data",
            &data.to_string(),
            "opts",
            "{}",
            "timestamp",
            "1795424400000",
            "priority",
            "0",
        ];
        redis.command::<i64>(&[&["HSET", &job][..], &hash].concat()).await;
        redis.command::<i64>(&["LPUSH", "bull:email:wait", id]).await;
    }
    let ids = |ids: &[&String]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let seven = "7".to_owned();
    for (q, expected) in [
        ("to:ADA@example.com", ids(&[&ada, &seven])),
        ("ada@example.com state:suppressed", ids(&[&ada])),
        ("to:@example.com subject:moved", ids(&[&ada])),
        ("subject:\"of \\\"history\"", ids(&[&bob])),
        ("state:failed reason:5.1.1", ids(&[&ada])),
        ("state:failed class:other", ids(&[&ada])),
        ("class:reset", vec![]),
        ("node", ids(&[&seven])),
        ("id:7", ids(&[&seven])),
        (ada.as_str(), ids(&[&ada])),
        ("state:prioritized", ids(&[&bob])),
        ("state:waiting before:2026-11-24 after:2026-11-23", vec!["8".to_owned(), seven.clone()]),
        ("state:held", vec![]),
        ("to:nobody@example.com", vec![]),
    ] {
        assert_eq!(api.found(&admin, q).await, expected, "{q}");
    }
    let page = api.find(&admin, "to:ada@example.com").await;
    assert_eq!(
        (&page["items"][0]["outcome"], &page["items"][0]["to"]),
        (&json!("suppressed"), &json!(["Ada@example.com"]))
    );
    assert!(page["items"][0]["remedy"].as_str().expect("a remedy").contains("suppression"), "{page}");
    assert_eq!((&page["unread"], &page["nextCursor"]), (&json!(1), &Value::Null));
    assert!(!page.to_string().contains("secret"), "{page}");
    api.expect(201, Method::POST, "/suppressions", &admin, &json!({"address": "ada@example.com"})).await;
    assert_eq!(api.find(&admin, "to:ada@example.com").await["suppressions"][0]["address"], "ada@example.com");
    api.stop().await;
}

#[tokio::test]
async fn a_bad_query_is_pointed_at_and_each_state_is_taken() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let refused = api.request(Method::GET, "/api/v1/emails?q=state:lost").bearer_auth(&admin).send().await;
    let refused = problem(refused.expect("an answer"), 422).await;
    assert_eq!(refused["errors"][0]["pointer"], "/q");
    assert!(refused["errors"][0]["detail"].as_str().expect("text").contains("character 1"), "{refused}");
    api.expect(422, Method::GET, "/emails?q=state:failed&state=delayed", &admin, NOTHING).await;
    for state in ["waiting", "prioritized", "delayed", "waiting-children", "active", "completed", "failed"] {
        api.expect(200, Method::GET, &format!("/emails?state={state}"), &admin, NOTHING).await;
    }
    api.expect(400, Method::GET, "/emails?q=x&cursor=x", &admin, NOTHING).await;
    api.stop().await;
}

#[tokio::test]
async fn a_timeline_tells_what_all_know_of_a_mail() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let id = api.send_mail(&admin, "ada@example.com", "Exam moved").await;
    let line = "2026-11-23T09:00:02.000Z attempt 1 at mail.example:25, 120 ms: 451 4.7.1 try later";
    api.world.redis.command::<i64>(&["RPUSH", &format!("bull:email:{id}:logs"), line]).await;
    api.hold(&id).await;
    let path = format!("/emails/{id}/timeline");
    let timeline = api.expect(200, Method::GET, &path, &admin, NOTHING).await;
    let kinds: Vec<_> =
        timeline["events"].as_array().expect("events").iter().map(|event| event["kind"].clone()).collect();
    for kind in ["committed", "queued", "attempt", "held", "failed"] {
        assert!(kinds.contains(&json!(kind)), "{kind}: {timeline}");
    }
    let events = timeline["events"].as_array().expect("events");
    let attempt = events.iter().find(|event| event["kind"] == "attempt").expect("an attempt");
    assert_eq!((&attempt["text"], &attempt["durationMs"]), (&json!("451 4.7.1 try later"), &json!(120)));
    let email = &timeline["email"];
    assert_eq!((&email["outcome"], &email["inDoubt"]), (&json!("held"), &json!(true)));
    assert_eq!(api.found(&admin, &format!("msgid:<{id}@exams.example>")).await, std::slice::from_ref(&id));
    api.expect(404, Method::GET, "/emails/unknown/timeline", &admin, NOTHING).await;
    api.stop().await;
}

#[tokio::test]
async fn actions_change_exactly_what_the_query_finds() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let mut failed = Vec::new();
    for n in 0..4 {
        let id = api.send_mail(&admin, &format!("s{n}@example.com"), "Result").await;
        if n == 0 {
            api.hold(&id).await;
        } else {
            api.fail(&id, "550 5.1.1 no such user").await;
        }
        failed.push(id);
    }
    let act = async |status, action: &str, q: &str, more: Value| {
        let mut body = json!({"action": action, "q": q});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        api.expect(status, Method::POST, "/emails/actions", &admin, &body).await
    };
    let dry = act(200, "retry", "reason:5.1.1", json!({"dryRun": true})).await;
    assert_eq!((&dry["matched"], &dry["done"], &dry["dryRun"]), (&json!(3), &json!(0), &json!(true)));
    assert_eq!(api.found(&admin, "state:failed").await.len(), 4, "nothing has changed");
    // Meanwhile somebody else retries one.
    api.expect(202, Method::POST, &format!("/emails/{}/retry", failed[1]), &admin, NOTHING).await;
    let done = act(200, "retry", "reason:5.1.1", json!({"asOf": dry["asOf"], "expected": dry["matched"]})).await;
    assert_eq!((&done["matched"], &done["done"], &done["changed"]), (&json!(3), &json!(2), &json!(1)));
    assert_eq!(done["summary"], "2 of 3, 1 had changed");
    assert_eq!(api.found(&admin, "state:failed").await, [failed[0].clone()]);
    api.fail(&failed[2], "550 5.1.1 no such user").await;
    let late = act(200, "remove", "reason:5.1.1", json!({"asOf": "2026-01-01T00:00:00Z"})).await;
    assert_eq!(late["matched"], 0, "it failed later");
    let suppressed = act(200, "suppress", &format!("id:{}", failed[2]), json!({})).await;
    assert_eq!((&suppressed["done"], &suppressed["changed"]), (&json!(1), &json!(0)));
    api.expect(200, Method::GET, "/suppressions/s2@example.com", &admin, NOTHING).await;
    assert_eq!(act(200, "drop", "reason:5.1.1", json!({})).await["matched"], 0, "it is not in doubt");
    assert_eq!(act(200, "remove", "to:s2@example.com", json!({})).await["done"], 1);
    assert_eq!(api.found(&admin, "state:removed").await, [failed[2].clone()]);
    assert_eq!(api.found(&admin, "state:held").await, [failed[0].clone()]);
    assert_eq!(api.found(&admin, "state:inDoubt to:s0@example.com").await, [failed[0].clone()]);
    assert_eq!(api.found(&admin, "state:held reason:nowhere").await, [""; 0]);
    assert_eq!(act(200, "release", "state:held", json!({})).await["summary"], "1 of 1");
    assert_eq!(api.found(&admin, "state:inDoubt").await, [""; 0], "it is not held any more");
    assert_eq!(api.found(&admin, "state:prioritized").await.len(), 3);
    act(422, "retry", " ", json!({})).await;
    act(422, "retry", "state:lost", json!({})).await;
    act(422, "explode", "state:failed", json!({})).await;
    api.stop().await;
}

#[tokio::test]
async fn held_mails_are_found_a_page_at_a_time() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let mut held = Vec::new();
    for n in 0..5 {
        let id = api.send_mail(&admin, &format!("s{n}@example.com"), "Result").await;
        api.hold(&id).await;
        held.push(id);
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = format!("/emails?q=state:inDoubt&limit=2{cursor}");
        let page = api.expect(200, Method::GET, &page, &admin, NOTHING).await;
        found.extend(page["items"].as_array().expect("items").iter().map(|item| item["jobId"].clone()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    found.sort_by_key(Value::to_string);
    held.sort();
    assert_eq!(json!(found), json!(held));
    let body = json!({"action": "drop", "q": "state:held to:@example.com"});
    let dropped = api.expect(200, Method::POST, "/emails/actions", &admin, &body).await;
    assert_eq!(dropped["summary"], "5 of 5");
    assert_eq!(api.world.redis.cmd::<i64>("ZCARD mail:held").await, 0, "nothing is left to decide");
    api.stop().await;
}
