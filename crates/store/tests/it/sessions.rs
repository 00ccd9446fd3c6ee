use std::time::Duration;

use examhall_core::{EmailAddress, Role, Timestamp, UserId};
use examhall_store::{Account, NewMailToken, NewSession, NextSession, SessionKind, Store, TokenPurpose};
use examhall_testkit::{Database, DatabaseKind};
use sea_orm::ConnectionTrait;

use crate::{Fresh, NOW, Other, account, on_both, outbox::mail};

on_both!(
    an_account_knows_from_where_it_was_logged_in_to,
    refresh_token_used_after_its_grace_ends_the_family,
    refresh_token_used_again_within_its_grace_gets_a_sibling,
    grace_holds_for_clocks_that_differ_by_less_than_itself,
    concurrent_refreshes_all_succeed_and_go_on,
    logout_ends_siblings_and_revoked_tokens_have_no_grace,
    reset_within_the_grace_ends_all_siblings,
    token_reused_without_end_within_its_grace_ends_the_family,
    a_log_out_ends_the_session,
    a_log_in_with_a_password_that_was_just_changed_begins_nothing,
    a_reset_sets_the_password_and_ends_all_sessions_and_tokens,
    a_mail_asked_for_again_and_again_is_sent_once_a_minute,
    what_is_of_no_use_any_more_is_deleted,
    rotated_sessions_are_kept_for_seven_days,
    pruning_goes_by_an_index_and_in_batches,
);

const HOUR: Duration = Duration::from_hours(1);

fn next(byte: u8) -> NextSession {
    NextSession { token_hash: [byte; 32], expires_at: NOW.plus(HOUR) }
}

/// One that the password of [`account`] begins.
pub(crate) fn session(user: UserId, byte: u8) -> NewSession {
    let password_hash = account("x@example.com", Role::Author).password_hash;
    NewSession {
        id: uuid::Uuid::now_v7(),
        user,
        password_hash,
        token_hash: [byte; 32],
        expires_at: NOW.plus(HOUR),
        network: "192.0.2.7".into(),
        kind: SessionKind::Api,
    }
}

async fn log_in(fresh: &Fresh, byte: u8) -> UserId {
    let found = fresh.store.accounts.by_email(&address()).await.expect("asked");
    let user = match found {
        Some(account) => account.id,
        None => fresh.store.accounts.create(&[account("ada@example.com", Role::Author)], NOW).await.expect("new")[0],
    };
    assert!(fresh.store.accounts.begin_session(&session(user, byte), NOW).await.expect("asked"));
    user
}

fn address() -> EmailAddress {
    EmailAddress::parse("ada@example.com").expect("an address")
}

async fn rotate(fresh: &Fresh, old: u8, new: u8, now: Timestamp) -> Option<UserId> {
    let rotated = fresh.store.accounts.rotate_session(&[old; 32], next(new), now).await.expect("asked");
    rotated.map(|renewed| renewed.account.id)
}

/// The first moment after the grace period of a token rotated at [`NOW`].
const AFTER_GRACE: Timestamp = Timestamp::from_millis(NOW.as_millis() + 30_000);

async fn refresh_token_used_after_its_grace_ends_the_family(fresh: Fresh) {
    let user = log_in(&fresh, 1).await;
    log_in(&fresh, 9).await;
    assert_eq!(rotate(&fresh, 7, 8, NOW).await, None, "unknown");
    assert_eq!(rotate(&fresh, 1, 2, NOW).await, Some(user));
    assert_eq!(rotate(&fresh, 2, 3, NOW).await, Some(user));
    assert_eq!(rotate(&fresh, 1, 4, AFTER_GRACE).await, None, "a copy");
    assert_eq!(rotate(&fresh, 3, 5, AFTER_GRACE).await, None, "its family has ended");
    assert_eq!(rotate(&fresh, 1, 6, NOW).await, None, "and has no grace any more");
    assert_eq!(rotate(&fresh, 9, 10, NOW).await, Some(user), "another login has not");
    assert_eq!(rotate(&fresh, 10, 11, NOW.plus(HOUR)).await, None, "too late");
}

async fn refresh_token_used_again_within_its_grace_gets_a_sibling(fresh: Fresh) {
    let user = log_in(&fresh, 1).await;
    let last = NOW.plus(Duration::from_millis(29_999));
    assert_eq!(rotate(&fresh, 1, 2, NOW).await, Some(user));
    assert_eq!(rotate(&fresh, 1, 3, last).await, Some(user), "the answer was lost");
    for (old, new) in [(2, 12), (3, 13)] {
        assert_eq!(rotate(&fresh, old, new, last).await, Some(user), "{old}");
    }
    assert_eq!(rotate(&fresh, 1, 4, AFTER_GRACE).await, None, "counted from its rotation, not its last use");
    for byte in [2, 3, 12, 13] {
        assert_eq!(rotate(&fresh, byte, byte + 100, AFTER_GRACE).await, None, "{byte}");
    }
}

async fn grace_holds_for_clocks_that_differ_by_less_than_itself(fresh: Fresh) {
    let user = log_in(&fresh, 1).await;
    assert_eq!(rotate(&fresh, 1, 2, AFTER_GRACE).await, Some(user));
    assert_eq!(rotate(&fresh, 1, 3, NOW.plus(Duration::from_millis(1))).await, Some(user), "a clock that is behind");
    assert_eq!(rotate(&fresh, 1, 4, NOW).await, None, "one that says nothing about age");
}

async fn concurrent_refreshes_all_succeed_and_go_on(fresh: Fresh) {
    log_in(&fresh, 1).await;
    let uses = (10..20_u8).map(|byte| {
        let store = fresh.store.clone();
        tokio::spawn(async move { store.accounts.rotate_session(&[1; 32], next(byte), NOW).await.expect("asked") })
    });
    for one in uses.collect::<Vec<_>>() {
        assert!(one.await.expect("no panic").is_some());
    }
    for byte in 10..20 {
        assert!(rotate(&fresh, byte, byte + 20, AFTER_GRACE).await.is_some(), "{byte}");
    }
}

async fn logout_ends_siblings_and_revoked_tokens_have_no_grace(fresh: Fresh) {
    log_in(&fresh, 1).await;
    for byte in [2, 3, 4] {
        rotate(&fresh, 1, byte, NOW).await.expect("rotated");
    }
    fresh.store.accounts.end_session(&[3; 32], NOW).await.expect("ended");
    for byte in [1, 2, 3, 4] {
        assert_eq!(rotate(&fresh, byte, byte + 100, NOW).await, None, "{byte}");
    }
}

async fn reset_within_the_grace_ends_all_siblings(fresh: Fresh) {
    log_in(&fresh, 1).await;
    for byte in [2, 3] {
        rotate(&fresh, 1, byte, NOW).await.expect("rotated");
    }
    ask_for_reset(&fresh, 5).await;
    assert!(reset(fresh.store.clone(), 5).await.is_some());
    for byte in [1, 2, 3] {
        assert_eq!(rotate(&fresh, byte, byte + 100, NOW).await, None, "{byte}");
    }
}

async fn token_reused_without_end_within_its_grace_ends_the_family(fresh: Fresh) {
    log_in(&fresh, 1).await;
    let mut uses = 0;
    while rotate(&fresh, 1, 100 + uses, NOW).await.is_some() {
        uses += 1;
        assert!(uses < 100, "reused without end");
    }
    assert_eq!(uses, 33);
    assert_eq!(rotate(&fresh, 100, 2, NOW).await, None, "the first successor");
}

async fn a_log_out_ends_the_session(fresh: Fresh) {
    log_in(&fresh, 1).await;
    rotate(&fresh, 1, 2, NOW).await.expect("rotated");
    fresh.store.accounts.end_session(&[2; 32], NOW).await.expect("ended");
    fresh.store.accounts.end_session(&[77; 32], NOW).await.expect("an unknown one is ended already");
    assert_eq!(rotate(&fresh, 2, 3, NOW).await, None);
}

fn token(byte: u8, purpose: TokenPurpose) -> NewMailToken {
    NewMailToken { hash: [byte; 32], purpose, expires_at: NOW.plus(HOUR) }
}

async fn mails(fresh: &Fresh) -> usize {
    fresh.store.outbox.claim(100, HOUR, NOW.plus(HOUR)).await.expect("claimed").len()
}

async fn a_reset_sets_the_password_and_ends_all_sessions_and_tokens(fresh: Fresh) {
    let user = log_in(&fresh, 1).await;
    let accounts = &fresh.store.accounts;
    let later = NOW.plus(Duration::from_mins(2));
    for (byte, at) in [(5, NOW), (6, later)] {
        let token = token(byte, TokenPurpose::Reset);
        assert!(accounts.mail_token(&address(), &token, |_: &Account| mail(10), at).await.expect("asked"));
    }
    let reset = async |byte: u8, at| {
        accounts.reset_password(&[byte; 32], "$new", |_: &Account| mail(10), at).await.expect("asked")
    };
    assert_eq!(reset(5, NOW.plus(HOUR)).await, None, "too late");
    assert!(!accounts.verify(&[5; 32], None, NOW).await.expect("asked"), "another purpose");
    let is_good = async |purpose, at| accounts.is_good(&[5; 32], purpose, at).await.expect("asked");
    assert!(!is_good(TokenPurpose::Reset, NOW.plus(HOUR)).await && !is_good(TokenPurpose::Verification, later).await);
    assert!(is_good(TokenPurpose::Reset, later).await);
    assert_eq!(reset(5, later).await, Some(user));
    assert!(!is_good(TokenPurpose::Reset, later).await);
    assert_eq!((reset(5, later).await, reset(6, later).await), (None, None), "used, and useless");
    assert_eq!(accounts.get(user).await.expect("found").value.password_hash, "$new");
    assert_eq!(rotate(&fresh, 1, 2, later).await, None);
    assert_eq!(mails(&fresh).await, 3, "two with tokens and one that says so");
}

async fn a_mail_asked_for_again_and_again_is_sent_once_a_minute(fresh: Fresh) {
    log_in(&fresh, 1).await;
    let asks = (10..15_u8).map(|byte| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            let token = token(byte, TokenPurpose::Reset);
            store.accounts.mail_token(&address(), &token, |_: &Account| mail(10), NOW).await.expect("asked")
        })
    });
    let mut sent = 0;
    for ask in asks.collect::<Vec<_>>() {
        sent += i32::from(ask.await.expect("no panic"));
    }
    assert_eq!((sent, mails(&fresh).await), (1, 1));
    let ask = async |email: &str, purpose, at| {
        let email = EmailAddress::parse(email).expect("an address");
        let token = token(u8::try_from(at).unwrap_or(99), purpose);
        let at = NOW.plus(Duration::from_secs(at));
        fresh.store.accounts.mail_token(&email, &token, |_: &Account| mail(10), at).await.expect("asked")
    };
    assert!(!ask("ada@example.com", TokenPurpose::Reset, 59).await);
    assert!(ask("ada@example.com", TokenPurpose::Reset, 60).await);
    assert!(!ask("ada@example.com", TokenPurpose::Verification, 61).await, "verified");
    assert!(!ask("nobody@example.com", TokenPurpose::Reset, 62).await, "no account");
}

async fn what_is_of_no_use_any_more_is_deleted(fresh: Fresh) {
    log_in(&fresh, 1).await;
    let day = NOW.plus(Duration::from_hours(25));
    assert_eq!(fresh.store.accounts.prune(day).await.expect("pruned"), 0);
    let later = Timestamp::from_millis(day.as_millis() + 1);
    assert_eq!(fresh.store.accounts.prune(later).await.expect("pruned"), 1);
}

/// Runs a statement on a connection of its own; returns the first column of its rows.
async fn ask(fresh: &Fresh, sql: &str) -> Vec<String> {
    let connection = sea_orm::Database::connect(fresh.database.url()).await.expect("connected");
    let statement = sea_orm::Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.expect("asked");
    connection.close().await.expect("closed");
    let last = |row: &sea_orm::QueryResult| row.try_get("", "detail").or_else(|_| row.try_get_by_index(0));
    rows.iter().map(|row| last(row).expect("a text")).collect()
}

async fn rotated_sessions_are_kept_for_seven_days(fresh: Fresh) {
    let month = Duration::from_hours(30 * 24);
    let user = log_in(&fresh, 1).await;
    let begun = NewSession { expires_at: NOW.plus(month), ..session(user, 2) };
    assert!(fresh.store.accounts.begin_session(&begun, NOW).await.expect("asked"));
    let rotated = NextSession { expires_at: NOW.plus(month), ..next(3) };
    fresh.store.accounts.rotate_session(&[2; 32], rotated, NOW).await.expect("asked").expect("rotated");
    let week = NOW.plus(Duration::from_hours(7 * 24));
    assert_eq!(fresh.store.accounts.prune(week).await.expect("pruned"), 1, "the one that expired");
    assert_eq!(fresh.store.accounts.prune(Timestamp::from_millis(week.as_millis() + 1)).await.expect("pruned"), 1);
    assert_eq!(rotate(&fresh, 2, 4, week).await, None, "unknown now");
    assert_eq!(rotate(&fresh, 3, 5, week).await, Some(user), "its successor lives");
}

async fn pruning_goes_by_an_index_and_in_batches(fresh: Fresh) {
    log_in(&fresh, 1).await;
    let (hash, id, numbers) = match fresh.database {
        Database::Postgres(_) => ("sha256(n::text::bytea)", "gen_random_uuid()", "generate_series(1, 5000) AS s(n)"),
        Database::Sqlite(_) => ("randomblob(32)", "randomblob(16)", "generated"),
    };
    let generated = "WITH RECURSIVE generated(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM generated WHERE n < 5000)";
    let (day, now) = (86_400_000, NOW.as_millis());
    let sql = format!(
        "{generated} INSERT INTO sessions (id, family, user_id, token_hash, created_at, expires_at) \
         SELECT {id}, {id}, users.id, {hash}, 0, CASE WHEN n <= 2500 THEN 0 ELSE {now} + {day} END FROM users, {numbers}"
    );
    ask(&fresh, &sql).await;
    let explain = match fresh.database {
        Database::Sqlite(_) => "EXPLAIN QUERY PLAN",
        Database::Postgres(_) => {
            ask(&fresh, "ANALYZE").await;
            "EXPLAIN"
        }
    };
    for (table, column) in [("sessions", "expires_at"), ("sessions", "rotated_at"), ("mail_tokens", "expires_at")] {
        let plan =
            ask(&fresh, &format!("{explain} SELECT * FROM {table} WHERE {column} < 1 LIMIT 1000")).await.join("\n");
        assert!(table == "mail_tokens" || plan.contains(&format!("{table}_{column}")), "{plan}");
    }
    assert_eq!(fresh.store.accounts.prune(NOW).await.expect("pruned"), 2500);
    assert_eq!(ask(&fresh, "SELECT CAST(count(*) AS TEXT) FROM sessions").await, ["2501"]);
}

#[tokio::test]
async fn pruning_waits_for_nobody() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    log_in(&fresh, 1).await;
    log_in(&fresh, 2).await;
    let lock = r"SELECT * FROM sessions WHERE token_hash = decode(repeat('01', 32), 'hex') FOR UPDATE";
    let other = Other::amid(&fresh, lock).await;
    let later = NOW.plus(Duration::from_hours(48));
    assert_eq!(fresh.store.accounts.prune(later).await.expect("pruned"), 1, "the one that nobody holds");
    other.gives_up().await;
    assert_eq!(fresh.store.accounts.prune(later).await.expect("pruned"), 1);
}

async fn reset(store: Store, byte: u8) -> Option<UserId> {
    store.accounts.reset_password(&[byte; 32], "$new", |_: &Account| mail(10), NOW).await.expect("asked")
}

async fn ask_for_reset(fresh: &Fresh, byte: u8) {
    let token = token(byte, TokenPurpose::Reset);
    assert!(fresh.store.accounts.mail_token(&address(), &token, |_: &Account| mail(10), NOW).await.expect("asked"));
}

async fn a_log_in_with_a_password_that_was_just_changed_begins_nothing(fresh: Fresh) {
    let user = log_in(&fresh, 1).await;
    ask_for_reset(&fresh, 5).await;
    assert_eq!(reset(fresh.store.clone(), 5).await, Some(user));
    assert!(!fresh.store.accounts.begin_session(&session(user, 2), NOW).await.expect("asked"));
    assert_eq!(rotate(&fresh, 2, 3, NOW).await, None);
}

/// Somebody who keeps the refresh token `byte` from being written for now.
async fn held_up(fresh: &Fresh, byte: u8) -> Other {
    let hash = format!("{byte:02x}").repeat(32);
    let insert = format!(
        "INSERT INTO sessions (id, family, user_id, token_hash, created_at, expires_at) \
         SELECT gen_random_uuid(), gen_random_uuid(), id, '\\x{hash}', 0, 0 FROM users"
    );
    Other::amid(fresh, &insert).await
}

#[tokio::test]
async fn a_reset_waits_for_an_earlier_login_and_ends_its_session() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    let user = log_in(&fresh, 1).await;
    ask_for_reset(&fresh, 5).await;
    let (other, store) = (held_up(&fresh, 2).await, fresh.store.clone());
    let begun = tokio::spawn(async move { store.accounts.begin_session(&session(user, 2), NOW).await });
    other.sees_waiting(1).await;
    let resetting = tokio::spawn(reset(fresh.store.clone(), 5));
    other.sees_waiting(2).await;
    other.gives_up().await;
    assert!(begun.await.expect("no panic").expect("asked"));
    assert_eq!(resetting.await.expect("no panic"), Some(user));
    assert_eq!(rotate(&fresh, 2, 3, NOW).await, None);
}

/// Checks that `end` ends a session whose token is just being refreshed.
async fn check_ends<F: Future<Output = ()> + Send + 'static>(end: impl FnOnce(Store) -> F) {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    log_in(&fresh, 1).await;
    rotate(&fresh, 1, 2, NOW).await.expect("rotated");
    ask_for_reset(&fresh, 5).await;
    let (other, store) = (held_up(&fresh, 3).await, fresh.store.clone());
    let refreshing = tokio::spawn(async move { store.accounts.rotate_session(&[2; 32], next(3), NOW).await });
    other.sees_waiting(1).await;
    let ending = tokio::spawn(end(fresh.store.clone()));
    other.sees_waiting(2).await;
    other.gives_up().await;
    assert!(refreshing.await.expect("no panic").expect("asked").is_some());
    ending.await.expect("no panic");
    assert_eq!(rotate(&fresh, 3, 4, NOW).await, None);
}

#[tokio::test]
async fn a_reset_ends_a_session_that_is_just_being_refreshed() {
    check_ends(async move |store: Store| assert!(reset(store, 5).await.is_some())).await;
}

#[tokio::test]
async fn a_copied_token_ends_a_session_that_is_just_being_refreshed() {
    check_ends(async move |store: Store| {
        let rotated = store.accounts.rotate_session(&[1; 32], next(6), AFTER_GRACE).await;
        assert_eq!(rotated.expect("asked"), None);
    })
    .await;
}

#[tokio::test]
async fn a_log_out_ends_a_session_that_is_just_being_refreshed() {
    check_ends(async move |store: Store| store.accounts.end_session(&[1; 32], NOW).await.expect("ended")).await;
}

async fn an_account_knows_from_where_it_was_logged_in_to(fresh: Fresh) {
    let user = log_in(&fresh, 1).await;
    let known =
        async |network: &str, at| fresh.store.accounts.has_logged_in_from(user, network, at).await.expect("asked");
    assert!(known("192.0.2.7", NOW).await && !known("192.0.2.8", NOW).await);
    rotate(&fresh, 1, 2, NOW).await;
    fresh.store.accounts.end_session(&[2; 32], NOW).await.expect("ended");
    assert!(known("192.0.2.7", NOW).await, "a logout does not make it strange");
    assert!(!known("192.0.2.7", NOW.plus(HOUR * 2)).await, "it was long ago");
}
