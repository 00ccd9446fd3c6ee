//! Errors of the database that pass by themselves: what is run again, and which connections are replaced.

use std::time::Duration;

use examhall_core::{EmailAddress, UserId};
use examhall_store::{Account, Error, NewMailToken, TokenPurpose};
use examhall_testkit::{DatabaseKind, eventually};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::{Fresh, NOW, Other, named, outbox::mail};

/// Runs a statement on a connection of its own, which may write whatever the server's settings say.
async fn execute(fresh: &Fresh, sql: &str) {
    let url = format!("{}?options[default_transaction_read_only]=off", fresh.database.url());
    let connection = sea_orm::Database::connect(url).await.expect("connected");
    connection.execute_unprepared(sql).await.expect("run");
    connection.close().await.expect("closed");
}

async fn count(fresh: &Fresh, sql: &str) -> i64 {
    let connection = sea_orm::Database::connect(fresh.database.url()).await.expect("connected");
    let row = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.expect("asked");
    connection.close().await.expect("closed");
    row.expect("a row").try_get_by_index(0).expect("a number")
}

/// Renames an account; returns how often the transaction was run, on a server that fails it with `code` for `times`.
async fn rename_against(fresh: &Fresh, user: UserId, code: &str, times: u32) -> (Result<(), Error>, i64) {
    let sql = format!(
        "DROP SEQUENCE IF EXISTS runs; CREATE SEQUENCE runs;
         CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF nextval('runs') <= {times} THEN RAISE EXCEPTION 'for the test' USING ERRCODE = '{code}'; END IF;
           RETURN NEW; END $$;
         CREATE OR REPLACE TRIGGER fail BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION fail()"
    );
    execute(fresh, &sql).await;
    let done = fresh.store.accounts.change(user, &named("Ada"), None, NOW).await.map(drop);
    (done, count(fresh, "SELECT last_value FROM runs").await)
}

#[tokio::test]
async fn a_conflict_is_run_again_once_and_is_unavailable_then() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    let user = fresh.author().await;
    for code in ["40001", "40P01", "25006", "26000"] {
        let (done, runs) = rename_against(&fresh, user, code, 1).await;
        assert!(done.is_ok() && runs == 2, "{code} once: {done:?} after {runs}");
        let (done, runs) = rename_against(&fresh, user, code, 9).await;
        assert!(matches!(done, Err(Error::Unavailable(_))) && runs == 2, "{code}: {done:?} after {runs}");
    }
}

#[tokio::test]
async fn what_may_have_been_committed_or_needs_time_is_not_run_again() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    let user = fresh.author().await;
    let codes =
        ["40003", "55P03", "55006", "57014", "57P01", "57P03", "57P05", "53100", "53200", "53300", "08006", "58030"];
    for code in codes {
        let (done, runs) = rename_against(&fresh, user, code, 1).await;
        assert!(matches!(done, Err(Error::Unavailable(_))) && runs == 1, "{code}: {done:?} after {runs}");
    }
    for code in ["23514", "22001", "42703", "0A000", "XX001"] {
        let (done, runs) = rename_against(&fresh, user, code, 1).await;
        assert!(matches!(done, Err(Error::Database(_))) && runs == 1, "{code}: {done:?} after {runs}");
    }
}

#[tokio::test]
async fn a_transaction_that_loses_a_deadlock_is_run_again() {
    let mut fresh = Fresh::start(DatabaseKind::Postgres).await;
    let user = fresh.author().await;
    // The store's side looks for a deadlock after 3 s, the other side never: so the store's side is the one that loses.
    execute(&fresh, "ALTER SYSTEM SET deadlock_timeout = '3s'").await;
    execute(&fresh, "SELECT pg_reload_conf()").await;
    let other = Other::amid(&fresh, "SET LOCAL deadlock_timeout = '1h'; LOCK TABLE cache_outbox").await;
    let accounts = fresh.store.accounts.clone();
    let renaming = tokio::spawn(async move { accounts.change(user, &named("Grace"), None, NOW).await });
    other.sees_waiting(1).await;
    other.runs("UPDATE users SET role = role").await;
    other.gives_up().await;
    assert_eq!(renaming.await.expect("no panic").expect("renamed").value.name, "Grace");
    let log = fresh.database.server().process().output();
    assert!(log.contains("deadlock detected"), "{log}");
}

/// Two resets of one account, of which the one with the token `first` comes to the account first.
async fn check_two_resets(first: u8, second: u8) {
    let mut fresh = Fresh::start(DatabaseKind::Postgres).await;
    let user = fresh.author().await;
    let address = EmailAddress::parse("author@example.com").expect("an address");
    for (minutes, byte) in [(0, 5), (2, 6)] {
        let token = NewMailToken {
            hash: [byte; 32],
            purpose: TokenPurpose::Reset,
            expires_at: NOW.plus(Duration::from_hours(1)),
        };
        let at = NOW.plus(Duration::from_mins(minutes));
        let mailed = fresh.store.accounts.mail_token(&address, &token, |_: &Account| mail(10), at).await;
        assert!(mailed.expect("asked"));
    }
    let other = Other::amid(&fresh, "SELECT * FROM users FOR UPDATE").await;
    let mut resets = Vec::new();
    for (waiting, byte) in [(1, first), (2, second)] {
        let accounts = fresh.store.accounts.clone();
        resets.push(tokio::spawn(async move {
            accounts.reset_password(&[byte; 32], "$new", |_: &Account| mail(10), NOW).await
        }));
        other.sees_waiting(waiting).await;
    }
    other.gives_up().await;
    let mut done = Vec::new();
    for reset in resets {
        done.push(reset.await.expect("no panic").expect("no error"));
    }
    assert_eq!(done, [Some(user), None], "the second token is of no use any more");
    let log = fresh.database.server().process().output();
    assert!(!log.contains("deadlock detected"), "{log}");
}

#[tokio::test]
async fn two_resets_of_one_account_do_not_deadlock() {
    check_two_resets(5, 6).await;
    check_two_resets(6, 5).await;
}

#[tokio::test]
async fn writes_go_on_within_seconds_of_a_read_only_spell() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    let user = fresh.author().await;
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()";
    for how in ["SYSTEM", "DATABASE postgres", "ROLE examhall"] {
        execute(&fresh, &format!("ALTER {how} SET default_transaction_read_only = on")).await;
        execute(&fresh, "SELECT pg_reload_conf()").await;
        execute(&fresh, terminate).await;
        eventually("seen to be read-only", Duration::from_secs(30), async || {
            matches!(fresh.store.ping().await, Err(Error::ReadOnly)).then_some(())
        })
        .await;
        let renamed = fresh.store.accounts.change(user, &named("Ada"), None, NOW).await;
        assert!(matches!(renamed, Err(Error::Unavailable(_))), "{how}: {renamed:?}");
        assert_eq!(fresh.store.accounts.get(user).await.expect("reads go on").value.id, user);
        execute(&fresh, &format!("ALTER {how} RESET default_transaction_read_only")).await;
        execute(&fresh, "SELECT pg_reload_conf()").await;
        eventually("written again", Duration::from_secs(5), async || {
            fresh.store.accounts.change(user, &named("Ada"), None, NOW).await.ok()
        })
        .await;
        eventually("seen to be writable", Duration::from_secs(5), async || fresh.store.ping().await.ok()).await;
    }
}
