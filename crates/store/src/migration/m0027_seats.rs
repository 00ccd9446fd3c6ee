//! Who may sit an exam: everybody, those that know its code, or those on its roster. A seat is for an e-mail address, which
//! need not have an account yet.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

/// `user_id` is whose seat it is where they have exchanged the code for it.
const UP: &str = "
ALTER TABLE exams ADD COLUMN access varchar NOT NULL DEFAULT 'open';
ALTER TABLE exams ADD COLUMN access_code varchar;
CREATE TABLE seats (
    id {uuid} NOT NULL PRIMARY KEY,
    exam_id {uuid} NOT NULL REFERENCES exams (id) ON DELETE CASCADE,
    email_key varchar NOT NULL,
    email varchar NOT NULL,
    name varchar NOT NULL,
    user_id {uuid} REFERENCES users (id) ON DELETE CASCADE,
    source varchar NOT NULL,
    added_at bigint NOT NULL,
    invited_at bigint
);
CREATE UNIQUE INDEX seats_by_address ON seats (exam_id, email_key);
CREATE INDEX seats_of_address ON seats (email_key);
CREATE INDEX seats_of_user ON seats (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX seats_in_order ON seats (exam_id, id);
";

const DOWN: &str = "
DROP TABLE seats;
ALTER TABLE exams DROP COLUMN access_code;
ALTER TABLE exams DROP COLUMN access;
";

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let uuid = if manager.get_database_backend() == DbBackend::Postgres { "uuid" } else { "uuid_text" };
        manager.get_connection().execute_unprepared(&UP.replace("{uuid}", uuid)).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(DOWN).await.map(drop)
    }
}
