//! One audit trail for operators, authors and administrators: what is done to an exam or an account, with what it was before
//! and is after. Changes that were forced move into it; those that an older program makes are copied by a trigger.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

/// Without foreign keys: an entry outlives what it is about.
const UP: &str = "
ALTER TABLE operator_actions ADD COLUMN exam_id {uuid};
ALTER TABLE operator_actions ADD COLUMN user_id {uuid};
ALTER TABLE operator_actions ADD COLUMN before_json {json};
ALTER TABLE operator_actions ADD COLUMN after_json {json};
CREATE INDEX operator_actions_by_exam ON operator_actions (exam_id, id) WHERE exam_id IS NOT NULL;
CREATE INDEX operator_actions_by_user ON operator_actions (user_id, id) WHERE user_id IS NOT NULL;
INSERT INTO operator_actions (id, at, actor_id, actor, action, filter, matched, affected, exam_id, after_json)
    SELECT f.id, f.at, f.user_id, COALESCE(u.email, ''), f.what || ' questions', '', 1, 1, f.exam_id, {after}
    FROM forced_changes f LEFT JOIN users u ON u.id = f.user_id WHERE TRUE ON CONFLICT DO NOTHING;
";

const POSTGRES: &str = "
CREATE FUNCTION forced_changes_to_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO operator_actions (id, at, actor_id, actor, action, filter, matched, affected, exam_id, after_json)
    VALUES (NEW.id, NEW.at, NEW.user_id, COALESCE((SELECT email FROM users WHERE id = NEW.user_id), ''),
        NEW.what || ' questions', '', 1, 1, NEW.exam_id, jsonb_build_object('version', NEW.version, 'forced', true));
    RETURN NEW;
END $$;
CREATE TRIGGER forced_changes_to_audit AFTER INSERT ON forced_changes FOR EACH ROW
    EXECUTE FUNCTION forced_changes_to_audit();
";

const SQLITE: &str = "
CREATE TRIGGER forced_changes_to_audit AFTER INSERT ON forced_changes BEGIN
    INSERT INTO operator_actions (id, at, actor_id, actor, action, filter, matched, affected, exam_id, after_json)
    VALUES (NEW.id, NEW.at, NEW.user_id, COALESCE((SELECT email FROM users WHERE id = NEW.user_id), ''),
        NEW.what || ' questions', '', 1, 1, NEW.exam_id, json_object('version', NEW.version, 'forced', json('true')));
END;
";

const DOWN: &str = "
DROP INDEX operator_actions_by_exam;
DROP INDEX operator_actions_by_user;
ALTER TABLE operator_actions DROP COLUMN after_json;
ALTER TABLE operator_actions DROP COLUMN before_json;
ALTER TABLE operator_actions DROP COLUMN user_id;
ALTER TABLE operator_actions DROP COLUMN exam_id;
";

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (uuid, json, after, trigger) = if is_postgres(manager) {
            ("uuid", "jsonb", "jsonb_build_object('version', f.version, 'forced', true)", POSTGRES)
        } else {
            ("uuid_text", "jsonb_text", "json_object('version', f.version, 'forced', json('true'))", SQLITE)
        };
        let up = UP.replace("{uuid}", uuid).replace("{json}", json).replace("{after}", after);
        manager.get_connection().execute_unprepared(&up).await?;
        manager.get_connection().execute_unprepared(trigger).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop_trigger = if is_postgres(manager) {
            "DROP TRIGGER forced_changes_to_audit ON forced_changes; DROP FUNCTION forced_changes_to_audit()"
        } else {
            "DROP TRIGGER forced_changes_to_audit"
        };
        manager.get_connection().execute_unprepared(drop_trigger).await?;
        manager.get_connection().execute_unprepared(DOWN).await.map(drop)
    }
}

fn is_postgres(manager: &SchemaManager) -> bool {
    manager.get_database_backend() == DbBackend::Postgres
}
