//! What names a request that is not to queue a second mail, until its row is deleted.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = ColumnDef::new("request_key").binary().to_owned();
        manager.alter_table(Table::alter().table("mail_outbox").add_column(column).to_owned()).await?;
        let unique =
            Index::create().name("mail_outbox_key").table("mail_outbox").col("request_key").unique().to_owned();
        manager.create_index(unique).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("mail_outbox_key").table("mail_outbox").to_owned()).await?;
        manager.alter_table(Table::alter().table("mail_outbox").drop_column("request_key").to_owned()).await
    }
}
