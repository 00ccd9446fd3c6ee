use std::time::Duration;

use examhall_core::{EmailAddress, UserId};
use examhall_store::Revocation;

use crate::{Fresh, NOW, named, on_both};

on_both!(
    what_ends_access_is_noted_however_the_row_changes,
    changes_that_leave_access_alone_are_not_noted,
    old_revocations_are_neither_read_nor_kept,
);

const WINDOW: Duration = Duration::from_mins(30);

async fn revoked(fresh: &Fresh) -> Vec<Revocation> {
    fresh.store.revocations(WINDOW).await.expect("asked")
}

async fn generation(fresh: &Fresh, user: UserId) -> i64 {
    fresh.store.accounts.get(user).await.expect("found").value.access_generation
}

async fn what_ends_access_is_noted_however_the_row_changes(fresh: Fresh) {
    let author = fresh.author().await;
    assert_eq!((revoked(&fresh).await, generation(&fresh, author).await), (vec![], 0));
    let before = fresh.store.clock().await.expect("read").as_millis();
    for (n, change) in
        ["password_hash = 'x'", "role = 'student'", "password_hash = 'y', role = 'admin'"].iter().enumerate()
    {
        fresh.database.sql(&format!("UPDATE users SET {change}")).await;
        let expected = i64::try_from(n).expect("few") + 1;
        let found = revoked(&fresh).await;
        assert_eq!((found.len(), found[0].user, found[0].min_generation), (1, author, expected), "{change}");
        assert!((before - 1..before + 60_000).contains(&found[0].at), "{before} {found:?}");
        assert_eq!(generation(&fresh, author).await, expected, "{change}");
    }
    fresh.database.sql("UPDATE users SET verified_at = NULL").await;
    assert_eq!((revoked(&fresh).await[0].min_generation, generation(&fresh, author).await), (4, 4), "locked out");
    fresh.database.sql("UPDATE users SET verified_at = 1").await;
    fresh.database.sql("DELETE FROM users").await;
    assert_eq!(revoked(&fresh).await[0].min_generation, i64::MAX);
}

async fn changes_that_leave_access_alone_are_not_noted(fresh: Fresh) {
    let author = fresh.author().await;
    fresh.store.accounts.change(author, &named("Grace"), None, NOW).await.expect("renamed");
    fresh.database.sql("UPDATE users SET role = role, password_hash = password_hash, version = version + 1").await;
    let students = fresh.students(3).await;
    let unverified = "UPDATE users SET password_hash = 'x', role = 'author' WHERE verified_at IS NULL";
    fresh.database.sql(unverified).await;
    fresh.database.sql("UPDATE users SET verified_at = 1 WHERE verified_at IS NULL").await;
    assert_eq!((revoked(&fresh).await, generation(&fresh, students[0]).await), (vec![], 0));
    let email = EmailAddress::parse("s1@example.com").expect("an address");
    let found = fresh.store.accounts.by_email(&email).await.expect("asked").expect("found");
    assert_eq!((found.verified, found.access_generation), (true, 0));
}

async fn old_revocations_are_neither_read_nor_kept(fresh: Fresh) {
    fresh.author().await;
    fresh.database.sql("UPDATE users SET role = 'student'").await;
    assert_eq!(fresh.store.prune_revocations(WINDOW).await.expect("pruned"), 0);
    fresh.database.sql("UPDATE access_revocations SET at = at - 1801000").await;
    assert_eq!(revoked(&fresh).await, vec![]);
    assert_eq!(fresh.store.prune_revocations(WINDOW).await.expect("pruned"), 1);
}
