//! The outbox: mails committed with the change that causes them, until it is known what became of them.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, blob, integer, json_binary, pk_uuid, string, string_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let outbox = Table::create()
            .table("mail_outbox")
            .col(pk_uuid("id")) // the job's id is "m-" and this
            .col(string("class")) // verification, reset, result, other
            .col(string("template"))
            .col(string("recipient"))
            .col(json_binary("params")) // what the template shows
            .col(blob("sealed")) // what it shows and nobody else may read, encrypted; empty where there is nothing
            .col(integer("priority")) // 1 to 10, 10 first
            .col(big_integer("run_at"))
            .col(big_integer_null("expires_at"))
            .col(big_integer("created_at"))
            .col(big_integer_null("claimed_until")) // a relay is at it until then
            .col(big_integer_null("enqueued_at"))
            .col(string_null("outcome")) // sent, failed
            .col(big_integer_null("outcome_at"))
            .to_owned();
        manager.create_table(outbox).await?;
        // Every relay asks once a second for what is not queued: an index of that alone, which is nearly always empty.
        let waiting = Index::create()
            .name("mail_outbox_waiting")
            .table("mail_outbox")
            .col("priority")
            .col("id")
            .and_where(Expr::col("enqueued_at").is_null())
            .to_owned();
        manager.create_index(waiting).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("mail_outbox").to_owned()).await
    }
}
