//! The store behind `PgBouncer` in transaction mode: each transaction may have another connection to the server.

use examhall_core::{Role, UserId};
use examhall_store::{Error, Store};
use examhall_testkit::{Database, DatabaseKind, PgBouncer};

use crate::{NOW, account, named};

/// As `PgBouncer` is installed, and as it is often configured.
const IGNORED: [&str; 2] = ["", "extra_float_digits, options"];

async fn rename_and_read(store: &Store, user: UserId, name: &str) {
    let named = store.accounts.change(user, &named(name), None, NOW).await.expect("renamed");
    let found = store.accounts.get(user).await.expect("found");
    assert!(found.version >= named.version && found.value.id == user);
    assert_eq!(store.accounts.by_email(&found.value.email).await.expect("asked").expect("found").id, user);
}

#[tokio::test]
async fn the_store_works_behind_a_pooler_in_transaction_mode() {
    for ignored in IGNORED {
        let mut database = Database::start(DatabaseKind::Postgres).await;
        let pooler = PgBouncer::start(database.server(), ignored).await;
        // Several processes, so that connections to the server are shared between them.
        let mut stores = Vec::new();
        for _ in 0..3 {
            stores.push(Store::connect(&pooler.url()).await.expect("connected"));
        }
        let migrations = stores.iter().cloned().map(|store| tokio::spawn(async move { store.migrate().await }));
        for migration in migrations.collect::<Vec<_>>() {
            migration.await.expect("no panic").expect("migrated");
        }
        let accounts: Vec<_> = (0..30).map(|n| account(&format!("s{n}@example.com"), Role::Author)).collect();
        let users = stores[0].accounts.create(&accounts, NOW).await.expect("created");
        let work = users.into_iter().enumerate().map(|(n, user)| {
            let store = stores[n % stores.len()].clone();
            tokio::spawn(async move {
                for round in 0..20 {
                    rename_and_read(&store, user, &format!("Ada {n} {round}")).await;
                }
                store.accounts.get(user).await.expect("found").value.name
            })
        });
        for (n, work) in work.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(work.await.expect("no panic"), format!("Ada {n} 19"), "{ignored}");
        }
        for store in stores {
            store.ping().await.expect("alive");
            store.clock().await.expect("read");
            store.close().await;
        }
    }
}

#[tokio::test]
async fn statements_have_a_time_limit_behind_a_pooler() {
    let mut database = Database::start(DatabaseKind::Postgres).await;
    let pooler = PgBouncer::start(database.server(), "").await;
    let store = Store::connect(&pooler.url()).await.expect("connected");
    store.migrate().await.expect("migrated");
    let user = store.accounts.create(&[account("ada@example.com", Role::Author)], NOW).await.expect("created")[0];
    let direct = sea_orm::Database::connect(database.url()).await.expect("connected");
    let tx = sea_orm::TransactionTrait::begin(&direct).await.expect("begun");
    sea_orm::ConnectionTrait::execute_unprepared(&tx, "LOCK TABLE users").await.expect("locked");
    let read = store.accounts.get(user).await;
    assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
    tx.rollback().await.expect("rolled back");
    store.accounts.get(user).await.expect("found");
}
