//! Exams in their author's hands while students sit them: what students see and when, more time for one student, and what
//! an attempt's deadline is computed from.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

/// `results` is that of the number of attempts where it is absent. `time_percent` is of the exam's duration, and `extra_ms`
/// on top of that, as are the percent and the minutes of an accommodation.
const UP: &str = "
ALTER TABLE exams ADD COLUMN paper varchar NOT NULL DEFAULT 'afterStart';
ALTER TABLE exams ADD COLUMN results varchar;
ALTER TABLE exams ADD COLUMN show_marks boolean NOT NULL DEFAULT FALSE;
ALTER TABLE exams ADD COLUMN review boolean NOT NULL DEFAULT FALSE;
ALTER TABLE exams ADD COLUMN results_published_at bigint;
ALTER TABLE attempts ADD COLUMN time_percent integer NOT NULL DEFAULT 100;
ALTER TABLE attempts ADD COLUMN extra_ms bigint NOT NULL DEFAULT 0;
CREATE TABLE accommodations (
    exam_id {uuid} NOT NULL REFERENCES exams (id) ON DELETE CASCADE,
    user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    percent integer NOT NULL,
    minutes integer NOT NULL,
    PRIMARY KEY (exam_id, user_id)
);
CREATE INDEX accommodations_by_user ON accommodations (user_id);
";

const DOWN: &str = "
DROP TABLE accommodations;
ALTER TABLE attempts DROP COLUMN extra_ms;
ALTER TABLE attempts DROP COLUMN time_percent;
ALTER TABLE exams DROP COLUMN results_published_at;
ALTER TABLE exams DROP COLUMN review;
ALTER TABLE exams DROP COLUMN show_marks;
ALTER TABLE exams DROP COLUMN results;
ALTER TABLE exams DROP COLUMN paper;
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
