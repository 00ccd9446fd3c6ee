//! How often a rotated refresh token was used again within its grace period.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let reuses = ColumnDef::new("reuses").integer().not_null().default(0).to_owned();
        manager.alter_table(Table::alter().table("sessions").add_column(reuses).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("sessions").drop_column("reuses").to_owned()).await
    }
}
