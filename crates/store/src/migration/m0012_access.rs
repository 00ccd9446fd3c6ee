//! How often a rotated refresh token was used again within its grace period; an index to find the accounts that nobody has
//! proven for long.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let reuses = ColumnDef::new("reuses").integer().not_null().default(0).to_owned();
        manager.alter_table(Table::alter().table("sessions").add_column(reuses).to_owned()).await?;
        let unverified = Index::create()
            .name("users_unverified")
            .table("users")
            .col("created_at")
            .and_where(Expr::col("verified_at").is_null())
            .to_owned();
        manager.create_index(unverified).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("users_unverified").table("users").to_owned()).await?;
        manager.alter_table(Table::alter().table("sessions").drop_column("reuses").to_owned()).await
    }
}
