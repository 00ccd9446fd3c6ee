//! What operators see of the mail service: the sentence, mailers, failures, history.

use examhall_core::{EmailJob, MailerStatus, ProviderStatus, Timestamp};
use examhall_delivery::{FailedMail, FailureSignature, MailBucket, Operations};
use examhall_queue::{Connection, Queue};
use reqwest::Method;
use serde_json::{Value, json};

use crate::Api;

const NOTHING: &Value = &Value::Null;

async fn operations(api: &Api) -> (Operations, Timestamp) {
    let connection = Connection::open(&api.world.redis.url()).expect("a good URL");
    connection.ready().await.expect("connected");
    let queue: Queue<Value> = Queue::new(connection.clone(), "bull", EmailJob::QUEUE).expect("good names");
    (Operations::new(&connection), Timestamp::from_millis(queue.now_ms()))
}

fn mailer(now: Timestamp) -> MailerStatus {
    MailerStatus {
        id: "m1".to_owned(),
        host: "one".to_owned(),
        version: "1.2.3".to_owned(),
        started_at: now,
        seen_at: now,
        slots: 5,
        busy: 1,
        providers: vec![ProviderStatus::closed("mail.example.com:587")],
    }
}

#[tokio::test]
async fn queue_answers_whether_mails_go_out() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let (operations, now) = operations(&api).await;
    let read = async || api.expect(200, Method::GET, "/queue", &admin, NOTHING).await;
    // A heartbeat counts for 15 s, which may be short on a busy machine.
    let beat = async || operations.fleet.beat(&mailer(now)).await.expect("written");
    assert_eq!(read().await["health"]["sentence"], "No mailer runs.");
    beat().await;
    assert_eq!(read().await["health"]["sentence"], "Yes. No mail waits.");
    beat().await;
    let mailers = api.expect(200, Method::GET, "/mailers", &admin, NOTHING).await;
    assert_eq!(mailers["items"][0]["providers"], json!([{"name": "mail.example.com:587", "circuit": "closed"}]));

    let why = json!({"reason": "SPF is broken"});
    api.expect(422, Method::POST, "/queue/pause", &admin, &json!({"because": "x"})).await;
    api.expect(204, Method::POST, "/queue/pause", &admin, &why).await;
    beat().await;
    let queue = read().await;
    let said = queue["health"]["sentence"].as_str().expect("text");
    let by = queue["pause"]["by"].as_str().expect("a name");
    assert!(said.starts_with(&format!("No: paused by {by} at ")) && said.ends_with(" (SPF is broken)."), "{said}");
    let urgent = json!({"class": "urgent", "mails": 0, "outbox": 0, "targetSeconds": 60, "late": false});
    assert_eq!((&queue["backlog"][0], &queue["mailers"]), (&urgent, &json!(1)));
    api.expect(204, Method::POST, "/queue/resume", &admin, NOTHING).await;
    api.expect(204, Method::POST, "/queue/pause", &admin, NOTHING).await;
    api.expect(204, Method::POST, "/queue/resume", &admin, NOTHING).await;
    beat().await;
    assert_eq!(read().await["health"]["sentence"], "Yes. No mail waits.");
    api.stop().await;
}

#[tokio::test]
async fn group_of_failed_mails_is_retried_exactly() {
    let api = Api::start().await;
    let admin = api.admin().await;
    let (operations, now) = operations(&api).await;
    for id in ["f-1", "f-2", "f-3"] {
        let job = format!("HSET bull:email:{id} name send-email data {{}} opts {{}} timestamp 1 atm 3 failedReason x");
        api.world.redis.cmd::<()>(&job).await;
        api.world.redis.cmd::<()>(&format!("ZADD bull:email:failed 1 {id}")).await;
    }
    let failed = |job: &str, reason: &str| FailedMail {
        job_id: job.to_owned(),
        signature: FailureSignature::of_reason(reason),
        at: now.as_millis(),
    };
    let all = [failed("f-1", "expired"), failed("gone", "expired"), failed("f-2", "expired"), failed("f-3", "other")];
    operations.failures.record(&all).await.expect("recorded");
    let counts = MailBucket { failed: 4, ..MailBucket::default() };
    operations.history.add(now, &counts).await.expect("added");

    let listed = api.expect(200, Method::GET, "/emails/failures?limit=1", &admin, NOTHING).await;
    let next = listed["nextCursor"].as_str().expect("more");
    let more = api.expect(200, Method::GET, &format!("/emails/failures?cursor={next}"), &admin, NOTHING).await;
    let groups = [&listed["items"][0], &more["items"][0]];
    let group = groups.into_iter().find(|group| group["reason"] == "expired").expect("the group");
    assert_eq!((&group["jobs"], &group["count"]), (&json!(3), &json!(3)));
    let path = format!("/emails/failures/{}", group["id"].as_str().expect("an id"));
    let changed = api.expect(202, Method::POST, &format!("{path}/retry"), &admin, NOTHING).await;
    assert_eq!(changed, json!({"matched": 3, "affected": 2, "changed": 1}));
    let left: Vec<String> = api.world.redis.cmd("ZRANGE bull:email:failed 0 -1").await;
    assert_eq!(left, ["f-3"], "of another group");
    assert_eq!(api.expect(200, Method::GET, &path, &admin, NOTHING).await["jobs"], 0);
    api.expect(404, Method::POST, "/emails/failures/0000000000000000/remove", &admin, NOTHING).await;
    let other = groups.into_iter().find(|group| group["reason"] == "other").expect("the other");
    let path = format!("/emails/failures/{}/remove", other["id"].as_str().expect("an id"));
    let removed = api.expect(200, Method::POST, &path, &admin, NOTHING).await;
    assert_eq!(removed, json!({"matched": 1, "affected": 1, "changed": 0}));

    let history = api.expect(200, Method::GET, "/emails/history?per=hour", &admin, NOTHING).await;
    assert_eq!((&history["items"][0]["failed"], &history["per"]), (&json!(4), &json!("hour")));
    api.expect(422, Method::GET, "/emails/history?per=year", &admin, NOTHING).await;
    api.stop().await;
}
