//! Sessions of the console, its login links, and the audit trail.

use std::time::Duration;

use examhall_core::{Role, UserId};
use examhall_store::{
    AuditFilter, NewMailToken, NewOperatorAction, NewSession, NextSession, Page, SessionKind, TokenPurpose,
};
use sea_orm::ConnectionTrait;

use crate::{Fresh, NOW, account, on_both, sessions::session};

on_both!(
    a_console_session_lasts_until_it_is_idle_or_ended,
    a_console_session_ends_with_the_access_of_its_account,
    a_console_token_is_no_refresh_token_and_vice_versa,
    a_login_link_works_once_and_for_its_time,
    actions_are_listed_newest_first_and_never_changed,
);

const HOUR: Duration = Duration::from_hours(1);

async fn operator(fresh: &Fresh) -> UserId {
    let made = fresh.store.accounts.create(&[account("op@example.com", Role::Author)], NOW).await.expect("made");
    execute(fresh, "UPDATE users SET role = 'operator'").await;
    made[0]
}

async fn execute(fresh: &Fresh, sql: &str) {
    let database = sea_orm::Database::connect(fresh.database.url()).await.expect("connected");
    database.execute_unprepared(sql).await.expect(sql);
    database.close().await.expect("closed");
}

async fn begin(fresh: &Fresh, user: UserId, byte: u8) {
    let new = NewSession { kind: SessionKind::Console, ..session(user, byte) };
    assert!(fresh.store.accounts.begin_session(&new, NOW).await.expect("begun"));
}

async fn is_good(fresh: &Fresh, byte: u8, after: Duration) -> bool {
    fresh.store.accounts.console_session(&[byte; 32], NOW.plus(after)).await.expect("asked").is_some()
}

async fn a_console_session_lasts_until_it_is_idle_or_ended(fresh: Fresh) {
    let user = operator(&fresh).await;
    begin(&fresh, user, 1).await;
    let found = fresh.store.accounts.console_session(&[1; 32], NOW).await.expect("asked").expect("good");
    assert_eq!((found.account.id, found.account.role), (user, Role::Operator));
    assert_eq!((found.began_at, found.expires_at), (NOW, NOW.plus(HOUR)));
    assert!(!is_good(&fresh, 1, HOUR).await);
    fresh.store.accounts.extend_console_session(&[1; 32], NOW.plus(2 * HOUR)).await.expect("extended");
    assert!(is_good(&fresh, 1, HOUR).await);
    fresh.store.accounts.end_session(&[1; 32], NOW).await.expect("ended");
    fresh.store.accounts.extend_console_session(&[1; 32], NOW.plus(9 * HOUR)).await.expect("too late");
    assert!(!is_good(&fresh, 1, Duration::ZERO).await);
}

async fn a_console_session_ends_with_the_access_of_its_account(fresh: Fresh) {
    let user = operator(&fresh).await;
    for change in [
        "UPDATE users SET role = 'viewer'",
        "UPDATE users SET password_hash = password_hash || 'x'",
        "UPDATE users SET verified_at = NULL",
    ] {
        execute(&fresh, "UPDATE users SET verified_at = 1, role = 'operator', password_hash = '$x'").await;
        let password_hash = "$x".to_owned();
        let new = NewSession { kind: SessionKind::Console, password_hash, ..session(user, 1) };
        assert!(fresh.store.accounts.begin_session(&new, NOW).await.expect("begun"));
        assert!(is_good(&fresh, 1, Duration::ZERO).await);
        execute(&fresh, change).await;
        assert!(!is_good(&fresh, 1, Duration::ZERO).await, "{change}");
        execute(&fresh, "DELETE FROM sessions").await;
    }
}

async fn a_console_token_is_no_refresh_token_and_vice_versa(fresh: Fresh) {
    let user = operator(&fresh).await;
    begin(&fresh, user, 1).await;
    let next = NextSession { token_hash: [9; 32], expires_at: NOW.plus(HOUR) };
    let rotated = fresh.store.accounts.rotate_session(&[1; 32], next, NOW).await.expect("asked");
    assert!(rotated.is_none() && is_good(&fresh, 1, Duration::ZERO).await);
    assert!(fresh.store.accounts.begin_session(&session(user, 2), NOW).await.expect("begun"));
    assert!(!is_good(&fresh, 2, Duration::ZERO).await);
}

async fn a_login_link_works_once_and_for_its_time(fresh: Fresh) {
    let user = operator(&fresh).await;
    let accounts = &fresh.store.accounts;
    let link = |byte| NewMailToken { hash: [byte; 32], purpose: TokenPurpose::Console, expires_at: NOW.plus(HOUR) };
    for byte in [1, 2] {
        accounts.add_token(user, &link(byte), NOW).await.expect("made");
    }
    let reset = NewMailToken { purpose: TokenPurpose::Reset, ..link(3) };
    accounts.add_token(user, &reset, NOW).await.expect("made");
    let owner_of =
        async |byte, now| accounts.use_console_link(&[byte; 32], now).await.expect("asked").map(|one| one.id);
    assert_eq!(owner_of(1, NOW).await, Some(user));
    assert_eq!(owner_of(1, NOW).await, None, "once");
    assert_eq!(owner_of(2, NOW.plus(HOUR)).await, None, "late");
    assert_eq!(owner_of(3, NOW).await, None, "of another purpose");
}

async fn actions_are_listed_newest_first_and_never_changed(fresh: Fresh) {
    let user = operator(&fresh).await;
    let audit = &fresh.store.audit;
    for (action, affected) in [("pause", 1), ("retry", 97)] {
        let filter = if action == "retry" { "state:failed".to_owned() } else { String::new() };
        let new = NewOperatorAction { actor: user, action, filter, matched: 100, affected, reason: None };
        audit.record(&new, NOW).await.expect("recorded");
    }
    let first = audit.list(&AuditFilter::default(), Page { limit: 1, after: None }).await.expect("listed");
    let one = &first.items[0];
    assert_eq!((one.action.as_str(), one.filter.as_str(), one.affected), ("retry", "state:failed", 97));
    assert_eq!((one.actor.as_str(), one.actor_id, one.at), ("op@example.com", user, NOW));
    let second = audit.list(&AuditFilter::default(), Page { limit: 1, after: first.next }).await.expect("listed");
    assert_eq!((second.items[0].action.as_str(), second.next), ("pause", None));
    let database = sea_orm::Database::connect(fresh.database.url()).await.expect("connected");
    for sql in ["UPDATE operator_actions SET affected = 0", "DELETE FROM operator_actions"] {
        let refused = database.execute_unprepared(sql).await.expect_err("refused").to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
    database.close().await.expect("closed");
}
