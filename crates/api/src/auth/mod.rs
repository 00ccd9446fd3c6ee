//! Who somebody is, and what proves it.

mod access_token;
mod passwords;
pub(crate) mod revocations;
mod secret_token;

pub(crate) use access_token::{ACCESS_TOKEN_LIFE, AccessTokens};
pub(crate) use passwords::Passwords;
pub(crate) use secret_token::SecretToken;
