//! Exams and their questions.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, boolean, double, integer, json_binary, pk_uuid, string, text, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let exams = Table::create()
            .table("exams")
            .col(pk_uuid("id"))
            .col(uuid("author_id"))
            .col(string("title"))
            .col(text("description"))
            .col(integer("duration_minutes"))
            .col(integer("max_attempts"))
            .col(integer("pass_mark")) // percent
            .col(big_integer_null("opens_at"))
            .col(big_integer_null("closes_at"))
            .col(boolean("shuffle"))
            .col(string("status")) // draft, published, closed
            .col(big_integer("version")) // one up with every change of the exam or its questions
            .col(big_integer("created_at"))
            .col(big_integer("updated_at"))
            .foreign_key(ForeignKey::create().from("exams", "author_id").to("users", "id"))
            .to_owned();
        let questions = Table::create()
            .table("questions")
            .col(pk_uuid("id"))
            .col(uuid("exam_id"))
            .col(integer("position"))
            .col(text("text"))
            .col(double("points"))
            .col(json_binary("kind")) // type, choices and answer key
            .foreign_key(
                ForeignKey::create()
                    .from("questions", "exam_id")
                    .to("exams", "id")
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .to_owned();
        manager.create_table(exams).await?;
        manager.create_table(questions).await?;
        let by_author = Index::create().name("exams_author_id").table("exams").col("author_id").to_owned();
        manager.create_index(by_author).await?;
        let in_order =
            Index::create().name("questions_exam_id").table("questions").col("exam_id").col("position").to_owned();
        manager.create_index(in_order).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("questions").to_owned()).await?;
        manager.drop_table(Table::drop().table("exams").to_owned()).await
    }
}
