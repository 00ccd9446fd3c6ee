//! Tests of the crate's public face, each on an SQLite file and on a PostgreSQL server of its own.

mod account_end;
mod accounts;
mod addresses;
mod attempts;
mod console;
mod exams;
mod faults;
mod idempotency;
mod invalidation;
mod invitations;
mod outages;
mod outbox;
mod outbox_claims;
mod pooler;
mod questions;
mod regrades;
mod results;
mod revocations;
mod round_trip;
mod running;
mod schema;
mod seats;
mod seats_follow;
mod sessions;
mod sign_up;
mod starts;
mod sweep;

use examhall_core::{EmailAddress, Role, Timestamp, UserId};
use examhall_store::{AccountChange, Editor, NewAccount, Store};
use examhall_testkit::{Database, DatabaseKind, eventually};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, TransactionTrait};

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

/// Somebody who changes exams, at whatever version.
const EDITOR: Editor = Editor::new(UserId(uuid::Uuid::nil()));

/// The same at this version.
fn at(version: i64) -> Editor {
    Editor { expected: Some(version), ..EDITOR }
}

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

/// Somebody else on a PostgreSQL server, in the middle of something.
struct Other {
    connection: DatabaseConnection,
    tx: DatabaseTransaction,
}

impl Other {
    /// Has run `statement`, and not committed it.
    async fn amid(fresh: &Fresh, statement: &str) -> Self {
        let connection = sea_orm::Database::connect(fresh.database.url()).await.expect("connected");
        let tx = connection.begin().await.expect("begun");
        tx.execute_unprepared(statement).await.expect("run");
        Self { connection, tx }
    }

    /// Waits until this many wait for a lock.
    async fn sees_waiting(&self, count: usize) {
        let sql = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        let statement = || sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, sql);
        eventually("waiting for a lock", std::time::Duration::from_secs(30), async || {
            let waiting = self.connection.query_all_raw(statement()).await.expect("asked");
            (waiting.len() == count).then_some(())
        })
        .await;
    }

    /// Runs another statement.
    async fn runs(&self, statement: &str) {
        self.tx.execute_unprepared(statement).await.expect("run");
    }

    /// Commits it.
    async fn commits(self) {
        self.tx.commit().await.expect("committed");
    }

    /// Takes it back.
    async fn gives_up(self) {
        self.tx.rollback().await.expect("rolled back");
    }
}

fn account(email: &str, role: Role) -> NewAccount {
    NewAccount {
        email: EmailAddress::parse(email).expect("an address"),
        name: "Ada".into(),
        password_hash: "$argon2id$...".into(),
        role,
        verified: role != Role::Student,
        locale: None,
    }
}

fn named(name: &str) -> AccountChange {
    AccountChange { name: Some(name.to_owned()), ..AccountChange::default() }
}
