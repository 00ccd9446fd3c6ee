//! How the mailer proves to a server who it is: by a password, or by access tokens.

use std::time::Duration;

use super::{
    error::Phase,
    login::{Credentials, Proof},
    oauth::{TokenError, TokenSource},
};

/// A way to log in.
pub(super) enum Access {
    /// By a password, which stays the same.
    Password(Credentials),
    /// By an access token, which ends after an hour or so.
    Tokens {
        /// The mailbox that sends.
        user: String,
        /// Where its tokens come from.
        source: Box<TokenSource>,
    },
}

impl Access {
    /// What the next login is made with; a token is requested within `limit`.
    pub(super) async fn credentials(&self, limit: Duration) -> Result<Credentials, TokenError> {
        match self {
            Self::Password(credentials) => Ok(credentials.clone()),
            Self::Tokens { user, source } => {
                Ok(with_token(user, Proof::Token(Phase::Token.timed(source.token(limit)).await?)))
            }
        }
    }

    /// The same with another token than the one that was refused; `None` if there can be no other.
    pub(super) async fn renewed(
        &self,
        refused: &Credentials,
        limit: Duration,
    ) -> Option<Result<Credentials, TokenError>> {
        match (self, &refused.proof) {
            (Self::Tokens { user, source }, Proof::Token(token)) => {
                let renewed = Phase::Token.timed(source.renewed(token, limit)).await;
                Some(renewed.map(|token| with_token(user, Proof::Token(token))))
            }
            _ => None,
        }
    }
}

fn with_token(user: &str, proof: Proof) -> Credentials {
    Credentials { user: user.to_owned(), proof }
}
