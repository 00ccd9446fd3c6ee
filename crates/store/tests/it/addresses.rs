//! Accounts and mails whose addresses were stored by former rules, or cannot be read at all.

use std::time::Duration;

use examhall_core::{AccountName, EmailAddress, MailClass, Role, UserId};
use examhall_store::{Error, Store};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};

use crate::{Fresh, NOW, account, on_both, outbox::mail};

on_both!(
    one_mailbox_is_one_account_however_it_is_spelt,
    an_address_that_cannot_be_parsed_is_read_as_it_is_stored,
    keys_follow_the_new_rules_when_the_tables_do,
    of_two_accounts_of_one_mailbox_the_older_gets_the_key,
    keys_are_made_again_only_once,
);

const HOUR: Duration = Duration::from_hours(1);

async fn sql(fresh: &Fresh) -> DatabaseConnection {
    Database::connect(fresh.database.url()).await.expect("connected")
}

/// Makes accounts with these addresses and keys, each a second younger than the one before, as a former version did, and
/// forgets that the keys have been made again.
async fn former(fresh: &Fresh, accounts: &[(&str, &str)]) -> Vec<UserId> {
    let connection = sql(fresh).await;
    let mut ids = Vec::new();
    for (n, (email, key)) in accounts.iter().enumerate() {
        let plain = account(&format!("former{n}@example.com"), Role::Student);
        let at = NOW.plus(Duration::from_secs(n as u64));
        let id = fresh.store.accounts.create(&[plain], at).await.expect("made")[0];
        let statement = format!(
            "UPDATE users SET email = '{email}', email_key = '{key}' WHERE email_key = 'former{n}@example.com'"
        );
        connection.execute_unprepared(&statement).await.expect("changed");
        ids.push(id);
    }
    connection
        .execute_unprepared("DELETE FROM seaql_migrations WHERE version = 'm0009_email_keys'")
        .await
        .expect("run");
    ids
}

async fn found(store: &Store, typed: &str) -> Option<UserId> {
    let name = AccountName::parse(typed).expect("a name");
    store.accounts.by_email(&name).await.expect("asked").map(|account| account.id)
}

async fn one_mailbox_is_one_account_however_it_is_spelt(fresh: Fresh) {
    let accounts = &fresh.store.accounts;
    let spellings = ["kate@exämple.example", "\u{212a}ate@xn--exmple-cua.example", "\"KATE\"@EXÄMPLE.example"];
    let id = accounts.create(&[account(spellings[0], Role::Student)], NOW).await.expect("made")[0];
    for spelt in spellings {
        let again = accounts.create(&[account(spelt, Role::Student)], NOW).await;
        assert!(matches!(again, Err(Error::EmailTaken)), "{spelt}: {again:?}");
        assert_eq!(found(&fresh.store, spelt).await, Some(id), "{spelt}");
    }
}

async fn an_address_that_cannot_be_parsed_is_read_as_it_is_stored(fresh: Fresh) {
    let connection = sql(&fresh).await;
    let id = fresh.store.accounts.create(&[account("ada@example.com", Role::Student)], NOW).await.expect("made")[0];
    let broken = "UPDATE users SET email = 'no address', email_key = 'a@i\u{307}.example'";
    connection.execute_unprepared(broken).await.expect("changed");
    assert_eq!(fresh.store.accounts.get(id).await.expect("read").value.email.as_str(), "no address");
    assert_eq!(found(&fresh.store, "a@İ.example").await, Some(id), "by the key that İ had");
    fresh.store.outbox.add(&mail(5), NOW).await.expect("added");
    connection.execute_unprepared("UPDATE mail_outbox SET recipient = 'no address'").await.expect("changed");
    let claimed = fresh.store.outbox.claim(10, HOUR, NOW).await.expect("claimed");
    let [waiting] = &claimed[..] else { unreachable!("{claimed:?}") };
    assert_eq!((waiting.mail.to.as_str(), waiting.mail.class), ("no address", MailClass::Verification));
}

async fn keys_follow_the_new_rules_when_the_tables_do(fresh: Fresh) {
    let domain = "ⱥ".repeat(31);
    let former_addresses = [
        ("Ada@exämple.example".to_owned(), "Ada@EXÄMPLE.example".to_owned()),
        (format!("a@{domain}.example"), format!("a@{}.example", "Ⱥ".repeat(31))),
        ("a@i\u{307}.example".to_owned(), "a@İ.example".to_owned()),
        ("\"quoted\"@example.com".to_owned(), "quoted@example.com".to_owned()),
        ("\"Jane Doe\"@example.com".to_owned(), "\"jane doe\"@example.com".to_owned()),
        ("pаypal@example.com".to_owned(), "PаYPAL@example.com".to_owned()),
    ];
    let keys: Vec<_> = former_addresses.iter().map(|(email, _)| email.to_lowercase()).collect();
    let rows: Vec<_> =
        former_addresses.iter().zip(&keys).map(|((email, _), key)| (email.as_str(), key.as_str())).collect();
    let ids = former(&fresh, &rows).await;
    fresh.store.migrate().await.expect("migrated");
    for ((email, typed), id) in former_addresses.iter().zip(ids) {
        for spelt in [email, typed] {
            assert_eq!(found(&fresh.store, spelt).await, Some(id), "{spelt}");
        }
        if let Ok(address) = EmailAddress::parse(email) {
            let taken = fresh.store.accounts.create(&[account(address.as_str(), Role::Student)], NOW).await;
            assert!(matches!(taken, Err(Error::EmailTaken)), "{email}: {taken:?}");
        }
    }
}

async fn of_two_accounts_of_one_mailbox_the_older_gets_the_key(fresh: Fresh) {
    let ids = former(
        &fresh,
        &[
            ("ada@exämple.example", "ada@exämple.example"),
            ("\"ada\"@exämple.example", "\"ada\"@exämple.example"),
            ("bob@xn--exmple-cua.example", "bob@xn--exmple-cua.example"),
            ("bob@exämple.example", "bob@exämple.example"),
        ],
    )
    .await;
    fresh.store.migrate().await.expect("migrated");
    for (typed, id) in [
        ("ada@exämple.example", ids[0]),
        ("ADA@xn--exmple-cua.example", ids[0]),
        ("\"ada\"@exämple.example", ids[1]),
        ("bob@xn--exmple-cua.example", ids[2]),
        ("bob@exämple.example", ids[3]),
    ] {
        assert_eq!(found(&fresh.store, typed).await, Some(id), "{typed}");
    }
}

async fn keys_are_made_again_only_once(fresh: Fresh) {
    let ids = former(&fresh, &[("ada@exämple.example", "ada@exämple.example")]).await;
    fresh.store.migrate().await.expect("migrated");
    let connection = sql(&fresh).await;
    connection
        .execute_unprepared("DELETE FROM seaql_migrations WHERE version = 'm0009_email_keys'")
        .await
        .expect("run");
    fresh.store.migrate().await.expect("a step that was cut off is done again");
    assert_eq!(found(&fresh.store, "ada@xn--exmple-cua.example").await, Some(ids[0]));
}
