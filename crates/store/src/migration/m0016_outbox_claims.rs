//! Counts how often a mail was claimed without being queued, so that a mail that cannot be queued waits apart from new
//! ones.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let claims = ColumnDef::new("claims").integer().not_null().default(0).to_owned();
        manager.alter_table(Table::alter().table("mail_outbox").add_column(claims).to_owned()).await?;
        let waits = || Expr::col("enqueued_at").is_null().and(Expr::col("outcome").is_null());
        // One index per queue of `Outbox::claim`: neither reads rows of the other.
        let new = Index::create()
            .name("mail_outbox_new")
            .table("mail_outbox")
            .col(("priority", IndexOrder::Desc))
            .col("id")
            .and_where(waits().and(Expr::col("claims").eq(0)))
            .to_owned();
        let again = Index::create()
            .name("mail_outbox_again")
            .table("mail_outbox")
            .col("run_at")
            .and_where(waits().and(Expr::col("claims").gt(0)))
            .to_owned();
        manager.create_index(new).await?;
        manager.create_index(again).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in ["mail_outbox_new", "mail_outbox_again"] {
            manager.drop_index(Index::drop().name(name).table("mail_outbox").to_owned()).await?;
        }
        manager.alter_table(Table::alter().table("mail_outbox").drop_column("claims").to_owned()).await
    }
}
