//! Tests of the crate's public face, each on an SQLite file and on a PostgreSQL server of its own.

mod accounts;
mod attempts;
mod exams;
mod invalidation;
mod outbox;
mod questions;
mod results;
mod schema;
mod sessions;

use examhall_core::{EmailAddress, Role, Timestamp, UserId};
use examhall_store::{NewAccount, Store};
use examhall_testkit::{Database, DatabaseKind};

/// Runs each test once per kind of database.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name($crate::Fresh::start($crate::DatabaseKind::Sqlite).await).await })*
        }
        mod postgres {
            $(#[tokio::test] async fn $name() { super::$name($crate::Fresh::start($crate::DatabaseKind::Postgres).await).await })*
        }
    };
}
pub(crate) use on_both;

const NOW: Timestamp = Timestamp::from_millis(1_795_424_400_000);

/// A migrated, empty store.
struct Fresh {
    store: Store,
    database: Database,
}

impl Fresh {
    async fn start(kind: DatabaseKind) -> Self {
        let database = Database::start(kind).await;
        let store = Store::connect(&database.url()).await.expect("connected");
        store.migrate().await.expect("migrated");
        Self { store, database }
    }

    async fn author(&self) -> UserId {
        let account = account("author@example.com", Role::Author);
        self.store.accounts.create(&[account], NOW).await.expect("created")[0]
    }
}

impl Fresh {
    async fn students(&self, count: usize) -> Vec<UserId> {
        let accounts: Vec<_> = (0..count).map(|n| account(&format!("s{n}@example.com"), Role::Student)).collect();
        self.store.accounts.create(&accounts, NOW).await.expect("created")
    }
}

fn account(email: &str, role: Role) -> NewAccount {
    NewAccount {
        email: EmailAddress::parse(email).expect("an address"),
        name: "Ada".into(),
        password_hash: "$argon2id$...".into(),
        role,
        verified: role != Role::Student,
    }
}
