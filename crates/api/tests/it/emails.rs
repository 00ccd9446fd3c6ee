use examhall_testkit::eventually;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Api, TIMEOUT};

const NOTHING: &Value = &Value::Null;

fn mail() -> Value {
    json!({"to": "ada@example.com", "subject": "Exam moved", "html": "<p>To Monday</p>"})
}

#[tokio::test]
async fn a_mail_is_queued_when_it_is_answered_and_can_be_followed() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let body = json!({"to": ["ada@example.com", "bob@example.com"], "subject": "Exam moved", "html": "<p>To Monday</p>",
                      "text": "To Monday", "priority": 9, "attempts": 7});
    let id = api.expect(202, Method::POST, "/emails", &admin, &body).await["jobId"].as_str().expect("an id").to_owned();
    assert_eq!(api.world.redis.cmd::<i64>(&format!("EXISTS bull:email:{id}")).await, 1, "in Redis by then");
    let path = format!("/emails/{id}");
    let status = api.expect(200, Method::GET, &path, &admin, NOTHING).await;
    assert_eq!(
        (&status["state"], &status["priority"], &status["attempts"]),
        (&json!("prioritized"), &json!(9), &json!(7))
    );
    assert_eq!((&status["jobId"], &status["attemptsMade"]), (&json!(id), &json!(0)));

    let later = json!({"to": "ada@example.com", "subject": "Later", "html": "x", "delayMs": 3_600_000});
    let later =
        api.expect(202, Method::POST, "/emails", &admin, &later).await["jobId"].as_str().expect("an id").to_owned();
    let status = api.expect(200, Method::GET, &format!("/emails/{later}"), &admin, NOTHING).await;
    assert_eq!((&status["state"], &status["priority"]), (&json!("delayed"), &json!(5)));
    assert!(status["nextTryAt"].is_string());
    let list = api.expect(200, Method::GET, "/emails?state=delayed", &admin, NOTHING).await;
    assert_eq!((&list["items"][0]["jobId"], &list["nextCursor"]), (&json!(later), &Value::Null));

    api.expect(409, Method::POST, &format!("{path}/promote"), &admin, NOTHING).await;
    api.expect(202, Method::POST, &format!("/emails/{later}/promote"), &admin, NOTHING).await;
    api.expect(409, Method::POST, &format!("{path}/retry"), &admin, NOTHING).await;
    api.expect(204, Method::DELETE, &path, &admin, NOTHING).await;
    let gone = api.expect(200, Method::GET, &path, &admin, NOTHING).await;
    assert_eq!((&gone["state"], &gone["failedReason"]), (&json!("failed"), &json!("removed")));
    for path in ["/emails/unknown", "/emails/m-00000000-0000-0000-0000-000000000000"] {
        api.expect(404, Method::GET, path, &admin, NOTHING).await;
        api.expect(404, Method::POST, &format!("{path}/retry"), &admin, NOTHING).await;
    }
    api.stop().await;
}

#[tokio::test]
async fn a_failed_mail_is_retried_whose_job_redis_has_lost() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let accepted = api.expect(202, Method::POST, "/emails", &admin, &mail()).await;
    let path = format!("/emails/{}", accepted["jobId"].as_str().expect("an id"));
    api.world.database.sql("UPDATE mail_outbox SET outcome = 'failed', outcome_at = 1").await;
    api.world.redis.cmd::<String>("FLUSHALL").await;
    assert_eq!(api.expect(200, Method::GET, &path, &admin, NOTHING).await["state"], "failed");
    let retried = api.expect(202, Method::POST, &format!("{path}/retry"), &admin, NOTHING).await;
    assert_eq!(retried, json!({"retried": 1}));
    let queued = async || {
        let status = api.expect(200, Method::GET, &path, &admin, NOTHING).await;
        (status["state"] == "prioritized").then_some(())
    };
    eventually("its job", TIMEOUT, queued).await;

    api.world.database.sql("UPDATE mail_outbox SET outcome = 'failed', outcome_at = 1").await;
    api.world.redis.cmd::<String>("FLUSHALL").await;
    let listed = api.expect(200, Method::GET, "/emails?state=failed", &admin, NOTHING).await;
    assert_eq!((&listed["items"][0]["jobId"], &listed["nextCursor"]), (&accepted["jobId"], &Value::Null));
    let by_filter = json!({"action": "retry", "q": "state:failed"});
    let done = api.expect(200, Method::POST, "/emails/actions", &admin, &by_filter).await;
    assert_eq!(done["done"], 1, "{done}");
    eventually("its job, again", TIMEOUT, queued).await;

    // Somebody has emptied the queue, and the ledger still knows why it had failed.
    let key = format!("mail:sent:{}", accepted["jobId"].as_str().expect("an id"));
    for (known, in_doubt) in [("refused", Value::Null), ("held", json!(true))] {
        api.world.database.sql("UPDATE mail_outbox SET outcome = 'failed', outcome_at = 1").await;
        api.world.redis.cmd::<String>("FLUSHALL").await;
        let entry = json!({"state": known, "messageId": "<m@exams.example>", "at": 1, "result": "550 no"});
        api.world.redis.command::<()>(&["SET", &key, &entry.to_string()]).await;
        api.expect(202, Method::POST, &format!("{path}/retry"), &admin, NOTHING).await;
        eventually(&format!("its job, {known} before"), TIMEOUT, queued).await;
        let entry: String = api.world.redis.cmd(&format!("GET {key}")).await;
        let entry: Value = serde_json::from_str(&entry).expect("JSON");
        assert_eq!((&entry["state"], &entry["inDoubt"]), (&json!("deferred"), &in_doubt), "{known}");
    }
    api.stop().await;
}

#[tokio::test]
async fn the_same_key_queues_the_same_mail_once() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let send = async |key: &str, body: &Value| {
        let request = api.request(Method::POST, "/api/v1/emails").bearer_auth(&admin).header("idempotency-key", key);
        let answer = request.json(body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON")["jobId"].clone())
    };
    let first = send("k1", &mail()).await;
    assert_eq!(first.0, 202);
    assert_eq!(send("k1", &mail()).await, first);
    let other = json!({"to": "bob@example.com", "subject": "Exam moved", "html": "<p>To Monday</p>"});
    assert_eq!(send("k1", &other).await.0, 422);
    assert_ne!(send("k2", &mail()).await.1, first.1);
    assert_eq!(send(&"k".repeat(201), &mail()).await.0, 400);
    assert_eq!(api.world.redis.cmd::<i64>("ZCARD bull:email:prioritized").await, 2);
    api.stop().await;
}

#[tokio::test]
async fn lists_of_mails_come_in_pages_over_all_states() {
    let api = Api::start().await;
    let admin = api.admin().await;
    for n in 0..3 {
        let mut body = mail();
        body["delayMs"] = json!(if n == 0 { 3_600_000 } else { 0 });
        api.expect(202, Method::POST, "/emails", &admin, &body).await;
    }
    let (mut path, mut states) = ("/emails?limit=2".to_owned(), Vec::new());
    loop {
        let page = api.expect(200, Method::GET, &path, &admin, NOTHING).await;
        let items = page["items"].as_array().expect("items").iter();
        states.extend(items.map(|item| item["state"].as_str().expect("text").to_owned()));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/emails?limit=2&cursor={cursor}");
    }
    assert_eq!(states, ["prioritized", "prioritized", "delayed"]);
    api.expect(422, Method::GET, "/emails?state=lost", &admin, NOTHING).await;
    api.expect(422, Method::GET, "/emails?limit=0", &admin, NOTHING).await;
    api.expect(400, Method::GET, "/emails?cursor=x", &admin, NOTHING).await;
    api.stop().await;
}

#[tokio::test]
async fn the_queue_is_paused_and_resumed_and_only_by_administrators() {
    let api = Api::start().await;
    let admin = api.admin().await;
    api.expect(202, Method::POST, "/emails", &admin, &mail()).await;
    api.expect(204, Method::POST, "/queue/pause", &admin, NOTHING).await;
    let queue = api.expect(200, Method::GET, "/queue", &admin, NOTHING).await;
    assert_eq!((&queue["paused"], &queue["counts"]["prioritized"]), (&json!(true), &json!(1)));
    api.expect(204, Method::POST, "/queue/resume", &admin, NOTHING).await;
    assert_eq!(api.expect(200, Method::GET, "/queue", &admin, NOTHING).await["paused"], false);
    assert_eq!(api.expect(202, Method::POST, "/emails/retry-failed", &admin, NOTHING).await, json!({"retried": 0}));
    let seeded = api.seed().await;
    let author = api.log_in(&seeded["authorEmail"]).await;
    for (method, path) in [
        (Method::POST, "/emails"),
        (Method::GET, "/emails"),
        (Method::GET, "/emails/x"),
        (Method::DELETE, "/emails/x"),
        (Method::POST, "/emails/x/retry"),
        (Method::POST, "/emails/x/promote"),
        (Method::POST, "/emails/retry-failed"),
        (Method::GET, "/queue"),
        (Method::POST, "/queue/pause"),
        (Method::POST, "/queue/resume"),
    ] {
        api.expect(403, method.clone(), path, &author, NOTHING).await;
        let nobody = api.request(method, &format!("/api/v1{path}")).send().await.expect("an answer");
        assert_eq!(nobody.status(), 401, "{path}");
    }
    api.stop().await;
}

#[tokio::test]
async fn a_bad_mail_is_refused_and_points_at_it() {
    let api = Api::start().await;
    let admin = api.admin().await;
    for (field, value) in [
        ("to", json!([])),
        ("to", json!("a@b\r\nBcc: x@y")),
        ("to", json!(vec!["ada@example.com"; 51])),
        ("to", json!("a\0@b.example")),
        ("subject", json!("Hi\r\nBcc: x@y")),
        ("subject", json!("Hi\0")),
        ("html", json!("")),
        ("priority", json!(11)),
        ("attempts", json!(0)),
        ("delayMs", json!(-1)),
        ("from", json!("me@example.com")),
    ] {
        let mut body = mail();
        body[field] = value;
        let problem = api.expect(422, Method::POST, "/emails", &admin, &body).await;
        assert_eq!(problem["errors"][0]["pointer"], format!("/{field}"), "{body}");
    }
    api.stop().await;
}

#[tokio::test]
async fn while_redis_is_away_a_mail_is_taken_and_waits() {
    let mut api = Api::start().await;
    let admin = api.admin().await;
    api.world.redis.kill().await;
    let id =
        api.expect(202, Method::POST, "/emails", &admin, &mail()).await["jobId"].as_str().expect("an id").to_owned();
    let status = api.expect(200, Method::GET, &format!("/emails/{id}"), &admin, NOTHING).await;
    assert_eq!(status["state"], "waiting");
    api.expect(503, Method::GET, "/queue", &admin, NOTHING).await;
    api.world.redis.restart().await;
    examhall_testkit::eventually("the mail queued", TIMEOUT, async || {
        (api.world.redis.cmd::<i64>(&format!("EXISTS bull:email:{id}")).await == 1).then_some(())
    })
    .await;
    api.stop().await;
}

#[tokio::test]
async fn a_sent_mail_is_resent_and_not_retried() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let id =
        api.expect(202, Method::POST, "/emails", &admin, &mail()).await["jobId"].as_str().expect("an id").to_owned();
    api.expect(409, Method::POST, &format!("/emails/{id}/resend"), &admin, NOTHING).await;
    api.world.redis.command::<i64>(&["ZREM", "bull:email:prioritized", &id]).await;
    api.world.redis.command::<i64>(&["ZADD", "bull:email:completed", "1", &id]).await;
    let refused = api.expect(409, Method::POST, &format!("/emails/{id}/retry"), &admin, NOTHING).await;
    assert!(refused["detail"].as_str().expect("text").contains("resend"), "{refused}");
    let copy = api.expect(202, Method::POST, &format!("/emails/{id}/resend"), &admin, NOTHING).await;
    let copy = copy["jobId"].as_str().expect("an id");
    assert_ne!(copy, id);
    let status = api.expect(200, Method::GET, &format!("/emails/{copy}"), &admin, NOTHING).await;
    assert_eq!((&status["state"], &status["priority"]), (&json!("prioritized"), &json!(5)));
    api.expect(404, Method::POST, "/emails/unknown/resend", &admin, NOTHING).await;
    api.stop().await;
}

#[tokio::test]
async fn a_mail_that_is_being_sent_is_not_removed() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let id =
        api.expect(202, Method::POST, "/emails", &admin, &mail()).await["jobId"].as_str().expect("an id").to_owned();
    let path = format!("/emails/{id}");
    // As a mailer holds it.
    let job = format!("bull:email:{id}");
    api.world.redis.command::<i64>(&["ZREM", "bull:email:prioritized", &id]).await;
    api.world.redis.command::<i64>(&["LPUSH", "bull:email:active", &id]).await;
    api.world.redis.command::<()>(&["SET", &format!("{job}:lock"), "a mailer"]).await;
    api.expect(409, Method::DELETE, &path, &admin, NOTHING).await;
    api.world.redis.command::<i64>(&["DEL", &format!("{job}:lock"), &job]).await;
    api.world.redis.command::<i64>(&["LREM", "bull:email:active", "0", &id]).await;
    let open = api.expect(200, Method::GET, &path, &admin, NOTHING).await;
    assert_eq!(open["state"], "waiting", "its row was opened again");
    api.expect(204, Method::DELETE, &path, &admin, NOTHING).await;
    let gone = api.expect(200, Method::GET, &path, &admin, NOTHING).await;
    assert_eq!((&gone["state"], &gone["failedReason"]), (&json!("failed"), &json!("removed")));
    let entry: String = api.world.redis.cmd(&format!("GET mail:sent:{id}")).await;
    assert!(entry.contains("refused"), "no relay queues it: {entry}");
    api.stop().await;
}
