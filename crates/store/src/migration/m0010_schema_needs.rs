//! Names of migrations that a program must know to work with the tables: those that did more than add.

use sea_orm_migration::{prelude::*, schema::string};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let needs = Table::create().table("schema_needs").col(string("migration").primary_key()).to_owned();
        manager.create_table(needs).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("schema_needs").to_owned()).await
    }
}
