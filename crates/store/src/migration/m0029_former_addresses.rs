//! Former addresses of seats that have gone with their account to another one: a roster that names one of them means the seat.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

const UP: &str = "
CREATE TABLE former_addresses (
    seat_id {uuid} NOT NULL REFERENCES seats (id) ON DELETE CASCADE,
    email_key varchar NOT NULL,
    PRIMARY KEY (seat_id, email_key)
);
";

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let uuid = if manager.get_database_backend() == DbBackend::Postgres { "uuid" } else { "uuid_text" };
        manager.get_connection().execute_unprepared(&UP.replace("{uuid}", uuid)).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE former_addresses").await.map(drop)
    }
}
