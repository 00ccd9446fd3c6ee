//! Whatever dies between the commit and the queue, a mail is queued once. A trigger in the database holds the API at the
//! step at which it is killed.

use examhall_testkit::{Action, DatabaseKind, Phase, RedisOptions, World, eventually};
use tokio::process::Command;

use crate::{Api, PATIENCE};

async fn world() -> World {
    World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await
}

/// Runs statements and gives what they print.
async fn sql(world: &World, statements: &str) -> String {
    let mut psql = Command::new("psql");
    let psql = psql.args([world.database.url().as_str(), "-qAt", "-v", "ON_ERROR_STOP=1", "-c", statements]);
    let output = psql.output().await.expect("psql is installed with PostgreSQL");
    assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// From now on whoever does `event` to the outbox sleeps before it.
async fn hold(world: &World, event: &str, condition: &str) {
    let trigger = format!(
        "CREATE FUNCTION hold() RETURNS trigger AS 'BEGIN PERFORM pg_sleep(600); RETURN NEW; END' LANGUAGE plpgsql; \
         CREATE TRIGGER hold BEFORE {event} ON mail_outbox FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION hold()"
    );
    sql(world, &trigger).await;
}

async fn wait_until_held(world: &World) {
    eventually("somebody held by the trigger", PATIENCE, async || {
        let held = sql(world, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").await;
        (held != "0").then_some(())
    })
    .await;
}

/// Ends what the dead process had begun in the database, and lets everybody else pass.
async fn let_go(world: &World) {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    sql(world, end).await;
    sql(world, "DROP TRIGGER hold ON mail_outbox").await;
}

async fn jobs(world: &World) -> i64 {
    world.redis.cmd("ZCARD bull:email:prioritized").await
}

#[tokio::test]
async fn an_api_killed_before_the_commit_leaves_neither_user_nor_mail() {
    let world = world().await;
    let mut api = Api::start(&world).await;
    hold(&world, "INSERT", "true").await;
    let body = serde_json::json!({"email": "ada@example.com", "name": "Ada", "password": "correct horse"});
    let request = api.client.post(format!("{}/auth/signup", api.base)).json(&body).send();
    let request = tokio::spawn(request);
    wait_until_held(&world).await;
    api.process.kill().await;
    assert!(request.await.expect("no panic").is_err(), "nobody was told that it was done");
    let_go(&world).await;
    let _api = Api::start(&world).await;
    let counts =
        "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM mail_tokens), (SELECT count(*) FROM mail_outbox)";
    assert_eq!(sql(&world, counts).await, "0|0|0");
    assert_eq!(jobs(&world).await, 0);
}

#[tokio::test]
async fn a_mail_that_a_dead_relay_had_claimed_is_queued_once_its_claim_ends() {
    let mut world = world().await;
    let mut api = Api::start(&world).await;
    world.redis.kill().await; // so that it stays in the outbox
    api.sign_up("ada@example.com").await;
    api.process.kill().await;
    let claim = "UPDATE mail_outbox SET claimed_until = (extract(epoch FROM now()) * 1000)::bigint + 3000";
    sql(&world, claim).await;
    let claim_ends = sql(&world, "SELECT claimed_until FROM mail_outbox").await;
    world.redis.restart().await;
    let _api = Api::start(&world).await;
    assert_eq!(jobs(&world).await, 0, "it is another relay's");
    eventually("the mail queued", PATIENCE, async || (jobs(&world).await == 1).then_some(())).await;
    let noted = format!("SELECT enqueued_at >= {claim_ends} FROM mail_outbox");
    let noted =
        eventually("noted", PATIENCE, async || Some(sql(&world, &noted).await).filter(|it| !it.is_empty())).await;
    assert_eq!(noted, "t", "not before");
}

#[tokio::test]
async fn an_api_killed_between_adding_and_noting_leaves_one_job() {
    let world = world().await;
    let mut api = Api::start(&world).await;
    hold(&world, "UPDATE OF enqueued_at", "NEW.enqueued_at IS NOT NULL").await;
    api.sign_up("ada@example.com").await;
    wait_until_held(&world).await;
    assert_eq!(jobs(&world).await, 1, "added, and not noted");
    api.process.kill().await;
    let_go(&world).await;
    sql(&world, "UPDATE mail_outbox SET claimed_until = 0").await; // half a minute later
    let _api = Api::start(&world).await;
    eventually("noted by the next one", PATIENCE, async || {
        (sql(&world, "SELECT count(*) FROM mail_outbox WHERE enqueued_at IS NOT NULL").await == "1").then_some(())
    })
    .await;
    assert_eq!(jobs(&world).await, 1);
    let _mailer = world.mailer(&[]);
    world.smtp.wait_for(1).await;
    eventually("the job's end", PATIENCE, async || (jobs(&world).await == 0).then_some(())).await;
    assert_eq!(world.smtp.received().len(), 1);
}

#[tokio::test]
async fn mails_that_redis_forgets_are_queued_again() {
    let world = world().await;
    let api = Api::start(&world).await;
    for n in 0..20 {
        api.sign_up(&format!("s{n}@example.com")).await;
    }
    eventually("all queued and noted", PATIENCE, async || {
        (sql(&world, "SELECT count(*) FROM mail_outbox WHERE enqueued_at IS NULL").await == "0").then_some(())
    })
    .await;
    world.redis.cmd::<String>("FLUSHALL").await;
    sql(&world, "UPDATE mail_outbox SET enqueued_at = enqueued_at - 60000").await; // a minute later
    let _mailer = world.mailer(&[]);
    let mails = world.smtp.wait_for(20).await;
    let to: std::collections::HashSet<_> = mails.iter().map(|mail| mail.to[0].clone()).collect();
    assert_eq!((mails.len(), to.len()), (20, 20), "each once");
}

#[tokio::test]
async fn several_relays_share_the_outbox_and_queue_nothing_twice() {
    let count = if std::env::var_os("EXAMHALL_LONG").is_some() { 10_000 } else { 1_000 };
    let mut world = world().await;
    let first = Api::start(&world).await;
    world.redis.kill().await;
    let rows = format!(
        "INSERT INTO mail_outbox (id, class, template, recipient, params, sealed, priority, run_at, created_at) \
         SELECT gen_random_uuid(), 'other', 'already-registered', 's' || n || '@example.com', '{{\"name\": \"S\"}}', '', \
         1 + n % 10, 0, 0 FROM generate_series(1, {count}) n"
    );
    sql(&world, &rows).await;
    world.redis.restart().await;
    let (_first, _second, _third) = (first, Api::start(&world).await, Api::start(&world).await);
    eventually("all queued", PATIENCE, async || (jobs(&world).await == count).then_some(())).await;
    eventually("all noted", PATIENCE, async || {
        (sql(&world, "SELECT count(*) FROM mail_outbox WHERE enqueued_at IS NULL").await == "0").then_some(())
    })
    .await;
    assert_eq!(jobs(&world).await, count);
    let events: String = world
        .redis
        .cmd::<Vec<(String, Vec<String>)>>("XRANGE bull:email:events - +")
        .await
        .into_iter()
        .flat_map(|(_, fields)| fields)
        .collect();
    assert!(events.contains("added") && !events.contains("duplicated"), "a row was taken to the queue twice");
}

#[tokio::test]
async fn what_becomes_of_a_mail_is_noted_as_it_happens() {
    let world = world().await;
    let (api, _mailer) = (Api::start(&world).await, world.mailer(&[]));
    world.smtp.behave(|phase, line| match phase {
        Phase::Rcpt if line.contains("nobody@") => Action::Reply("550 5.1.1 no such user".into()),
        _ => Action::Proceed,
    });
    api.sign_up("ada@example.com").await;
    api.sign_up("nobody@example.com").await;
    let outcomes = "SELECT recipient || ' ' || outcome FROM mail_outbox WHERE outcome IS NOT NULL ORDER BY 1";
    eventually("both noted", PATIENCE, async || {
        (sql(&world, outcomes).await == "ada@example.com sent\nnobody@example.com failed").then_some(())
    })
    .await;
}
