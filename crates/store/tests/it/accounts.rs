use std::time::Duration;

use examhall_core::{EmailAddress, Role};
use examhall_store::{Error, NewAccount, NewMailToken, SignedUp, TokenPurpose};
use examhall_testkit::DatabaseKind;

use crate::{Fresh, NOW, account, on_both, outbox::mail, sessions::session};

on_both!(
    sign_up_makes_account_token_and_mail_together,
    address_is_taken_once_whatever_its_case,
    a_verification_token_works_once_and_not_after_its_end,
    many_writers_at_once_all_get_through,
    concurrent_sign_ups_make_one_account_and_one_link_works,
);

const HOUR: Duration = Duration::from_hours(1);

pub(crate) fn token(byte: u8) -> NewMailToken {
    NewMailToken { hash: [byte; 32], purpose: TokenPurpose::Verification, expires_at: NOW.plus(HOUR) }
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).expect("an address")
}

async fn sign_up_makes_account_token_and_mail_together(fresh: Fresh) {
    let accounts = &fresh.store.accounts;
    let made = accounts.sign_up(&account("Ada@Example.com", Role::Student), &token(1), &mail(5), None, NOW).await;
    let Ok(SignedUp::Created(id)) = made else { unreachable!("{made:?}") };
    let found = accounts.by_email(&address("ada@example.com")).await.expect("asked").expect("found");
    assert_eq!((found.id, found.email.as_str(), found.verified), (id, "Ada@example.com", false));
    assert_eq!(fresh.store.outbox.claim(10, HOUR, NOW).await.expect("claimed").len(), 1);
}

async fn address_is_taken_once_whatever_its_case(fresh: Fresh) {
    let accounts = &fresh.store.accounts;
    accounts.sign_up(&account("ada@example.com", Role::Student), &token(1), &mail(5), None, NOW).await.expect("new");
    assert!(accounts.verify(&[1; 32], None, NOW).await.expect("asked"));
    for unusable in [None, Some("$none")] {
        let again = account("ADA@example.com", Role::Student);
        let again = accounts.sign_up(&again, &token(2), &mail(5), unusable, NOW).await;
        assert_eq!(again.expect("asked"), SignedUp::Taken);
    }
    assert_eq!(fresh.store.outbox.claim(10, HOUR, NOW).await.expect("claimed").len(), 1, "no mail of the second");
    assert!(!accounts.verify(&[2; 32], None, NOW).await.expect("asked"), "no token of the second");
    let kept = accounts.by_email(&address("ada@example.com")).await.expect("asked").expect("found");
    assert_eq!((kept.email.as_str(), kept.password_hash.as_str()), ("ada@example.com", "$argon2id$..."));
}

async fn a_verification_token_works_once_and_not_after_its_end(fresh: Fresh) {
    let accounts = &fresh.store.accounts;
    accounts.sign_up(&account("ada@example.com", Role::Student), &token(1), &mail(5), None, NOW).await.expect("new");
    accounts.sign_up(&account("bob@example.com", Role::Student), &token(2), &mail(5), None, NOW).await.expect("new");
    assert!(!accounts.verify(&[9; 32], None, NOW).await.expect("asked"), "unknown");
    assert!(!accounts.verify(&[2; 32], None, NOW.plus(HOUR)).await.expect("asked"), "too late");
    assert!(accounts.verify(&[1; 32], None, NOW).await.expect("asked"));
    assert!(!accounts.verify(&[1; 32], None, NOW).await.expect("asked"), "used");
    assert!(accounts.by_email(&address("ada@example.com")).await.expect("asked").expect("found").verified);
    assert!(!accounts.by_email(&address("bob@example.com")).await.expect("asked").expect("found").verified);
}

async fn many_writers_at_once_all_get_through(fresh: Fresh) {
    let writers = (0..100_u8).map(|n| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            let account = account(&format!("s{n}@example.com"), Role::Student);
            let made = store.accounts.sign_up(&account, &token(n), &mail(5), None, NOW).await?;
            let SignedUp::Created(user) = made else { unreachable!("{made:?}") };
            store.accounts.begin_session(&session(user, n), NOW).await
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic").expect("written");
    }
    assert_eq!(fresh.store.outbox.claim(1000, HOUR, NOW).await.expect("claimed").len(), 100);
}

async fn concurrent_sign_ups_make_one_account_and_one_link_works(fresh: Fresh) {
    let writers = (0..100_u8).map(|n| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            let account = NewAccount { password_hash: format!("$p{n}"), ..account("ada@example.com", Role::Student) };
            store.accounts.sign_up(&account, &token(n), &mail(5), None, NOW).await.expect("signed up")
        })
    });
    let mut made = 0;
    for writer in writers.collect::<Vec<_>>() {
        let signed_up = writer.await.expect("no panic");
        assert!(matches!(signed_up, SignedUp::Created(_) | SignedUp::Replaced(_)), "{signed_up:?}");
        made += i32::from(matches!(signed_up, SignedUp::Created(_)));
    }
    assert_eq!(made, 1);
    let mut good = Vec::new();
    for n in 0..100 {
        if fresh.store.accounts.verify(&[n; 32], None, NOW).await.expect("asked") {
            good.push(format!("$p{n}"));
        }
    }
    let account = fresh.store.accounts.by_email(&address("ada@example.com")).await.expect("asked").expect("found");
    assert_eq!((good, account.verified), (vec![account.password_hash], true));
}

#[tokio::test]
async fn a_database_that_goes_away_leaves_nothing_half_written() {
    let mut fresh = Fresh::start(DatabaseKind::Postgres).await;
    fresh.database.server().kill().await;
    let refused =
        fresh.store.accounts.sign_up(&account("ada@example.com", Role::Student), &token(1), &mail(5), None, NOW).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    fresh.database.server().restart().await;
    assert_eq!(fresh.store.accounts.by_email(&address("ada@example.com")).await.expect("asked"), None);
    assert!(fresh.store.outbox.claim(10, HOUR, NOW).await.expect("claimed").is_empty());
}
