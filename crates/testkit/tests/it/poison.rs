//! Outbox rows that cannot be queued hold up no other mail, however many they are.
#![expect(clippy::print_stdout, reason = "how long it took, for those who run the tests")]

use std::time::Instant;

use examhall_testkit::{Database, DatabaseKind, World, eventually};

use crate::{
    Api, TIMEOUT,
    database::{on_both, sql},
    outbox::{jobs, world},
};

on_both!(
    mails_sealed_under_another_secret_delay_no_new_one,
    a_job_that_redis_refuses_holds_up_no_other,
    a_ledger_key_of_another_type_stops_no_relay,
    rows_that_cannot_be_composed_are_closed_at_their_end,
);

/// Copies the only row this many times, each copy older than it.
async fn multiply(world: &World, count: usize) {
    let id = match &world.database {
        Database::Sqlite(_) => "CAST(zeroblob(8) || randomblob(8) AS BLOB)",
        Database::Postgres(_) => "CAST('00000000' || substr(CAST(gen_random_uuid() AS text), 9) AS uuid)",
    };
    let rows = format!(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) INSERT INTO mail_outbox (id, \
         class, template, recipient, params, sealed, priority, run_at, created_at, expires_at) SELECT {id}, class, \
         template, recipient, params, sealed, priority, run_at, created_at, expires_at FROM mail_outbox, c"
    );
    sql(world, &rows).await;
}

async fn count(world: &World, condition: &str) -> u64 {
    sql(world, &format!("SELECT count(*) FROM mail_outbox WHERE {condition}")).await.parse().expect("a number")
}

async fn mails_sealed_under_another_secret_delay_no_new_one(database: DatabaseKind) {
    let mut world = world(database).await;
    let mut api = Api::start(&world).await;
    world.redis.kill().await; // so that the mail stays in the outbox
    api.sign_up("before@example.com").await;
    api.process.kill().await;
    sql(&world, "UPDATE mail_outbox SET claimed_until = NULL, claims = 0").await;
    multiply(&world, 100_000).await;
    world.redis.restart().await;
    world.set("AUTH_SECRET", "another-secret-than-the-one-before");
    let api = Api::start(&world).await;
    api.sign_up("ada@example.com").await;
    let committed = Instant::now();
    eventually("the good mail queued", TIMEOUT, async || (jobs(&world).await == 1).then_some(())).await;
    let took = committed.elapsed();
    let untried = count(&world, "claims = 0 AND enqueued_at IS NULL").await;
    println!("queued {took:?} after its commit, with {untried} of 100,001 mails not tried yet ({database:?})");
    assert!(untried > 0, "it was behind all that cannot be composed");
    let named = api.process.output().matches("\"A mail cannot be composed\"").count();
    assert!(named >= 10, "{named}");
    assert_eq!(count(&world, "outcome IS NOT NULL").await, 0, "they wait for the secret to come back");
}

async fn a_job_that_redis_refuses_holds_up_no_other(database: DatabaseKind) {
    let mut world = world(database).await;
    let mut api = Api::start(&world).await;
    world.redis.kill().await;
    for email in ["large@example.com", "good@example.com", "better@example.com"] {
        api.sign_up(email).await;
    }
    api.process.kill().await;
    // Larger than this Redis takes, as some hosted ones do not.
    let text = match &world.database {
        Database::Sqlite(_) => "hex(zeroblob(1000000))",
        Database::Postgres(_) => "repeat('0', 2000000)",
    };
    let params = format!(r#"'{{"to": "large@example.com", "subject": "s", "html": "' || {text} || '"}}'"#);
    let params = match &world.database {
        Database::Sqlite(_) => params,
        Database::Postgres(_) => format!("CAST({params} AS jsonb)"),
    };
    let large = format!("template = 'custom', params = {params} WHERE recipient = 'large@example.com'");
    sql(&world, &format!("UPDATE mail_outbox SET {large}")).await;
    sql(&world, "UPDATE mail_outbox SET claimed_until = NULL, claims = 0").await;
    world.redis.restart().await;
    let _: String = world.redis.cmd("CONFIG SET proto-max-bulk-len 1048576").await;
    let _api = Api::start(&world).await;
    eventually("both others queued", TIMEOUT, async || (jobs(&world).await == 2).then_some(())).await;
    eventually("both others noted", TIMEOUT, async || {
        (count(&world, "enqueued_at IS NULL AND outcome IS NULL").await == 1).then_some(())
    })
    .await;
}

async fn a_ledger_key_of_another_type_stops_no_relay(database: DatabaseKind) {
    let mut world = world(database).await;
    let mut api = Api::start(&world).await;
    world.redis.kill().await;
    for email in ["ada@example.com", "grace@example.com"] {
        api.sign_up(email).await;
    }
    api.process.kill().await;
    sql(&world, "UPDATE mail_outbox SET claimed_until = NULL, claims = 0").await;
    world.redis.restart().await;
    let id = id_of(&world, "ada@example.com").await;
    let _: i64 = world.redis.cmd(&format!("RPUSH mail:sent:m-{id} foreign")).await;
    let _api = Api::start(&world).await;
    eventually("both queued", TIMEOUT, async || (jobs(&world).await == 2).then_some(())).await;
}

/// The id of the mail to an address, as its job has it after "m-".
async fn id_of(world: &World, recipient: &str) -> String {
    let id = match &world.database {
        Database::Sqlite(_) => {
            let part = |from: u8, length: u8| format!("substr(lower(hex(id)), {from}, {length})");
            [part(1, 8), part(9, 4), part(13, 4), part(17, 4), part(21, 12)].join(" || '-' || ")
        }
        Database::Postgres(_) => "id".to_owned(),
    };
    sql(world, &format!("SELECT {id} FROM mail_outbox WHERE recipient = '{recipient}'")).await
}

async fn rows_that_cannot_be_composed_are_closed_at_their_end(database: DatabaseKind) {
    let mut world = world(database).await;
    let mut api = Api::start(&world).await;
    world.redis.kill().await;
    api.sign_up("before@example.com").await;
    api.process.kill().await;
    multiply(&world, 1_000).await;
    sql(&world, "UPDATE mail_outbox SET claimed_until = NULL, claims = 0, expires_at = 1, template = 'nothing'").await;
    world.redis.restart().await;
    let _api = Api::start(&world).await;
    eventually("all closed", TIMEOUT, async || (count(&world, "outcome = 'failed'").await == 1_001).then_some(()))
        .await;
    assert_eq!(jobs(&world).await, 0);
}
