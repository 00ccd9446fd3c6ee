//! What ends access: how often a rotated refresh token was used again within its grace period; whose access tokens are not
//! good any more; an index to find the accounts that nobody has proven for long; from where a session was begun.
//!
//! A trigger notes the revocation, so that it holds for every way in which a row changes: also for releases that do not
//! know of it, and for an operator's SQL.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, pk_uuid},
    sea_orm::DbBackend,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

/// Only accounts whose address is proven have access tokens; one whose proof is taken back is locked out.
const ENDS_ACCESS: &str = "OLD.verified_at IS NOT NULL AND (OLD.password_hash <> NEW.password_hash \
                           OR OLD.role <> NEW.role OR NEW.verified_at IS NULL)";

const POSTGRES: &str = "
CREATE FUNCTION users_end_access() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE minimum BIGINT := 9223372036854775807;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        NEW.access_generation := OLD.access_generation + 1;
        minimum := NEW.access_generation;
    END IF;
    INSERT INTO access_revocations (user_id, min_generation, at)
    VALUES (OLD.id, minimum, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT))
    ON CONFLICT (user_id) DO UPDATE SET min_generation = EXCLUDED.min_generation, at = EXCLUDED.at;
    IF TG_OP = 'UPDATE' THEN RETURN NEW; END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER users_end_access BEFORE UPDATE ON users FOR EACH ROW WHEN ({ENDS_ACCESS})
    EXECUTE FUNCTION users_end_access();
CREATE TRIGGER users_end_access_of_deleted BEFORE DELETE ON users FOR EACH ROW WHEN (OLD.verified_at IS NOT NULL)
    EXECUTE FUNCTION users_end_access();
";

/// julianday, since an operator's SQLite may be too old for `unixepoch('subsec')`.
const SQLITE: &str = "
CREATE TRIGGER users_end_access AFTER UPDATE ON users FOR EACH ROW WHEN {ENDS_ACCESS} BEGIN
    UPDATE users SET access_generation = OLD.access_generation + 1 WHERE id = NEW.id;
    INSERT OR REPLACE INTO access_revocations (user_id, min_generation, at)
    VALUES (NEW.id, OLD.access_generation + 1, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
END;
CREATE TRIGGER users_end_access_of_deleted AFTER DELETE ON users FOR EACH ROW WHEN OLD.verified_at IS NOT NULL BEGIN
    INSERT OR REPLACE INTO access_revocations (user_id, min_generation, at)
    VALUES (OLD.id, 9223372036854775807, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
END;
";

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let reuses = ColumnDef::new("reuses").integer().not_null().default(0).to_owned();
        manager.alter_table(Table::alter().table("sessions").add_column(reuses).to_owned()).await?;
        let network = ColumnDef::new("network").string().null().to_owned(); // where its login came from
        manager.alter_table(Table::alter().table("sessions").add_column(network).to_owned()).await?;
        let generation = ColumnDef::new("access_generation").big_integer().not_null().default(0).to_owned();
        manager.alter_table(Table::alter().table("users").add_column(generation).to_owned()).await?;
        let unverified = Index::create()
            .name("users_unverified")
            .table("users")
            .col("created_at")
            .and_where(Expr::col("verified_at").is_null())
            .to_owned();
        manager.create_index(unverified).await?;
        let revocations = Table::create()
            .table("access_revocations")
            .col(pk_uuid("user_id")) // without a foreign key: it outlives the account
            .col(big_integer("min_generation")) // access tokens of earlier generations are refused
            .col(big_integer("at")) // by the database's clock
            .to_owned();
        manager.create_table(revocations).await?;
        let by_age = Index::create().name("access_revocations_at").table("access_revocations").col("at").to_owned();
        manager.create_index(by_age).await?;
        let triggers = if is_postgres(manager) { POSTGRES } else { SQLITE };
        manager.get_connection().execute_unprepared(&triggers.replace("{ENDS_ACCESS}", ENDS_ACCESS)).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = if is_postgres(manager) {
            "DROP TRIGGER users_end_access ON users; DROP TRIGGER users_end_access_of_deleted ON users; \
             DROP FUNCTION users_end_access()"
        } else {
            "DROP TRIGGER users_end_access; DROP TRIGGER users_end_access_of_deleted"
        };
        manager.get_connection().execute_unprepared(drop).await?;
        manager.drop_table(Table::drop().table("access_revocations").to_owned()).await?;
        manager.drop_index(Index::drop().name("users_unverified").table("users").to_owned()).await?;
        manager.alter_table(Table::alter().table("users").drop_column("access_generation").to_owned()).await?;
        manager.alter_table(Table::alter().table("sessions").drop_column("network").to_owned()).await?;
        manager.alter_table(Table::alter().table("sessions").drop_column("reuses").to_owned()).await
    }
}

fn is_postgres(manager: &SchemaManager) -> bool {
    manager.get_database_backend() == DbBackend::Postgres
}
