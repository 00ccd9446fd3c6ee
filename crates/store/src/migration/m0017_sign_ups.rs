//! Counts the sign-ups that an account has had before its address was proven: where there was more than one, who confirms
//! the address may not be who chose the password.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sign_ups = ColumnDef::new("sign_ups").integer().not_null().default(1).to_owned();
        manager.alter_table(Table::alter().table("users").add_column(sign_ups).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("users").drop_column("sign_ups").to_owned()).await
    }
}
