//! Keys of accounts by the rules that addresses are normalised by since.

use examhall_core::EmailAddress;
use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, Statement, Value},
};
use uuid::Uuid;

#[derive(DeriveMigrationName)]
pub(crate) struct Step;

/// Accounts that are read at a time.
const PAGE: u64 = 1000;

/// An account whose key is not the one that it is to have.
struct Changed {
    created_at: i64,
    id: Uuid,
    key: String,
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let kept = rekey(manager, |email| EmailAddress::from_stored(email).canonical()).await?;
        if kept > 0 {
            // Both are reached as before: a key of the former rules is looked up first.
            tracing::warn!(
                accounts = kept,
                "Accounts share a mailbox with an older account: they keep their former key"
            );
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        rekey(manager, str::to_lowercase).await.map(drop)
    }
}

/// Gives every account the key that `key_of` makes of its address, unless another account has it; returns how many keep
/// theirs for that reason. Of several the oldest one gets the key. A second run changes nothing.
async fn rekey(manager: &SchemaManager<'_>, key_of: impl Fn(&str) -> String) -> Result<u64, DbErr> {
    let mut changed = changed_keys(manager, key_of).await?;
    changed.sort_by_key(|account| (account.created_at, account.id));
    let connection = manager.get_connection();
    let run = |sql, values: Vec<Value>| Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
    let mut kept = 0;
    for Changed { id, key, .. } in changed {
        let taken = run("SELECT id FROM users WHERE email_key = $1", vec![key.as_str().into()]);
        if connection.query_one_raw(taken).await?.is_some() {
            kept += 1;
            continue;
        }
        let update = run("UPDATE users SET email_key = $1 WHERE id = $2", vec![key.into(), id.into()]);
        connection.execute_raw(update).await?;
    }
    Ok(kept)
}

async fn changed_keys(manager: &SchemaManager<'_>, key_of: impl Fn(&str) -> String) -> Result<Vec<Changed>, DbErr> {
    let connection = manager.get_connection();
    let (mut changed, mut after) = (Vec::new(), Uuid::nil());
    loop {
        let sql = format!("SELECT id, email, email_key, created_at FROM users WHERE id > $1 ORDER BY id LIMIT {PAGE}");
        let page = Statement::from_sql_and_values(connection.get_database_backend(), sql, [after.into()]);
        let rows = connection.query_all_raw(page).await?;
        for row in &rows {
            let (id, email): (Uuid, String) = (row.try_get("", "id")?, row.try_get("", "email")?);
            let (key, created_at) = (key_of(&email), row.try_get("", "created_at")?);
            if row.try_get::<String>("", "email_key")? != key {
                changed.push(Changed { created_at, id, key });
            }
            after = id;
        }
        if (rows.len() as u64) < PAGE {
            return Ok(changed);
        }
    }
}
