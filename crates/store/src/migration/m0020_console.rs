//! The console: sessions that live in a cookie, and the audit trail of operators' actions, to which rows are only added.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, pk_uuid, string, text, text_null, uuid},
    sea_orm::DbBackend,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

const POSTGRES: &str = "
CREATE FUNCTION operator_actions_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'operator_actions is append-only';
END $$;
CREATE TRIGGER operator_actions_append_only BEFORE UPDATE OR DELETE ON operator_actions FOR EACH ROW
    EXECUTE FUNCTION operator_actions_refuse();
";

const SQLITE: &str = "
CREATE TRIGGER operator_actions_no_update BEFORE UPDATE ON operator_actions BEGIN
    SELECT RAISE(ABORT, 'operator_actions is append-only');
END;
CREATE TRIGGER operator_actions_no_delete BEFORE DELETE ON operator_actions BEGIN
    SELECT RAISE(ABORT, 'operator_actions is append-only');
END;
";

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Of sessions of the console only: the account's generation of access tokens when it was begun.
        let generation = big_integer_null("console_generation");
        manager.alter_table(Table::alter().table("sessions").add_column(generation).to_owned()).await?;
        let actions = Table::create()
            .table("operator_actions")
            .col(pk_uuid("id"))
            .col(big_integer("at"))
            .col(uuid("actor_id")) // without a foreign key: it outlives the account
            .col(string("actor")) // its address at that time
            .col(string("action"))
            .col(text("filter")) // what it was done to, as the operator wrote it
            .col(big_integer("matched"))
            .col(big_integer("affected"))
            .col(text_null("reason"))
            .to_owned();
        manager.create_table(actions).await?;
        let triggers = if is_postgres(manager) { POSTGRES } else { SQLITE };
        manager.get_connection().execute_unprepared(triggers).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("operator_actions").to_owned()).await?; // with its triggers
        if is_postgres(manager) {
            manager.get_connection().execute_unprepared("DROP FUNCTION operator_actions_refuse()").await?;
        }
        manager.alter_table(Table::alter().table("sessions").drop_column("console_generation").to_owned()).await
    }
}

fn is_postgres(manager: &SchemaManager) -> bool {
    manager.get_database_backend() == DbBackend::Postgres
}
