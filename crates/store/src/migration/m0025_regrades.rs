//! Grading again after a key was changed: how far each regrade has come, and the results that it replaced.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

/// `position` is the last attempt that was looked at, with the key of the exam's `exam_version`.
const UP: &str = "
ALTER TABLE results ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE results ADD COLUMN regraded_at bigint;
CREATE TABLE regrades (
    id {uuid} NOT NULL PRIMARY KEY,
    exam_id {uuid} NOT NULL REFERENCES exams (id) ON DELETE CASCADE,
    user_id {uuid} NOT NULL,
    exam_version bigint NOT NULL,
    position {uuid},
    total bigint NOT NULL,
    graded bigint NOT NULL DEFAULT 0,
    counts {json} NOT NULL,
    changed bigint NOT NULL DEFAULT 0,
    created_at bigint NOT NULL,
    finished_at bigint
);
CREATE UNIQUE INDEX regrades_open ON regrades (exam_id) WHERE finished_at IS NULL;
CREATE INDEX regrades_by_exam ON regrades (exam_id, id);
CREATE TABLE former_results (
    id {uuid} NOT NULL PRIMARY KEY,
    result_id {uuid} NOT NULL REFERENCES results (id) ON DELETE CASCADE,
    regrade_id {uuid} NOT NULL,
    score double precision NOT NULL,
    max_score double precision NOT NULL,
    percent double precision NOT NULL,
    passed boolean NOT NULL,
    marks {json} NOT NULL,
    graded_at bigint NOT NULL,
    replaced_at bigint NOT NULL
);
CREATE INDEX former_results_by_result ON former_results (result_id, id);
CREATE INDEX attempts_by_exam ON attempts (exam_id, id);
";

const DOWN: &str = "
DROP INDEX attempts_by_exam;
DROP TABLE former_results;
DROP TABLE regrades;
ALTER TABLE results DROP COLUMN regraded_at;
ALTER TABLE results DROP COLUMN version;
";

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let is_postgres = manager.get_database_backend() == DbBackend::Postgres;
        let (uuid, json) = if is_postgres { ("uuid", "jsonb") } else { ("uuid_text", "jsonb_text") };
        let up = UP.replace("{uuid}", uuid).replace("{json}", json);
        manager.get_connection().execute_unprepared(&up).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(DOWN).await.map(drop)
    }
}
