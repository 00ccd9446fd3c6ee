//! Who somebody is, and what proves it.

mod access_token;
mod passwords;
pub(crate) mod revocations;
mod secret_token;

use std::time::Duration;

pub(crate) use access_token::{AccessTokens, Bearer};
pub(crate) use passwords::Passwords;
pub(crate) use secret_token::SecretToken;

/// How long an access token is good for.
pub(crate) const ACCESS_TOKEN_LIFE: Duration = Duration::from_mins(15);
