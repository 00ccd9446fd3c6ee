//! Indexes by which expired tokens and sessions, and rotated sessions, are found to be deleted.
//!
//! They are built within the transaction of the step, so writes to the table wait meanwhile: about a second per million
//! rows. `CONCURRENTLY` would not block them, and would leave an invalid index where it is interrupted.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

const INDEXES: [(&str, &str, &str); 3] = [
    ("mail_tokens_expires_at", "mail_tokens", "expires_at"),
    ("sessions_expires_at", "sessions", "expires_at"),
    ("sessions_rotated_at", "sessions", "rotated_at"),
];

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, table, column) in INDEXES {
            manager.create_index(Index::create().name(name).table(table).col(column).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, table, _) in INDEXES {
            manager.drop_index(Index::drop().name(name).table(table).to_owned()).await?;
        }
        Ok(())
    }
}
