//! The cache outbox: which cache keys a commit makes wrong, until the cache has heard of it. And an index to find the
//! exams that open soon.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, json_binary, pk_uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let outbox = Table::create()
            .table("cache_outbox")
            .col(pk_uuid("id")) // names the commit
            .col(json_binary("keys")) // array of cache keys without CACHE_PREFIX
            .col(big_integer("created_at"))
            .col(big_integer_null("cleared_at")) // the cache has let go of them
            .to_owned();
        manager.create_table(outbox).await?;
        let by_age = Index::create().name("cache_outbox_created_at").table("cache_outbox").col("created_at").to_owned();
        manager.create_index(by_age).await?;
        manager.create_index(Index::create().name("exams_opens_at").table("exams").col("opens_at").to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("exams_opens_at").table("exams").to_owned()).await?;
        manager.drop_table(Table::drop().table("cache_outbox").to_owned()).await
    }
}
