//! Invitations of those on a roster: each mail carries a token, which makes an account for its address once.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

/// A seat's tokens go with it. `email_key` is the address that a token was mailed to: of a seat that has moved to another
/// one it proves nothing.
const UP: &str = "
CREATE TABLE invitations (
    hash {bytes} NOT NULL PRIMARY KEY,
    seat_id {uuid} NOT NULL REFERENCES seats (id) ON DELETE CASCADE,
    email_key varchar NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    used_at bigint
);
CREATE INDEX invitations_of_seat ON invitations (seat_id);
CREATE INDEX invitations_expired ON invitations (expires_at);
";

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let is_postgres = manager.get_database_backend() == DbBackend::Postgres;
        let (uuid, bytes) = if is_postgres { ("uuid", "bytea") } else { ("uuid_text", "blob") };
        let sql = UP.replace("{uuid}", uuid).replace("{bytes}", bytes);
        manager.get_connection().execute_unprepared(&sql).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE invitations").await.map(drop)
    }
}
