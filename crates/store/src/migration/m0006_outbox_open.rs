//! Indexes of the outbox: what waits, most urgent first; and what is queued, until it is known what became of it.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let is_waiting = Expr::col("enqueued_at").is_null();
        let is_open = Expr::col("enqueued_at").is_not_null().and(Expr::col("outcome").is_null());
        // Descending, as relays ask: ten thousand waiting mails need not be sorted for each batch.
        let urgent = Index::create()
            .name("mail_outbox_urgent")
            .table("mail_outbox")
            .col(("priority", IndexOrder::Desc))
            .col("id")
            .and_where(is_waiting)
            .to_owned();
        let open =
            Index::create().name("mail_outbox_open").table("mail_outbox").col("id").and_where(is_open).to_owned();
        let closed = Index::create().name("mail_outbox_closed").table("mail_outbox").col("outcome_at").to_owned();
        // Programs before `m0010` ran this without a transaction on SQLite: where one was killed, part of it is done.
        let waiting = Index::drop().if_exists().name("mail_outbox_waiting").table("mail_outbox").to_owned();
        manager.drop_index(waiting).await?;
        for mut index in [urgent, open, closed] {
            manager.create_index(index.if_not_exists().to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in ["mail_outbox_urgent", "mail_outbox_open", "mail_outbox_closed"] {
            manager.drop_index(Index::drop().name(name).table("mail_outbox").to_owned()).await?;
        }
        let waiting = Index::create()
            .name("mail_outbox_waiting")
            .table("mail_outbox")
            .col("priority")
            .col("id")
            .and_where(Expr::col("enqueued_at").is_null())
            .to_owned();
        manager.create_index(waiting).await
    }
}
