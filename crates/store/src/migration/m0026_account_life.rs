//! An account's life: locked by an administrator, deleted by its owner with what must stay made anonymous, and the address that
//! a token in a mail is about.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

const UP: &str = "
ALTER TABLE users ADD COLUMN locked_at bigint;
ALTER TABLE users ADD COLUMN deleted_at bigint;
ALTER TABLE mail_tokens ADD COLUMN address varchar;
CREATE INDEX attempts_by_user ON attempts (user_id);
";

const DOWN: &str = "
DROP INDEX attempts_by_user;
ALTER TABLE mail_tokens DROP COLUMN address;
ALTER TABLE users DROP COLUMN deleted_at;
ALTER TABLE users DROP COLUMN locked_at;
";

/// A lock ends access as the trigger of m0012 does for other changes, which stays as it is.
const IS_LOCKED: &str = "OLD.locked_at IS NULL AND NEW.locked_at IS NOT NULL";

const POSTGRES: &str = "
CREATE TRIGGER users_lock_ends_access BEFORE UPDATE ON users FOR EACH ROW WHEN ({IS_LOCKED})
    EXECUTE FUNCTION users_end_access();
";

const SQLITE: &str = "
CREATE TRIGGER users_lock_ends_access AFTER UPDATE ON users FOR EACH ROW WHEN {IS_LOCKED} BEGIN
    UPDATE users SET access_generation = OLD.access_generation + 1 WHERE id = NEW.id;
    INSERT OR REPLACE INTO access_revocations (user_id, min_generation, at)
    VALUES (NEW.id, OLD.access_generation + 1, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
END;
";

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let trigger = if is_postgres(manager) { POSTGRES } else { SQLITE };
        manager.get_connection().execute_unprepared(UP).await?;
        manager.get_connection().execute_unprepared(&trigger.replace("{IS_LOCKED}", IS_LOCKED)).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop_trigger = if is_postgres(manager) {
            "DROP TRIGGER users_lock_ends_access ON users"
        } else {
            "DROP TRIGGER users_lock_ends_access"
        };
        manager.get_connection().execute_unprepared(drop_trigger).await?;
        manager.get_connection().execute_unprepared(DOWN).await.map(drop)
    }
}

fn is_postgres(manager: &SchemaManager) -> bool {
    manager.get_database_backend() == DbBackend::Postgres
}
