//! Attempts, their results, and changes of questions that attempts had been begun with.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, boolean, double, integer, json_binary, pk_uuid, string, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let attempts = Table::create()
            .table("attempts")
            .col(pk_uuid("id"))
            .col(uuid("exam_id"))
            .col(uuid("user_id"))
            .col(integer("number")) // this student's first is 1
            .col(big_integer("started_at"))
            .col(big_integer("deadline"))
            .col(json_binary("answers"))
            .col(big_integer("seq").default(-1)) // of the answers, given by the client; the higher one wins
            .col(big_integer_null("saved_at"))
            .col(big_integer_null("submitted_at"))
            .foreign_key(ForeignKey::create().from("attempts", "exam_id").to("exams", "id"))
            .foreign_key(ForeignKey::create().from("attempts", "user_id").to("users", "id"))
            .to_owned();
        let results = Table::create()
            .table("results")
            .col(pk_uuid("id"))
            .col(uuid("attempt_id").unique_key()) // an attempt is graded once
            .col(uuid("exam_id"))
            .col(uuid("user_id"))
            .col(double("score"))
            .col(double("max_score"))
            .col(double("percent"))
            .col(boolean("passed"))
            .col(json_binary("marks")) // question by question
            .col(big_integer("graded_at"))
            .col(big_integer_null("published_at"))
            .foreign_key(ForeignKey::create().from("results", "attempt_id").to("attempts", "id"))
            .to_owned();
        let changes = Table::create()
            .table("forced_changes")
            .col(pk_uuid("id"))
            .col(uuid("exam_id"))
            .col(uuid("user_id")) // who did it
            .col(string("what"))
            .col(big_integer("version")) // of the exam, after it
            .col(big_integer("at"))
            .foreign_key(
                ForeignKey::create()
                    .from("forced_changes", "exam_id")
                    .to("exams", "id")
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .to_owned();
        for table in [attempts, results, changes] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["forced_changes", "results", "attempts"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn indexes() -> Vec<IndexCreateStatement> {
    let on = |table: &'static str, name: &str, columns: &[&'static str]| {
        let mut index = Index::create();
        index.name(format!("{table}_{name}")).table(table);
        for column in columns {
            index.col(*column);
        }
        index
    };
    let is_open = || Expr::col("submitted_at").is_null();
    vec![
        on("attempts", "by_student", &["exam_id", "user_id", "number"]).unique().to_owned(),
        // One open attempt per student and exam, also for two requests at once.
        on("attempts", "open", &["exam_id", "user_id"]).unique().and_where(is_open()).to_owned(),
        on("attempts", "due", &["deadline"]).and_where(is_open()).to_owned(),
        on("results", "by_exam", &["exam_id", "id"]),
        on("results", "by_student", &["exam_id", "user_id", "id"]),
        on("results", "unpublished", &["exam_id"]).and_where(Expr::col("published_at").is_null()).to_owned(),
        on("forced_changes", "by_exam", &["exam_id"]),
    ]
}
