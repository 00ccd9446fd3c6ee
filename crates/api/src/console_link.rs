//! `api console-link`: a link that logs in to the console once, for development.

use std::time::Duration;

use anyhow::Context;
use examhall_boot::settings::ApiSettings;
use examhall_core::{EmailAddress, Role};
use examhall_store::{NewAccount, NewMailToken, Store, TokenPurpose};

use crate::{
    auth::{Passwords, SecretToken},
    state::now,
};

/// How long the link is good.
const LIFE: Duration = Duration::from_mins(10);

/// Makes a link for the account of this address; where there is none, an administrator whose password nobody knows.
pub(crate) async fn make(settings: &ApiSettings, store: &Store, email: EmailAddress) -> anyhow::Result<String> {
    let user = if let Some(account) = store.accounts.by_email(&email).await? {
        account.id
    } else {
        let account = NewAccount {
            name: email.as_str().to_owned(),
            email,
            password_hash: Passwords::new()?.unusable().to_owned(),
            role: Role::Admin,
            verified: true,
            locale: None,
        };
        let made = store.accounts.create(&[account], now()).await?;
        made.first().copied().context("no account was made")?
    };
    let token = SecretToken::random();
    let kept = NewMailToken { hash: token.hash(), purpose: TokenPurpose::Console, expires_at: now().plus(LIFE) };
    store.accounts.add_token(user, &kept, now()).await?;
    let base = settings.public_url.as_str().trim_end_matches('/');
    Ok(format!("{base}/console/login?token={}", token.as_str()))
}
