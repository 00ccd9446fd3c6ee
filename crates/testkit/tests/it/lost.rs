//! Mails whose jobs are lost or cannot be made: each is queued again, or it is said what became of it.

use examhall_testkit::{Action, DatabaseKind, Phase, World, eventually};
use serde_json::Value;

use crate::{
    Api, TIMEOUT, administrator,
    database::{on_both, sql, wait_until_noted},
    outbox::{jobs, world},
};

on_both!(
    a_mail_that_was_retried_and_then_lost_is_queued_again,
    a_failed_mail_that_was_lost_is_sent_when_an_operator_says_so,
    a_mail_whose_place_in_the_queue_was_evicted_is_queued_again,
    a_mail_that_nobody_can_compose_has_failed_once_it_has_expired,
);

/// Makes what was queued be asked after now: a minute has passed.
async fn a_minute_passes(world: &World) {
    sql(world, "UPDATE mail_outbox SET enqueued_at = enqueued_at - 60000").await;
}

async fn wait_for_outcome(world: &World, outcome: &str) {
    let found = async || (sql(world, "SELECT outcome FROM mail_outbox").await == outcome).then_some(());
    eventually(&format!("the outcome '{outcome}'"), TIMEOUT, found).await;
}

async fn a_mail_that_was_retried_and_then_lost_is_queued_again(database: DatabaseKind) {
    let world = world(database).await;
    let api = Api::start(&world).await;
    world.smtp.behave(|phase, _| match phase {
        Phase::Rcpt => Action::Reply("554 5.6.0 not today".into()),
        _ => Action::Proceed,
    });
    let mut mailer = world.mailer(&[]);
    api.sign_up("ada@example.com").await;
    wait_for_outcome(&world, "failed").await;
    mailer.kill().await;
    assert!(world.mailer(&["queue", "retry-failed"]).exit(TIMEOUT).await.success());
    wait_for_outcome(&world, "").await;
    world.redis.cmd::<String>("FLUSHALL").await;
    a_minute_passes(&world).await;
    eventually("the mail queued again", TIMEOUT, async || (jobs(&world).await == 1).then_some(())).await;
    api.process.line("Mail queued again").await; // it may have been sent, so it is named
}

async fn a_failed_mail_that_was_lost_is_sent_when_an_operator_says_so(database: DatabaseKind) {
    let world = world(database).await;
    let api = Api::start(&world).await;
    let admin = administrator(&world, &api).await;
    world.smtp.behave(|phase, _| match phase {
        Phase::Rcpt => Action::Reply("554 5.6.0 not today".into()),
        _ => Action::Proceed,
    });
    let _mailer = world.mailer(&[]);
    api.sign_up("ada@example.com").await;
    wait_for_outcome(&world, "failed").await;
    world.redis.cmd::<String>("FLUSHALL").await;
    world.smtp.behave(|_, _| Action::Proceed);
    let failed = api.client.get(format!("{}/emails?state=failed", api.base)).bearer_auth(&admin);
    let failed: Value = failed.send().await.expect("an answer").json().await.expect("JSON");
    let id = failed["items"][0]["jobId"].as_str().expect("a mail");
    let retry = api.client.post(format!("{}/emails/{id}/retry", api.base)).bearer_auth(&admin);
    assert_eq!(retry.send().await.expect("an answer").status(), 202);
    api.process.line("Mail queued again").await; // it may have been sent, so it is named
    wait_for_outcome(&world, "sent").await;
    assert_eq!(world.smtp.received().len(), 1);
}

async fn a_mail_whose_place_in_the_queue_was_evicted_is_queued_again(database: DatabaseKind) {
    let world = world(database).await;
    let api = Api::start(&world).await;
    api.sign_up("ada@example.com").await;
    wait_until_noted(&world).await;
    world.redis.cmd::<i64>("DEL bull:email:prioritized").await;
    a_minute_passes(&world).await;
    eventually("the mail queued again", TIMEOUT, async || (jobs(&world).await == 1).then_some(())).await;
    let _mailer = world.mailer(&[]);
    world.smtp.wait_for(1).await;
    wait_for_outcome(&world, "sent").await;
}

async fn a_mail_that_nobody_can_compose_has_failed_once_it_has_expired(database: DatabaseKind) {
    let mut world = world(database).await;
    let mut api = Api::start(&world).await;
    world.redis.kill().await; // so that it stays in the outbox
    api.sign_up("ada@example.com").await;
    api.process.kill().await;
    world.set("AUTH_SECRET", "another secret with which nothing that was sealed can be read");
    world.redis.restart().await;
    sql(&world, "UPDATE mail_outbox SET claimed_until = NULL").await;
    let api = Api::start(&world).await;
    api.process.line("A mail cannot be composed").await;
    assert_eq!(sql(&world, "SELECT outcome FROM mail_outbox").await, "", "the secret may come back");
    sql(&world, "UPDATE mail_outbox SET claimed_until = NULL, expires_at = 1").await;
    wait_for_outcome(&world, "failed").await;
}
