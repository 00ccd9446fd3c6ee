//! Whatever dies between the commit and the queue, a mail is queued once. A trigger in the database holds the API at the
//! step at which it is killed.

use std::{
    process::Output,
    time::{SystemTime, UNIX_EPOCH},
};

use examhall_testkit::{Action, Database, DatabaseKind, Phase, RedisOptions, World, eventually};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Api, PATIENCE};

async fn world(database: DatabaseKind) -> World {
    World::start_with(database, RedisOptions::default()).await
}

/// Python's sqlite3, as psql prints: a line for each row, with a bar between columns.
const SQLITE: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=float(sys.argv[2]), isolation_level=None)
for statement in sys.argv[3:]:
    for row in db.execute(statement):
        print('|'.join('' if value is None else str(value) for value in row))
";

/// Python's sqlite3 with these statements; gives up after `patience` seconds where somebody else writes.
async fn sqlite(folder: &TempDir, patience: &str, statements: &[&str]) -> Output {
    let mut python = Command::new("python3");
    python.args(["-c", SQLITE]).arg(folder.path().join("examhall.db")).arg(patience).args(statements);
    python.output().await.expect("python3 is installed")
}

/// Runs a statement and gives what it prints.
async fn sql(world: &World, statement: &str) -> String {
    let output = match &world.database {
        Database::Sqlite(folder) => sqlite(folder, "60", &[statement]).await,
        Database::Postgres(server) => {
            let mut psql = Command::new("psql");
            let psql = psql.args([server.url().as_str(), "-qAt", "-v", "ON_ERROR_STOP=1", "-c", statement]);
            psql.output().await.expect("psql is installed with PostgreSQL")
        }
    };
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// From now on whoever does `event` to the outbox is kept busy before it.
async fn hold(world: &World, event: &str, condition: &str) {
    let trigger = match &world.database {
        // Counts for minutes: SQLite cannot sleep.
        Database::Sqlite(_) => format!(
            "CREATE TRIGGER hold BEFORE {event} ON mail_outbox WHEN {condition} BEGIN SELECT max(n) FROM (WITH \
             RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c LIMIT 100000000000); END"
        ),
        Database::Postgres(_) => format!(
            "CREATE FUNCTION hold() RETURNS trigger AS 'BEGIN PERFORM pg_sleep(600); RETURN NEW; END' LANGUAGE \
             plpgsql; CREATE TRIGGER hold BEFORE {event} ON mail_outbox FOR EACH ROW WHEN ({condition}) EXECUTE \
             FUNCTION hold()"
        ),
    };
    sql(world, &trigger).await;
}

async fn wait_until_held(world: &World) {
    eventually("somebody held by the trigger", PATIENCE, async || {
        let is_held = match &world.database {
            // No other write takes so long.
            Database::Sqlite(folder) => !sqlite(folder, "3", &["BEGIN IMMEDIATE"]).await.status.success(),
            Database::Postgres(_) => {
                sql(world, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").await != "0"
            }
        };
        is_held.then_some(())
    })
    .await;
}

/// Ends what the dead process had begun in the database, and lets everybody else pass.
async fn let_go(world: &World) {
    match &world.database {
        Database::Sqlite(_) => sql(world, "DROP TRIGGER hold").await, // its locks died with the process
        Database::Postgres(_) => {
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
            sql(world, end).await;
            sql(world, "DROP TRIGGER hold ON mail_outbox").await
        }
    };
}

/// The test on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $test() { super::$test(super::DatabaseKind::Sqlite).await; })*
        }
        mod postgres {
            $(#[tokio::test] async fn $test() { super::$test(super::DatabaseKind::Postgres).await; })*
        }
    };
}

on_both!(
    an_api_killed_before_the_commit_leaves_neither_user_nor_mail,
    a_mail_that_a_dead_relay_had_claimed_is_queued_once_its_claim_ends,
    an_api_killed_between_adding_and_noting_leaves_one_job,
    a_mail_whose_job_has_ended_and_is_gone_is_not_queued_again_by_the_next_relay,
    a_mail_whose_job_has_ended_and_is_gone_is_not_queued_again_by_the_reconciler,
    mails_that_redis_forgets_are_queued_again,
    what_becomes_of_a_mail_is_noted_as_it_happens,
    several_relays_share_the_outbox_and_queue_nothing_twice,
);

async fn jobs(world: &World) -> i64 {
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
    assert!(request.await.expect("no panic").is_err(), "nobody was told that it was done");
    let_go(&world).await;
    let _api = Api::start(&world).await;
    let counts =
        "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM mail_tokens), (SELECT count(*) FROM mail_outbox)";
    assert_eq!(sql(&world, counts).await, "0|0|0");
    assert_eq!(jobs(&world).await, 0);
}

async fn a_mail_that_a_dead_relay_had_claimed_is_queued_once_its_claim_ends(database: DatabaseKind) {
    let mut world = world(database).await;
    let mut api = Api::start(&world).await;
    world.redis.kill().await; // so that it stays in the outbox
    api.sign_up("ada@example.com").await;
    api.process.kill().await;
    let claim_ends = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() + 3000;
    sql(&world, &format!("UPDATE mail_outbox SET claimed_until = {claim_ends}")).await;
    world.redis.restart().await;
    let _api = Api::start(&world).await;
    assert_eq!(jobs(&world).await, 0, "it is another relay's");
    eventually("the mail queued", PATIENCE, async || (jobs(&world).await == 1).then_some(())).await;
    let noted = "SELECT enqueued_at FROM mail_outbox WHERE enqueued_at IS NOT NULL";
    let noted: u128 = eventually("noted", PATIENCE, async || sql(&world, noted).await.parse().ok()).await;
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

/// Waits until the one mail is sent and its job is done, then takes the job away, as its retention does in time.
async fn send_and_forget(world: &World) {
    let mut mailer = world.mailer(&[]);
    world.smtp.wait_for(1).await;
    let done = eventually("the job done", PATIENCE, async || {
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
    sql(&world, "UPDATE mail_outbox SET claimed_until = 0, outcome = NULL").await; // half a minute later, no event heard
    let _api = Api::start(&world).await;
    eventually("known to be sent", PATIENCE, async || {
        (sql(&world, "SELECT outcome FROM mail_outbox").await == "sent").then_some(())
    })
    .await;
    assert_eq!((jobs(&world).await, world.smtp.received().len()), (0, 1), "one mail, and no second job");
}

async fn a_mail_whose_job_has_ended_and_is_gone_is_not_queued_again_by_the_reconciler(database: DatabaseKind) {
    let world = world(database).await;
    let mut api = Api::start(&world).await;
    api.sign_up("ada@example.com").await;
    eventually("queued and noted", PATIENCE, async || {
        (sql(&world, "SELECT count(*) FROM mail_outbox WHERE enqueued_at IS NOT NULL").await == "1").then_some(())
    })
    .await;
    api.process.kill().await; // it hears no event
    send_and_forget(&world).await;
    sql(&world, "UPDATE mail_outbox SET enqueued_at = enqueued_at - 60000").await; // a minute later
    let _api = Api::start(&world).await;
    eventually("known to be sent", PATIENCE, async || {
        (sql(&world, "SELECT outcome FROM mail_outbox").await == "sent").then_some(())
    })
    .await;
    assert_eq!((jobs(&world).await, world.smtp.received().len()), (0, 1), "one mail, and no second job");
}

async fn mails_that_redis_forgets_are_queued_again(database: DatabaseKind) {
    let world = world(database).await;
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

async fn several_relays_share_the_outbox_and_queue_nothing_twice(database: DatabaseKind) {
    let count = if std::env::var_os("EXAMHALL_LONG").is_some() { 10_000 } else { 1_000 };
    let mut world = world(database).await;
    let first = Api::start(&world).await;
    world.redis.kill().await;
    let (id, nothing) = match database {
        DatabaseKind::Sqlite => ("randomblob(16)", "x''"),
        DatabaseKind::Postgres => ("gen_random_uuid()", "''"),
    };
    let rows = format!(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) INSERT INTO mail_outbox (id, \
         class, template, recipient, params, sealed, priority, run_at, created_at) SELECT {id}, 'other', \
         'already-registered', 's' || n || '@example.com', '{{\"name\": \"S\"}}', {nothing}, 1 + n % 10, 0, 0 FROM c"
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

async fn what_becomes_of_a_mail_is_noted_as_it_happens(database: DatabaseKind) {
    let world = world(database).await;
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
