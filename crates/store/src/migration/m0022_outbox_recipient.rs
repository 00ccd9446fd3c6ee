//! Indexes by which mails are found: by recipient, newest first; and ended ones by outcome, so that failed ones can be
//! kept longer than others.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

/// Recipients differ in case from how they are asked for; both databases know an index on an expression.
const UP: &str = "
CREATE INDEX mail_outbox_recipient ON mail_outbox (lower(recipient), id);
CREATE INDEX mail_outbox_ended ON mail_outbox (outcome, outcome_at);
DROP INDEX mail_outbox_closed;
";
const DOWN: &str = "
CREATE INDEX mail_outbox_closed ON mail_outbox (outcome_at);
DROP INDEX mail_outbox_ended;
DROP INDEX mail_outbox_recipient;
";

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(UP).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(DOWN).await.map(drop)
    }
}
