//! Links that end mails about results, without a login (RFC 8058): signed, valid for as long as their
//! key is in `AUTH_SECRET`.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use examhall_boot::settings::AuthSecrets;
use examhall_core::UserId;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// Distinguishes these signatures from any other use of the same secret.
const PURPOSE: &[u8] = b"examhall unsubscribe from results, version 1";
/// Bytes of a user's id, which begins a token.
const ID_BYTES: usize = 16;

/// Makes and checks the tokens of the links.
pub(crate) struct UnsubscribeTokens {
    key: hmac::Key,
    /// Those that it replaces: they only verify.
    former: Vec<hmac::Key>,
}

impl UnsubscribeTokens {
    pub(crate) fn new(secrets: &AuthSecrets) -> Self {
        Self { key: key(secrets.signing()), former: secrets.all().skip(1).map(key).collect() }
    }

    /// Returns the token of a user: the same one each time.
    pub(crate) fn of(&self, user: UserId) -> String {
        let id = user.0.as_bytes();
        BASE64_URL_SAFE_NO_PAD.encode([id.as_slice(), hmac::sign(&self.key, id).as_ref()].concat())
    }

    /// Returns the user of a token; `None` if it is none of ours.
    pub(crate) fn open(&self, token: &str) -> Option<UserId> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (id, signature) = bytes.split_at_checked(ID_BYTES)?;
        let is_ours = |key: &hmac::Key| hmac::verify(key, id, signature).is_ok();
        std::iter::once(&self.key).chain(&self.former).any(is_ours).then_some(())?;
        Uuid::from_slice(id).ok().map(UserId)
    }
}

fn key(secret: &SecretString) -> hmac::Key {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes()), PURPOSE);
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_user_and_secret_alone() {
        let of = |secret: &str| UnsubscribeTokens::new(&AuthSecrets::from(SecretString::from(secret.repeat(32))));
        let (ours, other) = (of("a"), of("b"));
        let (ada, grace) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let token = ours.of(ada);
        assert_eq!((ours.open(&token), &ours.of(ada)), (Some(ada), &token));
        assert_eq!(other.open(&token), None);
        let of_grace = ours.of(grace);
        let mixed = of_grace[..22].to_owned() + &token[22..];
        for bad in
            ["", "x", &token[1..], &token[..token.len() - 1], &mixed, &(token.clone() + "A"), &token.to_uppercase()]
        {
            assert_eq!(ours.open(bad), None, "{bad}");
        }
    }
}
