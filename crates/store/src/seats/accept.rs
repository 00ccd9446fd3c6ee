//! The token of an invitation: it makes an account once, for the address that it was mailed to, which is proven by that.

use examhall_core::{Change, EmailAddress, Locale, Role, Timestamp, UserId};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel,
    QueryFilter, sea_query::Expr,
};
use uuid::Uuid;

use super::{RosterEntry, Seats};
use crate::{
    Error, NewAccount, TokenPurpose,
    accounts::to_row,
    entity::{exam, invitation, invitation::Column, seat, user},
    mail_tokens::void,
    sign_up::{lock_by_email, replace},
};

/// How often another sign-up with the address may come first.
const TRIES: usize = 5;

/// What the token of an invitation is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Title of the exam.
    pub exam: String,
    /// Who is invited, as the roster names them.
    pub entry: RosterEntry,
    /// Whether they have an account already: then they log in.
    pub has_account: bool,
}

/// What an invited person chooses.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// Their name.
    pub name: String,
    /// PHC string of their password.
    pub password_hash: String,
    /// Language of their mails.
    pub locale: Option<Locale>,
}

/// What became of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// There is an account, whose address is proven.
    Account(UserId),
    /// There was one before: nothing was changed.
    HasAccount,
    /// The token is unknown, used or expired, or its seat was taken away.
    Refused,
}

impl Seats {
    /// The invitation of a token. `None` where it is unknown or expired, its seat was taken away, or it was used and the
    /// account is gone. It may be used up at any time by somebody else.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn invitation(&self, token_hash: &[u8; 32], now: Timestamp) -> Result<Option<Invitation>, Error> {
        let db = &self.db.read;
        let Some((token, seat)) = find(db, token_hash, now).await? else { return Ok(None) };
        let account = user::Entity::find().filter(user::Column::EmailKey.eq(&token.email_key)).one(db).await?;
        let has_account = account.as_ref().is_some_and(is_settled);
        if !has_account && token.used_at.is_some() {
            return Ok(None);
        }
        let Some(exam) = exam::Entity::find_by_id(seat.exam_id).one(db).await? else { return Ok(None) };
        let entry = RosterEntry { email: EmailAddress::from_stored(seat.email), name: seat.name };
        Ok(Some(Invitation { exam: exam.title, entry, has_account }))
    }

    /// Uses up the token of an invitation: its address gets an account of a student, and is proven. One that signed up with
    /// the address and never proved it gets this name and password instead, and no token that was mailed before is any good.
    ///
    /// # Errors
    /// [`Error::EmailTaken`] where other sign-ups with the address always come first, [`Error::Unavailable`].
    pub async fn accept(
        &self,
        token_hash: &[u8; 32],
        acceptance: &Acceptance,
        now: Timestamp,
    ) -> Result<Accepted, Error> {
        for _ in 0..TRIES {
            if let Some(accepted) = self.db.retry(|| self.accept_once(token_hash, acceptance, now)).await? {
                return Ok(accepted);
            }
        }
        Err(Error::EmailTaken)
    }

    /// `None` where a sign-up with the address has made an account meanwhile.
    async fn accept_once(
        &self,
        token_hash: &[u8; 32],
        acceptance: &Acceptance,
        now: Timestamp,
    ) -> Result<Option<Accepted>, Error> {
        let tx = self.db.begin().await?;
        let Some((_, seat)) = find(&tx, token_hash, now).await? else { return Ok(Some(Accepted::Refused)) };
        let email = EmailAddress::from_stored(seat.email);
        // The account before the token, as everywhere: a change of its address locks it before it moves the seat.
        let row = lock_by_email(&tx, &email).await?;
        if row.as_ref().is_some_and(is_settled) {
            return Ok(Some(Accepted::HasAccount));
        }
        let is_good = Column::Hash
            .eq(token_hash.to_vec())
            .and(Column::UsedAt.is_null())
            .and(Column::EmailKey.eq(email.canonical()));
        let used = invitation::Entity::update_many().col_expr(Column::UsedAt, Expr::value(now.as_millis()));
        if used.filter(is_good).exec(&tx).await?.rows_affected == 0 {
            // Another request with this token may have made the account while this one waited.
            let row = lock_by_email(&tx, &email).await?;
            let has_account = row.as_ref().is_some_and(is_settled);
            return Ok(Some(if has_account { Accepted::HasAccount } else { Accepted::Refused }));
        }
        let Acceptance { name, password_hash, locale } = acceptance.clone();
        let account = NewAccount { email, name, password_hash, role: Role::Student, verified: true, locale };
        let id = if let Some(row) = row {
            let id = UserId(row.id);
            replace(&tx, row, Some(&account), &account.password_hash, now).await?;
            void(&tx, id, &[TokenPurpose::Verification, TokenPurpose::Reset], now).await?;
            let row = user::Entity::find_by_id(id.0).one(&tx).await?.ok_or(Error::NotFound)?;
            let mut row = row.into_active_model();
            row.verified_at = Set(Some(now.as_millis()));
            row.update(&tx).await?;
            id
        } else {
            let id = UserId(Uuid::now_v7());
            match user::Entity::insert(to_row(id, &account, now)).exec_without_returning(&tx).await.map_err(Error::from)
            {
                Err(error) if error.is_duplicate() => return Ok(None),
                inserted => inserted?,
            };
            id
        };
        self.db.commit(tx, &[Change::Profile(id)], now).await?;
        Ok(Some(Accepted::Account(id)))
    }
}

/// Whether an account is its owner's: no invitation changes it. One that an administrator has invited, or locked, is not
/// the business of an author.
fn is_settled(account: &user::Model) -> bool {
    account.verified_at.is_some() || account.role != Role::Student.as_str() || account.locked_at.is_some()
}

/// A token that has not expired, with its seat, if that is still for the address that the token was mailed to.
async fn find(
    db: &impl ConnectionTrait,
    token_hash: &[u8; 32],
    now: Timestamp,
) -> Result<Option<(invitation::Model, seat::Model)>, Error> {
    let token = invitation::Entity::find_by_id(token_hash.to_vec()).one(db).await?;
    let Some(token) = token.filter(|token| token.expires_at > now.as_millis()) else { return Ok(None) };
    let seat = seat::Entity::find_by_id(token.seat_id).one(db).await?;
    Ok(seat.filter(|seat| seat.email_key == token.email_key).map(|seat| (token, seat)))
}
