//! Another address of an account: proven by a link that is mailed there, and taken back by one that is mailed to the former
//! address.

use examhall_core::{Change, EmailAddress, Timestamp, UserId};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    sea_query::{Expr, Query},
};

use crate::{
    Account, Accounts, Error, NewMail, NewMailToken, TokenPurpose,
    accounts::to_account,
    entity::{attempt, exam, mail_token, user},
    mail_tokens::{insert_about, lock_owner, use_up, void},
    outbox,
    seats::{Moving, move_seats},
    sessions::{lock_user, revoke_all},
};

/// What became of a request for another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailChange {
    /// A link was mailed to the new address.
    Mailed,
    /// The address is that of a proven account: nothing was changed.
    Taken,
}

impl Accounts {
    /// Keeps a token that proves `new` to be an account's address, in place of earlier ones, with the mail that carries it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn ask_for_email(
        &self,
        user: UserId,
        new: &EmailAddress,
        token: &NewMailToken,
        mail: &NewMail,
        now: Timestamp,
    ) -> Result<EmailChange, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                lock_user(&tx, user::Column::Id.eq(user.0)).await?.ok_or(Error::NotFound)?;
                let same = user::Column::EmailKey.eq(new.canonical()).and(user::Column::VerifiedAt.is_not_null());
                if user::Entity::find().filter(same).count(&tx).await? > 0 {
                    return Ok(EmailChange::Taken);
                }
                void(&tx, user, &[TokenPurpose::EmailChange], now).await?;
                insert_about(&tx, user, token, Some(new), now).await?;
                outbox::insert(&tx, mail, now).await?;
                tx.commit().await?;
                Ok(EmailChange::Mailed)
            })
            .await
    }

    /// Uses up the token that was mailed to a new address: from now on it is the account's. `undo` is kept for the former
    /// address, which the mail goes to. `None` where the token is unknown, used or expired.
    ///
    /// An account that nobody has proven to own the address gives way.
    ///
    /// # Errors
    /// [`Error::EmailTaken`] where another account has got the address meanwhile, [`Error::Unavailable`].
    pub async fn change_email(
        &self,
        token_hash: &[u8; 32],
        undo: &NewMailToken,
        mail: impl Fn(&Account) -> NewMail + Send + Sync,
        now: Timestamp,
    ) -> Result<Option<UserId>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let Some(Redeemed { row, address: new, .. }) =
                    redeem(&tx, token_hash, TokenPurpose::EmailChange, now).await?
                else {
                    return Ok(None);
                };
                let id = UserId(row.id);
                let before = to_account(row.clone())?;
                give_way(&tx, &new, id).await?;
                set_email(&tx, row, &new, None, now).await?;
                move_seats(&tx, id, [&before.email, &new], Moving::Forward).await?;
                // A link that lies in the former mailbox sets no password any more.
                void(&tx, id, &[TokenPurpose::Reset, TokenPurpose::Console], now).await?;
                insert_about(&tx, id, undo, Some(&before.email), now).await?;
                outbox::insert(&tx, &mail(&before), now).await?;
                self.db.commit(tx, &[Change::Profile(id)], now).await?;
                Ok(Some(id))
            })
            .await
    }

    /// Uses up the token that was mailed to a former address: it is the account's again, all sessions end, and nobody knows
    /// its password (`unusable`) until its owner chooses one with `reset`, which the mail carries. `None` where the token is
    /// unknown, used or expired.
    ///
    /// # Errors
    /// [`Error::EmailTaken`] where another account has got the address meanwhile, [`Error::Unavailable`].
    pub async fn undo_email(
        &self,
        token_hash: &[u8; 32],
        unusable: &str,
        reset: &NewMailToken,
        mail: impl Fn(&Account) -> NewMail + Send + Sync,
        now: Timestamp,
    ) -> Result<Option<UserId>, Error> {
        use mail_token::Column;
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let redeemed = redeem(&tx, token_hash, TokenPurpose::EmailUndo, now).await?;
                let Some(Redeemed { row, address: former, created_at }) = redeemed else { return Ok(None) };
                let id = UserId(row.id);
                let taken_back = EmailAddress::from_stored(row.email.as_str());
                give_way(&tx, &former, id).await?;
                set_email(&tx, row, &former, Some(unusable), now).await?;
                move_seats(&tx, id, [&taken_back, &former], Moving::Back).await?;
                revoke_all(&tx, id, now).await?;
                let others = [TokenPurpose::Reset, TokenPurpose::Console, TokenPurpose::EmailChange];
                void(&tx, id, &others, now).await?;
                // Those of later changes were mailed to addresses that were not the owner's; earlier ones stay good.
                mail_token::Entity::update_many()
                    .col_expr(Column::UsedAt, Expr::value(now.as_millis()))
                    .filter(Column::UserId.eq(id.0).and(Column::Purpose.eq(TokenPurpose::EmailUndo.as_str())))
                    .filter(Column::UsedAt.is_null().and(Column::CreatedAt.gte(created_at)))
                    .exec(&tx)
                    .await?;
                insert_about(&tx, id, reset, None, now).await?;
                let row = user::Entity::find_by_id(id.0).one(&tx).await?.ok_or(Error::NotFound)?;
                outbox::insert(&tx, &mail(&to_account(row)?), now).await?;
                self.db.commit(tx, &[Change::Profile(id)], now).await?;
                Ok(Some(id))
            })
            .await
    }
}

/// A token that was used up.
struct Redeemed {
    /// Its account, locked.
    row: user::Model,
    /// What it is about.
    address: EmailAddress,
    /// When it was made, in ms since 1970.
    created_at: i64,
}

/// Uses up a token that is about an address.
async fn redeem(
    tx: &DatabaseTransaction,
    token_hash: &[u8; 32],
    purpose: TokenPurpose,
    now: Timestamp,
) -> Result<Option<Redeemed>, Error> {
    lock_owner(tx, token_hash).await?;
    let Some(id) = use_up(tx, token_hash, purpose, now).await? else { return Ok(None) };
    let token = mail_token::Entity::find_by_id(token_hash.to_vec()).one(tx).await?.ok_or(Error::NotFound)?;
    let row = user::Entity::find_by_id(id.0).one(tx).await?.ok_or(Error::NotFound)?;
    let address = token.address.ok_or(Error::Corrupt { table: "mail_tokens", column: "address" })?;
    Ok(Some(Redeemed { row, address: EmailAddress::from_stored(address), created_at: token.created_at }))
}

/// Deletes an account that nobody has proven to own `email`, unless something refers to it.
async fn give_way(tx: &DatabaseTransaction, email: &EmailAddress, to: UserId) -> Result<(), Error> {
    let id = (user::Entity, user::Column::Id);
    let theirs = Query::select()
        .column(attempt::Column::Id)
        .from(attempt::Entity)
        .and_where(Expr::col((attempt::Entity, attempt::Column::UserId)).equals(id))
        .to_owned();
    let written = Query::select()
        .column(exam::Column::Id)
        .from(exam::Entity)
        .and_where(Expr::col((exam::Entity, exam::Column::AuthorId)).equals(id))
        .to_owned();
    user::Entity::delete_many()
        .filter(user::Column::EmailKey.eq(email.canonical()).and(user::Column::Id.ne(to.0)))
        .filter(user::Column::VerifiedAt.is_null())
        .filter(Expr::exists(theirs).not().and(Expr::exists(written).not()))
        .exec(tx)
        .await?;
    Ok(())
}

async fn set_email(
    tx: &DatabaseTransaction,
    row: user::Model,
    email: &EmailAddress,
    password_hash: Option<&str>,
    now: Timestamp,
) -> Result<(), Error> {
    let version = row.version + 1;
    let mut row = row.into_active_model();
    row.email = Set(email.as_str().to_owned());
    row.email_key = Set(email.canonical());
    if let Some(password_hash) = password_hash {
        row.password_hash = Set(password_hash.to_owned());
    }
    row.version = Set(version);
    row.updated_at = Set(now.as_millis());
    match row.update(tx).await.map_err(Error::from) {
        Err(error) if error.is_duplicate() => Err(Error::EmailTaken),
        done => done.map(drop),
    }
}
