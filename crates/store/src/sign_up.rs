//! Signing up. Until an address is proven, the last sign-up with it counts, and only the link in its own mail proves it:
//! nobody gets into an account by having chosen its password before its owner came (account pre-hijacking).

use std::time::Duration;

use examhall_core::{Change, EmailAddress, Role, Timestamp, UserId};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
    sea_query::{Expr, LockBehavior, LockType},
};
use uuid::Uuid;

use crate::{
    Accounts, Error, NewAccount, NewMail, NewMailToken, TokenPurpose,
    accounts::to_row,
    entity::{attempt, exam, user},
    mail_tokens, outbox, sessions,
};

/// How long an account whose address was never proven is kept, counted from its last sign-up.
const KEEP_UNVERIFIED: Duration = Duration::from_hours(7 * 24);
/// Accounts deleted in one transaction.
const BATCH: u64 = 500;
/// How often another sign-up may come first: between the look and the insert, or a deletion in between.
const TRIES: usize = 5;

/// What became of a sign-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedUp {
    /// There is a new account, and a mail to its address.
    Created(UserId),
    /// An account whose address is not proven has this password and name now, and a mail goes to its address.
    Replaced(UserId),
    /// The same, but its address gets no more mails for now: the account has no password, and none is known for it. A
    /// link that was mailed before still proves its address.
    Disarmed(UserId),
    /// The address belongs to a proven account, or to one that an administrator has invited or locked. Nothing was changed.
    Taken,
}

impl Accounts {
    /// Makes an account, the token that proves its address, and the mail that carries it: all of them or none.
    ///
    /// An account whose address is not proven yet gets the new password and name instead; tokens that were mailed before
    /// prove nothing any more. Where its address may get no further mail, `unusable` is the PHC string of a password that
    /// nobody knows, and takes the password's place.
    ///
    /// # Errors
    /// [`Error::EmailTaken`] where other sign-ups with the address always come first, [`Error::Unavailable`].
    pub async fn sign_up(
        &self,
        account: &NewAccount,
        token: &NewMailToken,
        mail: &NewMail,
        unusable: Option<&str>,
        now: Timestamp,
    ) -> Result<SignedUp, Error> {
        for _ in 0..TRIES {
            let once = self.db.retry(|| self.sign_up_once(account, token, mail, unusable, now)).await?;
            if let Some(signed_up) = once {
                return Ok(signed_up);
            }
        }
        Err(Error::EmailTaken)
    }

    /// `None` where another sign-up made the account meanwhile.
    async fn sign_up_once(
        &self,
        account: &NewAccount,
        token: &NewMailToken,
        mail: &NewMail,
        unusable: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<SignedUp>, Error> {
        let tx = self.db.begin().await?;
        let Some(row) = lock_by_email(&tx, &account.email).await? else {
            let id = UserId(Uuid::now_v7());
            match user::Entity::insert(to_row(id, account, now)).exec_without_returning(&tx).await.map_err(Error::from)
            {
                Err(error) if error.is_duplicate() => return Ok(None),
                inserted => inserted?,
            };
            mail_tokens::insert(&tx, id, token, now).await?;
            outbox::insert(&tx, mail, now).await?;
            tx.commit().await?; // its id is new: nobody has asked for its profile yet
            return Ok(Some(SignedUp::Created(id)));
        };
        // One that an administrator has invited waits for the link in the invitation alone.
        if row.verified_at.is_some() || row.role != Role::Student.as_str() || row.locked_at.is_some() {
            return Ok(Some(SignedUp::Taken));
        }
        let id = UserId(row.id);
        let signed_up = if let Some(unusable) = unusable {
            replace(&tx, row, None, unusable, now).await?;
            SignedUp::Disarmed(id)
        } else {
            replace(&tx, row, Some(account), &account.password_hash, now).await?;
            mail_tokens::void(&tx, id, &[TokenPurpose::Verification, TokenPurpose::Reset], now).await?;
            mail_tokens::insert(&tx, id, token, now).await?;
            outbox::insert(&tx, mail, now).await?;
            SignedUp::Replaced(id)
        };
        self.db.commit(tx, &[Change::Profile(id)], now).await?;
        Ok(Some(signed_up))
    }

    /// Deletes accounts that nobody has proven for a week, except where something refers to them; returns how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn prune_unverified(&self, now: Timestamp) -> Result<u64, Error> {
        let mut deleted = 0;
        loop {
            let batch = self.db.retry(|| self.prune_batch(now)).await?;
            deleted += batch;
            if batch < BATCH {
                return Ok(deleted);
            }
        }
    }

    async fn prune_batch(&self, now: Timestamp) -> Result<u64, Error> {
        let before = now.minus(KEEP_UNVERIFIED).as_millis();
        let tx = self.db.begin().await?;
        let id = (user::Entity, user::Column::Id);
        let theirs = Expr::col((attempt::Entity, attempt::Column::UserId)).equals(id);
        let attempts = attempt::Entity::find().filter(theirs).into_query();
        let theirs = Expr::col((exam::Entity, exam::Column::AuthorId)).equals(id);
        let exams = exam::Entity::find().filter(theirs).into_query();
        // The lock lets none of them be verified meanwhile; those that somebody is at are left for the next time.
        let ids: Vec<Uuid> = user::Entity::find()
            .select_only()
            .column(user::Column::Id)
            .filter(user::Column::VerifiedAt.is_null().and(user::Column::CreatedAt.lt(before)))
            .filter(Expr::exists(attempts).not().and(Expr::exists(exams).not()))
            .order_by_asc(user::Column::CreatedAt)
            .limit(BATCH)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_tuple()
            .all(&tx)
            .await?;
        if ids.is_empty() {
            return Ok(0);
        }
        let changes: Vec<_> = ids.iter().map(|id| Change::Profile(UserId(*id))).collect();
        let count = user::Entity::delete_many().filter(user::Column::Id.is_in(ids)).exec(&tx).await?.rows_affected;
        self.db.commit(tx, &changes, now).await?;
        Ok(count)
    }
}

/// The account of an address, which nobody else changes until `tx` is over.
pub(crate) async fn lock_by_email(
    tx: &DatabaseTransaction,
    email: &EmailAddress,
) -> Result<Option<user::Model>, Error> {
    let key = user::Column::EmailKey.eq(email.canonical());
    Ok(user::Entity::find().filter(key).lock(LockType::NoKeyUpdate).one(tx).await?)
}

/// Returns an account whose address is not proven another password and, where it is given, what else a sign-up says.
pub(crate) async fn replace(
    tx: &DatabaseTransaction,
    row: user::Model,
    account: Option<&NewAccount>,
    password_hash: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let (id, version, sign_ups) = (row.id, row.version + 1, row.sign_ups.saturating_add(1));
    let mut row = row.into_active_model();
    if let Some(account) = account {
        row.email = Set(account.email.as_str().to_owned());
        row.name = Set(account.name.clone());
        row.locale = Set(account.locale.clone().map(String::from));
        row.created_at = Set(now.as_millis());
    }
    row.updated_at = Set(now.as_millis());
    row.password_hash = Set(password_hash.to_owned());
    row.version = Set(version);
    row.sign_ups = Set(sign_ups);
    row.update(tx).await?;
    sessions::revoke_all(tx, UserId(id), now).await
}
