//! Idempotency keys with the first answers to their requests.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, binary, pk_uuid, string, text, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let keys = Table::create()
            .table("idempotency_keys")
            .col(pk_uuid("id"))
            .col(uuid("user_id"))
            .col(string("key"))
            .col(binary("request_hash")) // of the route and of the body as it was understood
            .col(uuid("made_id")) // what the request made
            .col(big_integer("version")) // of the exam, after it
            .col(text("body")) // the answer's, byte for byte
            .col(big_integer("created_at"))
            .foreign_key(
                ForeignKey::create()
                    .from("idempotency_keys", "user_id")
                    .to("users", "id")
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .to_owned();
        manager.create_table(keys).await?;
        let on = |name: &str| Index::create().name(name).table("idempotency_keys").to_owned();
        manager.create_index(on("idempotency_keys_by_user").col("user_id").col("key").unique().to_owned()).await?;
        manager.create_index(on("idempotency_keys_created_at").col("created_at").to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("idempotency_keys").to_owned()).await
    }
}
