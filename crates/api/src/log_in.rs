//! Login with the password of an account, for the API and for the console: the same limits, the same answer.

use std::{net::IpAddr, time::Duration};

use examhall_core::{AccountName, UserId};
use examhall_store::{Account, NewSession, SessionKind};
use uuid::Uuid;

use crate::{
    auth::SecretToken,
    http::{
        client::network,
        problem::{FieldError, Problem},
    },
    state::{State, now},
};

/// Returns the account of this name, if the password is its own and its address is proven.
///
/// # Errors
/// 401 where it is not, 403 where the address is not proven, 429 after too many tries.
pub(crate) async fn authenticate(
    state: &State,
    client: IpAddr,
    name: &AccountName,
    password: String,
) -> Result<Account, Problem> {
    let mut guess = state.limits.log_in(client, name.address()).await?;
    let account = state.store.accounts.by_email(name).await?;
    if let Err(refused) = state.limits.log_in_by_all(name.address(), &mut guess).await {
        // Guesses from everywhere must not lock the owner out.
        let from = network(client).to_string();
        let is_known = match &account {
            Some(account) => state.store.accounts.has_logged_in_from(account.id, &from, now()).await?,
            None => false,
        };
        if !is_known {
            return Err(refused);
        }
    }
    let phc = account.as_ref().map(|account| account.password_hash.clone());
    let is_right = state.passwords.verify(client, password, phc).await?;
    let account = account.filter(|_| is_right).ok_or_else(wrong_password)?;
    state.limits.was_right(guess).await;
    if account.locked_at.is_some() {
        return Err(Problem::forbidden("this account is locked: ask an administrator"));
    }
    if !account.verified {
        return Err(Problem::forbidden(
            "confirm your e-mail address first: we sent you a link; sign up again to get a new one",
        ));
    }
    Ok(account)
}

/// A session that was begun.
pub(crate) struct Begun {
    /// What it is named by.
    pub(crate) id: Uuid,
    /// Refresh token, or what the cookie holds.
    pub(crate) token: SecretToken,
}

/// Returns the account of somebody who has logged in, to change what only its owner may. The body's field `pointer` holds
/// their password.
///
/// # Errors
/// 422 where the password is not the account's, 429 after too many tries.
pub(crate) async fn prove(
    state: &State,
    client: IpAddr,
    user: UserId,
    password: String,
    pointer: &str,
) -> Result<Account, Problem> {
    let account = state.store.accounts.get(user).await?.value;
    let guess = state.limits.log_in(client, &account.email).await?;
    let is_right = state.passwords.verify(client, password, Some(account.password_hash.clone())).await?;
    if !is_right {
        let detail = "is not the account's password".to_owned();
        return Err(Problem::invalid(vec![FieldError { pointer: pointer.to_owned(), detail }]));
    }
    state.limits.was_right(guess).await;
    Ok(account)
}

/// Begins a session of an account that has proven who it is; returns it.
///
/// # Errors
/// 401 where the account's password was changed meanwhile.
pub(crate) async fn begin(
    state: &State,
    account: &Account,
    client: IpAddr,
    kind: SessionKind,
    life: Duration,
) -> Result<Begun, Problem> {
    let (id, token, now) = (Uuid::now_v7(), SecretToken::random(), now());
    let session = NewSession {
        id,
        user: account.id,
        password_hash: account.password_hash.clone(),
        token_hash: token.hash(),
        expires_at: now.plus(life),
        network: network(client).to_string(),
        kind,
    };
    let is_begun = state.store.accounts.begin_session(&session, now).await?;
    is_begun.then_some(Begun { id, token }).ok_or_else(wrong_password)
}

fn wrong_password() -> Problem {
    Problem::unauthorized("no account has this address and this password")
}
