//! Signing up with an address that somebody else has signed up with, and that nobody has proven.

use std::time::Duration;

use examhall_core::{Role, Timestamp, UserId};
use examhall_store::{Account, NewAccount, NewMailToken, SignedUp, Store, TokenPurpose};
use examhall_testkit::DatabaseKind;

use crate::{Fresh, NOW, Other, account, on_both, outbox::mail, sessions::session};

on_both!(
    last_sign_up_counts_and_only_its_own_link_works,
    sign_up_that_cannot_be_mailed_leaves_no_password,
    who_confirms_an_address_of_several_sign_ups_chooses,
    reset_proves_an_address_and_voids_its_links,
    link_verifies_the_sign_up_it_was_mailed_for,
    unverified_accounts_are_deleted_after_a_week,
    many_unverified_accounts_are_deleted_in_batches,
);

const DAY: Duration = Duration::from_hours(24);
const WEEK: Duration = Duration::from_hours(7 * 24);

fn token(byte: u8, purpose: TokenPurpose) -> NewMailToken {
    NewMailToken { hash: [byte; 32], purpose, expires_at: NOW.plus(WEEK) }
}

/// Somebody who signs up as `ada@example.com`, with a password and a token of this number.
async fn sign_up(store: &Store, n: u8, unusable: Option<&str>, now: Timestamp) -> SignedUp {
    let account = NewAccount {
        name: format!("Name {n}"),
        password_hash: format!("$p{n}"),
        ..account("ada@example.com", Role::Student)
    };
    let token = token(n, TokenPurpose::Verification);
    store.accounts.sign_up(&account, &token, &mail(10), unusable, now).await.expect("signed up")
}

async fn verify(fresh: &Fresh, n: u8) -> bool {
    fresh.store.accounts.verify(&[n; 32], None, NOW).await.expect("asked")
}

async fn ada(fresh: &Fresh) -> Account {
    let account = account("ada@example.com", Role::Student);
    fresh.store.accounts.by_email(&account.email).await.expect("asked").expect("found")
}

async fn mailed_reset(fresh: &Fresh, byte: u8) {
    let token = token(byte, TokenPurpose::Reset);
    assert!(fresh.store.accounts.mail_token(&ada(fresh).await.email, &token, |_| mail(10), NOW).await.expect("asked"));
}

async fn last_sign_up_counts_and_only_its_own_link_works(fresh: Fresh) {
    let made = sign_up(&fresh.store, 1, None, NOW).await;
    let SignedUp::Created(id) = made else { unreachable!("{made:?}") };
    fresh.store.accounts.begin_session(&session_of(id, "$p1", 9), NOW).await.expect("asked");
    mailed_reset(&fresh, 7).await;
    for n in [2, 3] {
        assert_eq!(sign_up(&fresh.store, n, None, NOW).await, SignedUp::Replaced(id));
    }
    for n in [1, 2] {
        assert!(!verify(&fresh, n).await, "{n}");
    }
    assert_eq!(reset(&fresh.store, 7).await, None, "mailed for what was replaced");
    let found = ada(&fresh).await;
    assert_eq!((found.password_hash.as_str(), found.name.as_str(), found.verified), ("$p3", "Name 3", false));
    assert!(verify(&fresh, 3).await);
    assert_eq!(sign_up(&fresh.store, 4, None, NOW).await, SignedUp::Taken);
    assert_eq!((ada(&fresh).await.password_hash.as_str(), ada(&fresh).await.verified), ("$p3", true));
    let next = examhall_store::NextSession { token_hash: [10; 32], expires_at: NOW.plus(DAY) };
    assert_eq!(fresh.store.accounts.rotate_session(&[9; 32], next, NOW).await.expect("asked"), None);
    assert_eq!(fresh.store.outbox.claim(100, DAY, NOW).await.expect("claimed").len(), 4, "three links and a reset");
}

fn session_of(user: UserId, hash: &str, byte: u8) -> examhall_store::NewSession {
    examhall_store::NewSession { password_hash: hash.to_owned(), ..session(user, byte) }
}

async fn sign_up_that_cannot_be_mailed_leaves_no_password(fresh: Fresh) {
    let made = sign_up(&fresh.store, 1, Some("$none"), NOW).await;
    let SignedUp::Created(id) = made else { unreachable!("a new address is always mailed: {made:?}") };
    assert_eq!(sign_up(&fresh.store, 2, Some("$none"), NOW).await, SignedUp::Disarmed(id));
    let found = ada(&fresh).await;
    assert_eq!((found.password_hash.as_str(), found.name.as_str()), ("$none", "Name 1"));
    assert!(!verify(&fresh, 2).await, "it was not mailed");
    assert!(verify(&fresh, 1).await);
    assert_eq!(fresh.store.outbox.claim(100, DAY, NOW).await.expect("claimed").len(), 1);
}

async fn who_confirms_an_address_of_several_sign_ups_chooses(fresh: Fresh) {
    let contested = async |n: u8| fresh.store.accounts.is_contested(&[n; 32], NOW).await.expect("asked");
    sign_up(&fresh.store, 1, None, NOW).await;
    assert!(!contested(1).await && !contested(99).await);
    sign_up(&fresh.store, 2, Some("$none"), NOW).await;
    assert!(contested(1).await, "also where the second was not mailed");
    sign_up(&fresh.store, 3, None, NOW).await;
    assert!(contested(3).await && !contested(1).await, "what is void asks for nothing");
    mailed_reset(&fresh, 8).await;
    assert!(!contested(8).await, "another purpose");
    let choose = async |n: u8| fresh.store.accounts.verify(&[n; 32], Some("$mine"), NOW).await.expect("asked");
    assert!(!choose(1).await && !choose(8).await && choose(3).await && !choose(3).await);
    assert_eq!((ada(&fresh).await.password_hash.as_str(), ada(&fresh).await.verified), ("$mine", true));
    assert!(!contested(3).await);
    assert_eq!(reset(&fresh.store, 8).await, None, "asked for before it was proven whose it is");
}

async fn reset(store: &Store, byte: u8) -> Option<UserId> {
    store.accounts.reset_password(&[byte; 32], "$reset", |_: &Account| mail(10), NOW).await.expect("asked")
}

async fn reset_proves_an_address_and_voids_its_links(fresh: Fresh) {
    sign_up(&fresh.store, 1, None, NOW).await;
    mailed_reset(&fresh, 7).await;
    assert!(reset(&fresh.store, 7).await.is_some());
    assert!(ada(&fresh).await.verified);
    assert!(!verify(&fresh, 1).await);
    assert_eq!(ada(&fresh).await.password_hash, "$reset");
}

async fn link_verifies_the_sign_up_it_was_mailed_for(fresh: Fresh) {
    for round in 0..20 {
        sign_up(&fresh.store, 1, None, NOW).await;
        let (store, other) = (fresh.store.clone(), fresh.store.clone());
        let again = tokio::spawn(async move { sign_up(&store, 2, None, NOW).await });
        let verified = tokio::spawn(async move { other.accounts.verify(&[1; 32], None, NOW).await.expect("asked") });
        let (again, verified) = (again.await.expect("no panic"), verified.await.expect("no panic"));
        let found = ada(&fresh).await;
        let expected = match again {
            SignedUp::Taken => (true, "$p1"),
            _ => (false, "$p2"),
        };
        assert_eq!((verified, found.password_hash.as_str()), expected, "round {round}: {again:?}");
        assert_eq!(found.verified, verified, "round {round}");
        fresh.database.sql("DELETE FROM users").await;
    }
}

async fn unverified_accounts_are_deleted_after_a_week(fresh: Fresh) {
    sign_up(&fresh.store, 1, None, NOW).await;
    let old = fresh.author().await;
    let after = |span: Duration| NOW.plus(span).plus(Duration::from_millis(1));
    let prune = async |now| fresh.store.accounts.prune_unverified(now).await.expect("pruned");
    assert_eq!(prune(NOW.plus(WEEK)).await, 0);
    sign_up(&fresh.store, 2, None, NOW.plus(DAY)).await;
    assert_eq!(prune(after(WEEK)).await, 0, "counted from the last sign-up");
    assert_eq!(prune(after(WEEK + DAY)).await, 1);
    assert_eq!(fresh.database.sql("SELECT count(*) FROM mail_tokens").await, "0");
    fresh.store.accounts.get(old).await.expect("verified");
    sign_up(&fresh.store, 3, None, NOW).await;
    assert!(verify(&fresh, 3).await);
    assert_eq!(prune(NOW.plus(WEEK * 100)).await, 0);
}

async fn many_unverified_accounts_are_deleted_in_batches(fresh: Fresh) {
    let students = fresh.students(1_100).await;
    let exam = fresh.author().await;
    fresh.database.sql("UPDATE users SET verified_at = NULL").await;
    let insert = "INSERT INTO exams (id, author_id, title, description, duration_minutes, max_attempts, pass_mark, \
                  shuffle, status, version, created_at, updated_at) SELECT id, id, '', '', 1, 1, 1, false, 'draft', 1, \
                  0, 0 FROM users WHERE role = 'author'";
    fresh.database.sql(insert).await;
    let pruned = fresh.store.accounts.prune_unverified(NOW.plus(WEEK * 2)).await.expect("pruned");
    assert_eq!(pruned, students.len() as u64);
    fresh.store.accounts.get(exam).await.expect("kept: an exam is theirs");
}

#[tokio::test]
async fn account_that_is_just_being_verified_is_not_deleted() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    sign_up(&fresh.store, 1, None, NOW).await;
    let other = Other::amid(&fresh, "UPDATE users SET verified_at = 1").await;
    assert_eq!(fresh.store.accounts.prune_unverified(NOW.plus(WEEK * 2)).await.expect("pruned"), 0);
    other.gives_up().await;
    assert_eq!(fresh.store.accounts.prune_unverified(NOW.plus(WEEK * 2)).await.expect("pruned"), 1);
}
