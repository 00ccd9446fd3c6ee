//! From the sign-up to the mail, and from the exam to its readers.

use examhall_testkit::{DatabaseKind, RedisOptions, World, eventually};
use serde_json::{Value, json};

use crate::{Api, TIMEOUT, exam_start::LATE, seed, token_in};

async fn from_sign_up_to_log_in(database: DatabaseKind) {
    let world = World::start_with(database, RedisOptions::default()).await;
    let (api, _mailer) = (Api::start(&world).await, world.mailer(&[]));
    api.sign_up("ada@example.com").await;
    let mails = world.smtp.wait_for(1).await;
    let mail = &mails[0];
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("no-reply@localhost", ["ada@example.com".to_owned()].as_slice())
    );
    assert_eq!(mail.header("Subject").as_deref(), Some("Confirm your e-mail address"));
    assert!(mail.header("Message-ID").is_some_and(|id| id.starts_with("<m-")), "{}", mail.message);

    assert_eq!(api.log_in("ada@example.com", "correct horse").await.status(), 403);
    assert_eq!(api.post("/auth/verify", &json!({"token": token_in(mail)})).await.status(), 200);
    let tokens: Value = api.log_in("ada@example.com", "correct horse").await.json().await.expect("JSON");
    assert!(tokens["accessToken"].is_string(), "{tokens}");
}

#[tokio::test]
async fn from_sign_up_to_log_in_on_sqlite() {
    from_sign_up_to_log_in(DatabaseKind::Sqlite).await;
}

#[tokio::test]
async fn from_sign_up_to_log_in_on_postgres() {
    from_sign_up_to_log_in(DatabaseKind::Postgres).await;
}

#[tokio::test]
async fn what_one_process_changes_another_reads_at_once() {
    let world = World::start().await;
    let (one, other) = (Api::start(&world).await, Api::start(&world).await);
    let seeded = seed(&world).await;
    let log_in = async |email: &Value| {
        let answer = one.log_in(email.as_str().expect("text"), "examhall-demo").await;
        answer.json::<Value>().await.expect("JSON")["accessToken"].as_str().expect("a token").to_owned()
    };
    let (author, student) = (log_in(&seeded["authorEmail"]).await, log_in(&seeded["studentEmails"][0]).await);
    let exam = format!("/exams/{}", seeded["examId"].as_str().expect("an id"));
    let read = async |api: &Api| {
        let url = format!("{}{exam}/questions", api.base);
        let answer = api.client.get(url).bearer_auth(&student).send().await.expect("an answer");
        let source = answer.headers()["cache-status"].to_str().expect("text").to_owned();
        (source, answer.json::<Value>().await.expect("JSON")["version"].clone())
    };
    let shows = async |api: &Api, source: &str, version: u32| {
        let expected = (source.to_owned(), json!(version));
        eventually(source, TIMEOUT, async || (read(api).await == expected).then_some(())).await;
    };
    assert_eq!(read(&one).await, ("examhall; fwd=miss".to_owned(), json!(1)));
    shows(&other, "examhall; hit", 1).await;
    let change = one.client.patch(format!("{}{exam}", one.base)).bearer_auth(&author);
    let changed = change.json(&json!({"title": "Logic"})).send().await.expect("an answer");
    assert_eq!(changed.status(), 200);
    eventually("the new version", LATE, async || (read(&other).await.1 == json!(2)).then_some(())).await;
    assert_eq!(read(&one).await.1, json!(2), "who changed it");
    shows(&other, "examhall; hit", 2).await;
    shows(&one, "examhall; hit", 2).await;
}

#[tokio::test]
async fn a_job_of_the_node_system_is_sent_too() {
    let world = World::start().await;
    let _mailer = world.mailer(&[]);
    let data = r#"{"to":"bob@example.com","subject":"From Node","html":"<p>Hi</p>"}"#;
    let hash = ["HSET", "bull:email:1", "name", "send-email", "data", data, "opts", r#"{"attempts":0}"#];
    let times = ["timestamp", "1795424400000", "delay", "0", "priority", "0"];
    world.redis.command::<i64>(&[hash.as_slice(), &times].concat()).await;
    world.redis.cmd::<i64>("LPUSH bull:email:wait 1").await;
    world.redis.cmd::<i64>("ZADD bull:email:marker 0 0").await;
    let mails = world.smtp.wait_for(1).await;
    assert_eq!(mails[0].header("Subject").as_deref(), Some("From Node"));
}

#[tokio::test]
async fn a_backlog_is_drained_once_and_summed_up() {
    let world = World::start().await;
    let api = Api::start(&world).await;
    for n in 0..3 {
        api.sign_up(&format!("s{n}@example.com")).await;
    }
    api.process.line("Mails queued").await;
    eventually("three mails queued", TIMEOUT, async || {
        (world.redis.cmd::<i64>("ZCARD bull:email:prioritized").await == 3).then_some(())
    })
    .await;
    let mut drain = world.mailer(&["--once"]);
    assert_eq!(drain.exit(TIMEOUT).await.code(), Some(0), "{}", drain.output());
    let summary = drain.line("drained ").await;
    let expected = "drained 3: 3 sent, 0 retried later, 0 failed, 0 ambiguous; left 0 delayed, 0 active elsewhere; ";
    assert!(summary.starts_with(expected), "{summary}");
    assert_eq!(world.smtp.received().len(), 3);

    let mut again = world.mailer(&["--once", "--json"]);
    assert_eq!(again.exit(TIMEOUT).await.code(), Some(0));
    let object: Value = serde_json::from_str(&again.line("\"drained\"").await).expect("JSON");
    assert_eq!((&object["drained"], &object["left"]["waiting"]), (&json!(0), &json!(0)));
}
