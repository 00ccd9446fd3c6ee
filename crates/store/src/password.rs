//! Another password for an account whose owner is logged in.

use examhall_core::{Change, Timestamp, UserId};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel};
use uuid::Uuid;

use crate::{
    Account, Accounts, Error, NewMail, TokenPurpose, accounts::to_account, entity::user, mail_tokens::void, outbox,
    session_list::end_others, sessions::lock_user,
};

/// Another password of an account.
#[derive(Clone, Debug)]
pub struct PasswordChange {
    /// Whose it is.
    pub user: UserId,
    /// PHC string of the password that was found right.
    pub old_hash: String,
    /// PHC string of the new one.
    pub new_hash: String,
    /// The session that goes on; all others end.
    pub kept: Option<Uuid>,
}

impl Accounts {
    /// Sets the password of an account, ends its other sessions and all access tokens, makes reset tokens useless, and
    /// commits the mail that says so. Returns the account as it is then.
    ///
    /// # Errors
    /// [`Error::WrongState`] where its password is not the old one any more, [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn change_password(
        &self,
        change: &PasswordChange,
        mail: impl Fn(&Account) -> NewMail + Send + Sync,
        now: Timestamp,
    ) -> Result<Account, Error> {
        let PasswordChange { user: id, old_hash, new_hash, kept } = change;
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let row = lock_user(&tx, user::Column::Id.eq(id.0)).await?.ok_or(Error::NotFound)?;
                if row.password_hash != *old_hash {
                    return Err(Error::WrongState("the password was changed meanwhile"));
                }
                let version = row.version + 1;
                let mut row = row.into_active_model();
                row.password_hash = Set(new_hash.clone());
                row.version = Set(version);
                row.updated_at = Set(now.as_millis());
                row.update(&tx).await?;
                end_others(&tx, *id, *kept, now).await?;
                void(&tx, *id, &[TokenPurpose::Reset, TokenPurpose::Console], now).await?;
                // Read again: a trigger has counted the generation of its access tokens.
                let row = user::Entity::find_by_id(id.0).one(&tx).await?.ok_or(Error::NotFound)?;
                let account = to_account(row)?;
                outbox::insert(&tx, &mail(&account), now).await?;
                self.db.commit(tx, &[Change::Profile(*id)], now).await?;
                Ok(account)
            })
            .await
    }
}
