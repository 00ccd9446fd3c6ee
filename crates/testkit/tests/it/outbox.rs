//! Whatever dies between the commit and the queue, a mail is queued once. A trigger in the database holds the API at the
//! step at which it is killed.
#![expect(clippy::print_stdout, reason = "how long things took, for those who run the tests")]

use std::time::{SystemTime, UNIX_EPOCH};

use examhall_testkit::{DatabaseKind, RedisOptions, World, eventually};

use crate::{
    Api, TIMEOUT,
    database::{commit_mails, hold, let_go, on_both, sql, wait_until_held, wait_until_noted},
};

pub(crate) async fn world(database: DatabaseKind) -> World {
    World::start_with(database, RedisOptions::default()).await
}

on_both!(
    an_api_killed_before_the_commit_leaves_neither_user_nor_mail,
    a_mail_that_no_relay_had_claimed_is_queued_by_the_next_one,
    a_mail_that_a_dead_relay_had_claimed_is_queued_once_its_claim_ends,
    an_api_killed_between_adding_and_noting_leaves_one_job,
    a_mail_whose_job_has_ended_and_is_gone_is_not_queued_again_by_the_next_relay,
    a_mail_whose_job_has_ended_and_is_gone_is_not_queued_again_by_the_reconciler,
    four_relays_share_the_outbox_and_queue_nothing_twice,
);

pub(crate) async fn jobs(world: &World) -> i64 {
    world.redis.cmd("ZCARD bull:email:prioritized").await
}

async fn an_api_killed_before_the_commit_leaves_neither_user_nor_mail(database: DatabaseKind) {
    let world = world(database).await;
    let mut api = Api::start(&world).await;
    hold(&world, "INSERT", "true").await;
    let body = serde_json::json!({"email": "ada@example.com", "name": "Ada", "password": "correct horse"});
    let request = api.client.post(format!("{}/auth/signup", api.base)).json(&body).send();
    let request = tokio::spawn(request);
    wait_until_held(&world).await;
    api.process.kill().await;
    assert!(request.await.expect("no panic").is_err(), "nobody got an answer");
    let_go(&world).await;
    let _api = Api::start(&world).await;
    let counts =
        "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM mail_tokens), (SELECT count(*) FROM mail_outbox)";
    assert_eq!(sql(&world, counts).await, "0|0|0");
    assert_eq!(jobs(&world).await, 0);
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis()
}

async fn a_mail_that_no_relay_had_claimed_is_queued_by_the_next_one(database: DatabaseKind) {
    let world = world(database).await;
    let mut api = Api::start(&world).await;
    hold(&world, "UPDATE OF claimed_until", "NEW.claimed_until IS NOT NULL").await;
    api.sign_up("ada@example.com").await;
    wait_until_held(&world).await;
    api.process.kill().await;
    let_go(&world).await;
    assert_eq!(sql(&world, "SELECT count(*) FROM mail_outbox WHERE claimed_until IS NULL").await, "1", "committed");
    assert_eq!(jobs(&world).await, 0);
    let (_api, up) = (Api::start(&world).await, now());
    let noted = "SELECT enqueued_at FROM mail_outbox WHERE enqueued_at IS NOT NULL";
    let noted: u128 = eventually("noted", TIMEOUT, async || sql(&world, noted).await.parse().ok()).await;
    let took = noted.saturating_sub(up);
    println!("queued {took} ms after the next API was up ({database:?})"); // 1000 at most, on an idle machine
    assert!(took < 15_000, "{took}: it waited for a claim to end that was never committed");
    let _mailer = world.mailer(&[]);
    world.smtp.wait_for(1).await;
    eventually("the job's end", TIMEOUT, async || (jobs(&world).await == 0).then_some(())).await;
    assert_eq!(world.smtp.received().len(), 1);
}

async fn a_mail_that_a_dead_relay_had_claimed_is_queued_once_its_claim_ends(database: DatabaseKind) {
    let mut world = world(database).await;
    let mut api = Api::start(&world).await;
    world.redis.kill().await; // so that it stays in the outbox
    api.sign_up("ada@example.com").await;
    api.process.kill().await;
    let claim_ends = now() + 3000;
    sql(&world, &format!("UPDATE mail_outbox SET claimed_until = {claim_ends}")).await;
    world.redis.restart().await;
    let _api = Api::start(&world).await;
    eventually("the mail queued", TIMEOUT, async || (jobs(&world).await == 1).then_some(())).await;
    assert!(now() >= claim_ends, "until then it is another relay's");
    let noted = "SELECT enqueued_at FROM mail_outbox WHERE enqueued_at IS NOT NULL";
    let noted: u128 = eventually("noted", TIMEOUT, async || sql(&world, noted).await.parse().ok()).await;
    assert!(noted >= claim_ends, "not before");
}

async fn an_api_killed_between_adding_and_noting_leaves_one_job(database: DatabaseKind) {
    let world = world(database).await;
    let mut api = Api::start(&world).await;
    hold(&world, "UPDATE OF enqueued_at", "NEW.enqueued_at IS NOT NULL").await;
    api.sign_up("ada@example.com").await;
    wait_until_held(&world).await;
    assert_eq!(jobs(&world).await, 1, "added, and not noted");
    api.process.kill().await;
    let_go(&world).await;
    sql(&world, "UPDATE mail_outbox SET claimed_until = 0").await; // half a minute later
    let _api = Api::start(&world).await;
    eventually("noted by the next one", TIMEOUT, async || {
        (sql(&world, "SELECT count(*) FROM mail_outbox WHERE enqueued_at IS NOT NULL").await == "1").then_some(())
    })
    .await;
    assert_eq!(jobs(&world).await, 1);
    assert!(events(&world).await.contains("duplicated"), "it was added a second time, which added nothing");
    let _mailer = world.mailer(&[]);
    world.smtp.wait_for(1).await;
    eventually("the job's end", TIMEOUT, async || (jobs(&world).await == 0).then_some(())).await;
    assert_eq!(world.smtp.received().len(), 1);
}

/// Waits until the one mail is sent and its job is done, then takes the job away, as its retention does in time.
async fn send_and_forget(world: &World) {
    let mut mailer = world.mailer(&[]);
    world.smtp.wait_for(1).await;
    let done = eventually("the job done", TIMEOUT, async || {
        world.redis.cmd::<Vec<String>>("ZRANGE bull:email:completed 0 -1").await.pop()
    })
    .await;
    mailer.kill().await;
    let gone: i64 = world.redis.cmd(&format!("DEL bull:email:{done} bull:email:completed")).await;
    assert_eq!(gone, 2);
}

async fn a_mail_whose_job_has_ended_and_is_gone_is_not_queued_again_by_the_next_relay(database: DatabaseKind) {
    let world = world(database).await;
    let mut api = Api::start(&world).await;
    hold(&world, "UPDATE OF enqueued_at", "NEW.enqueued_at IS NOT NULL").await;
    api.sign_up("ada@example.com").await;
    wait_until_held(&world).await;
    send_and_forget(&world).await;
    api.process.kill().await;
    let_go(&world).await;
    sql(&world, "UPDATE mail_outbox SET claimed_until = 0, outcome = NULL").await; // half a minute later, no event received
    let _api = Api::start(&world).await;
    eventually("known to be sent", TIMEOUT, async || {
        (sql(&world, "SELECT outcome FROM mail_outbox").await == "sent").then_some(())
    })
    .await;
    assert_eq!((jobs(&world).await, world.smtp.received().len()), (0, 1), "one mail, and no second job");
}

async fn a_mail_whose_job_has_ended_and_is_gone_is_not_queued_again_by_the_reconciler(database: DatabaseKind) {
    let world = world(database).await;
    let mut api = Api::start(&world).await;
    api.sign_up("ada@example.com").await;
    wait_until_noted(&world).await;
    api.process.kill().await; // it receives no event
    send_and_forget(&world).await;
    sql(&world, "UPDATE mail_outbox SET enqueued_at = enqueued_at - 60000").await; // a minute later
    let _api = Api::start(&world).await;
    eventually("known to be sent", TIMEOUT, async || {
        (sql(&world, "SELECT outcome FROM mail_outbox").await == "sent").then_some(())
    })
    .await;
    assert_eq!((jobs(&world).await, world.smtp.received().len()), (0, 1), "one mail, and no second job");
}

async fn four_relays_share_the_outbox_and_queue_nothing_twice(database: DatabaseKind) {
    let count: u16 = if std::env::var_os("EXAMHALL_LONG").is_some() { 10_000 } else { 1_000 };
    let mut world = world(database).await;
    let first = Api::start(&world).await;
    world.redis.kill().await;
    commit_mails(&world, count.into()).await;
    world.redis.restart().await;
    let (_first, _second) = (first, Api::start(&world).await);
    let (_third, _fourth) = (Api::start(&world).await, Api::start(&world).await);
    eventually("all queued", TIMEOUT, async || (jobs(&world).await == i64::from(count)).then_some(())).await;
    wait_until_noted(&world).await;
    assert_eq!(jobs(&world).await, i64::from(count));
    let events = events(&world).await;
    assert!(events.contains("added") && !events.contains("duplicated"), "a row was taken to the queue twice");
}

/// The names and ids of the queue's events, one after the other.
async fn events(world: &World) -> String {
    let events: Vec<(String, Vec<String>)> = world.redis.cmd("XRANGE bull:email:events - +").await;
    events.into_iter().flat_map(|(_, fields)| fields).collect()
}
