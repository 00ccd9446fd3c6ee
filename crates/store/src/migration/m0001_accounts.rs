//! Accounts, the tokens in their mails, and their sessions.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, binary_len, pk_uuid, string, string_uniq, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let users = Table::create()
            .table("users")
            .col(pk_uuid("id"))
            .col(string("email")) // as its owner wrote it: mail goes there
            .col(string_uniq("email_key")) // in lower case: one account per address
            .col(string("name"))
            .col(string("password_hash")) // PHC string
            .col(string("role")) // student, author, admin
            .col(big_integer_null("verified_at"))
            .col(big_integer("created_at"))
            .col(big_integer("updated_at"))
            .col(big_integer("version"))
            .to_owned();
        let mail_tokens = Table::create()
            .table("mail_tokens")
            .col(binary_len("hash", 32).primary_key()) // SHA-256 of the token; the token itself is only in the mail
            .col(uuid("user_id"))
            .col(string("purpose")) // verification, reset
            .col(big_integer("created_at"))
            .col(big_integer("expires_at"))
            .col(big_integer_null("used_at"))
            .foreign_key(&mut owner("mail_tokens"))
            .to_owned();
        let sessions = Table::create()
            .table("sessions")
            .col(pk_uuid("id"))
            .col(uuid("family")) // all that were rotated from one login
            .col(uuid("user_id"))
            .col(binary_len("token_hash", 32).unique_key()) // SHA-256 of the refresh token
            .col(big_integer("created_at"))
            .col(big_integer("expires_at"))
            .col(big_integer_null("rotated_at"))
            .col(big_integer_null("revoked_at"))
            .foreign_key(&mut owner("sessions"))
            .to_owned();
        for table in [users, mail_tokens, sessions] {
            manager.create_table(table).await?;
        }
        manager.create_index(index("mail_tokens", "user_id")).await?;
        manager.create_index(index("sessions", "user_id")).await?;
        manager.create_index(index("sessions", "family")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["sessions", "mail_tokens", "users"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn owner(table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(table, "user_id").to("users", "id").on_delete(ForeignKeyAction::Cascade).to_owned()
}

fn index(table: &'static str, column: &'static str) -> IndexCreateStatement {
    Index::create().name(format!("{table}_{column}")).table(table).col(column).to_owned()
}
