//! The order of the cache outbox, which readers of it go by: `seq` counts the rows, and is never used again; `added_at` is
//! when a row was added by the database's clock, where `created_at` is when its request came by a process's.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

const POSTGRES: &str = "
ALTER TABLE cache_outbox ADD COLUMN seq BIGSERIAL;
ALTER TABLE cache_outbox ADD COLUMN added_at BIGINT NOT NULL
    DEFAULT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT);
CREATE UNIQUE INDEX cache_outbox_seq ON cache_outbox (seq);
";

/// SQLite counts only in a primary key, so the table is replaced. julianday, since an operator's SQLite may be too old
/// for `unixepoch('subsec')`.
const SQLITE: &str = "
CREATE TABLE cache_outbox_new (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id uuid_text NOT NULL UNIQUE,
    keys jsonb_text NOT NULL,
    created_at bigint NOT NULL,
    cleared_at bigint,
    added_at bigint NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
);
INSERT INTO cache_outbox_new (id, keys, created_at, cleared_at)
    SELECT id, keys, created_at, cleared_at FROM cache_outbox ORDER BY created_at;
DROP TABLE cache_outbox;
ALTER TABLE cache_outbox_new RENAME TO cache_outbox;
CREATE INDEX cache_outbox_created_at ON cache_outbox (created_at);
";

const SQLITE_DOWN: &str = "
CREATE TABLE cache_outbox_old (
    id uuid_text NOT NULL PRIMARY KEY,
    keys jsonb_text NOT NULL,
    created_at bigint NOT NULL,
    cleared_at bigint
);
INSERT INTO cache_outbox_old (id, keys, created_at, cleared_at)
    SELECT id, keys, created_at, cleared_at FROM cache_outbox;
DROP TABLE cache_outbox;
ALTER TABLE cache_outbox_old RENAME TO cache_outbox;
CREATE INDEX cache_outbox_created_at ON cache_outbox (created_at);
";

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = if is_postgres(manager) { POSTGRES } else { SQLITE };
        manager.get_connection().execute_unprepared(sql).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if !is_postgres(manager) {
            return manager.get_connection().execute_unprepared(SQLITE_DOWN).await.map(drop);
        }
        let columns = Table::alter().table("cache_outbox").drop_column("seq").drop_column("added_at").to_owned();
        manager.alter_table(columns).await
    }
}

fn is_postgres(manager: &SchemaManager) -> bool {
    manager.get_database_backend() == DbBackend::Postgres
}
