//! Login with the password of an account, for the API and for the console: the same limits, the same answer.

use std::{net::IpAddr, time::Duration};

use examhall_core::AccountName;
use examhall_store::{Account, NewSession, SessionKind};

use crate::{
    auth::SecretToken,
    http::{client::network, problem::Problem},
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
    if !account.verified {
        return Err(Problem::forbidden(
            "confirm your e-mail address first: we sent you a link; sign up again to get a new one",
        ));
    }
    Ok(account)
}

/// Begins a session of an account that has proven who it is; returns its token.
///
/// # Errors
/// 401 where the account's password was changed meanwhile.
pub(crate) async fn begin(
    state: &State,
    account: &Account,
    client: IpAddr,
    kind: SessionKind,
    life: Duration,
) -> Result<SecretToken, Problem> {
    let (token, now) = (SecretToken::random(), now());
    let session = NewSession {
        user: account.id,
        password_hash: account.password_hash.clone(),
        token_hash: token.hash(),
        expires_at: now.plus(life),
        network: network(client).to_string(),
        kind,
    };
    let is_begun = state.store.accounts.begin_session(&session, now).await?;
    is_begun.then_some(token).ok_or_else(wrong_password)
}

fn wrong_password() -> Problem {
    Problem::unauthorized("no account has this address and this password")
}
