use std::time::Duration;

use examhall_core::{EmailAddress, Role};
use examhall_store::{Error, NewMailToken, TokenPurpose};
use examhall_testkit::DatabaseKind;

use crate::{Fresh, NOW, account, on_both, outbox::mail, sessions::session};

on_both!(
    sign_up_makes_account_token_and_mail_together,
    an_address_is_taken_once_whatever_its_case,
    a_verification_token_works_once_and_not_after_its_end,
    many_writers_at_once_all_get_through,
    of_many_sign_ups_with_one_address_one_succeeds,
);

const HOUR: Duration = Duration::from_hours(1);

fn token(byte: u8) -> NewMailToken {
    NewMailToken { hash: [byte; 32], purpose: TokenPurpose::Verification, expires_at: NOW.plus(HOUR) }
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).expect("an address")
}

async fn sign_up_makes_account_token_and_mail_together(fresh: Fresh) {
    let accounts = &fresh.store.accounts;
    let id = accounts.sign_up(&account("Ada@Example.com", Role::Student), &token(1), &mail(5), NOW).await.expect("new");
    let found = accounts.by_email(&address("ada@example.com")).await.expect("asked").expect("found");
    assert_eq!((found.id, found.email.as_str(), found.verified), (id, "Ada@example.com", false));
    assert_eq!(fresh.store.outbox.claim(10, HOUR, NOW).await.expect("claimed").len(), 1);
}

async fn an_address_is_taken_once_whatever_its_case(fresh: Fresh) {
    let accounts = &fresh.store.accounts;
    accounts.sign_up(&account("ada@example.com", Role::Student), &token(1), &mail(5), NOW).await.expect("new");
    let again = accounts.sign_up(&account("ADA@example.com", Role::Student), &token(2), &mail(5), NOW).await;
    assert!(matches!(again, Err(Error::EmailTaken)), "{again:?}");
    assert_eq!(fresh.store.outbox.claim(10, HOUR, NOW).await.expect("claimed").len(), 1, "no mail of the second");
    assert!(!accounts.verify(&[2; 32], NOW).await.expect("asked"), "no token of the second");
}

async fn a_verification_token_works_once_and_not_after_its_end(fresh: Fresh) {
    let accounts = &fresh.store.accounts;
    accounts.sign_up(&account("ada@example.com", Role::Student), &token(1), &mail(5), NOW).await.expect("new");
    accounts.sign_up(&account("bob@example.com", Role::Student), &token(2), &mail(5), NOW).await.expect("new");
    assert!(!accounts.verify(&[9; 32], NOW).await.expect("asked"), "unknown");
    assert!(!accounts.verify(&[2; 32], NOW.plus(HOUR)).await.expect("asked"), "too late");
    assert!(accounts.verify(&[1; 32], NOW).await.expect("asked"));
    assert!(!accounts.verify(&[1; 32], NOW).await.expect("asked"), "used");
    assert!(accounts.by_email(&address("ada@example.com")).await.expect("asked").expect("found").verified);
    assert!(!accounts.by_email(&address("bob@example.com")).await.expect("asked").expect("found").verified);
}

async fn many_writers_at_once_all_get_through(fresh: Fresh) {
    let writers = (0..100_u8).map(|n| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            let account = account(&format!("s{n}@example.com"), Role::Student);
            let user = store.accounts.sign_up(&account, &token(n), &mail(5), NOW).await?;
            store.accounts.begin_session(&session(user, n), NOW).await
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic").expect("written");
    }
    assert_eq!(fresh.store.outbox.claim(1000, HOUR, NOW).await.expect("claimed").len(), 100);
}

async fn of_many_sign_ups_with_one_address_one_succeeds(fresh: Fresh) {
    let writers = (0..100_u8).map(|n| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            store.accounts.sign_up(&account("ada@example.com", Role::Student), &token(n), &mail(5), NOW).await
        })
    });
    let mut made = 0;
    for writer in writers.collect::<Vec<_>>() {
        let signed_up = writer.await.expect("no panic");
        assert!(matches!(signed_up, Ok(_) | Err(Error::EmailTaken)), "{signed_up:?}");
        made += i32::from(signed_up.is_ok());
    }
    assert_eq!(made, 1);
    assert_eq!(fresh.store.outbox.claim(1000, HOUR, NOW).await.expect("claimed").len(), 1);
}

#[tokio::test]
async fn a_database_that_goes_away_leaves_nothing_half_written() {
    let mut fresh = Fresh::start(DatabaseKind::Postgres).await;
    fresh.database.server().kill().await;
    let refused =
        fresh.store.accounts.sign_up(&account("ada@example.com", Role::Student), &token(1), &mail(5), NOW).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    fresh.database.server().restart().await;
    assert_eq!(fresh.store.accounts.by_email(&address("ada@example.com")).await.expect("asked"), None);
    assert!(fresh.store.outbox.claim(10, HOUR, NOW).await.expect("claimed").is_empty());
}
