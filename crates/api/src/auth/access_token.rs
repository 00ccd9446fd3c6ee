//! Access tokens: JWTs (RFC 7519) signed with HS256 (RFC 7518), checked without Redis and without the database.

use std::{sync::Once, time::Duration};

use examhall_core::{Role, Timestamp, UserId, Viewer};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
};
use moka::sync::Cache;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use signature::{Signer, Verifier};

/// How long an access token is good for.
pub(crate) const ACCESS_TOKEN_LIFE: Duration = Duration::from_mins(15);

/// Verified tokens that are remembered; about 5 MB.
const MOST_REMEMBERED: u64 = 10_000;

/// Makes and checks access tokens.
pub(crate) struct AccessTokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    /// Tokens that were verified: a student sends one with every request, for a quarter of an hour.
    verified: Cache<Box<str>, (Viewer, i64)>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: UserId,
    role: Role,
    /// Seconds since 1970.
    iat: i64,
    /// Seconds since 1970.
    exp: i64,
}

impl AccessTokens {
    pub(crate) fn new(secret: &SecretString) -> Self {
        install_hs256();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false; // checked below, by the clock that the rest of the application has
        validation.required_spec_claims = ["exp".to_owned()].into();
        Self {
            encoding: EncodingKey::from_secret(secret.expose_secret().as_bytes()),
            decoding: DecodingKey::from_secret(secret.expose_secret().as_bytes()),
            validation,
            verified: Cache::builder().max_capacity(MOST_REMEMBERED).time_to_live(ACCESS_TOKEN_LIFE).build(),
        }
    }

    pub(crate) fn issue(&self, viewer: Viewer, now: Timestamp) -> Result<String, Error> {
        let seconds = now.as_millis().div_euclid(1000);
        let life = i64::try_from(ACCESS_TOKEN_LIFE.as_secs()).unwrap_or(0);
        let claims = Claims { sub: viewer.id, role: viewer.role, iat: seconds, exp: seconds + life };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
    }

    /// Whose token it is, if it is one of ours and its time is not over.
    pub(crate) fn check(&self, token: &str, now: Timestamp) -> Option<Viewer> {
        let (viewer, expiry) = self.verified.get(token).or_else(|| self.verify(token))?;
        let is_over = expiry <= now.as_millis().div_euclid(1000);
        (!is_over).then_some(viewer)
    }

    fn verify(&self, token: &str) -> Option<(Viewer, i64)> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation).ok()?.claims;
        let verified = (Viewer { id: claims.sub, role: claims.role }, claims.exp);
        self.verified.insert(token.into(), verified);
        Some(verified)
    }
}

/// jsonwebtoken's own providers bring a vulnerable `rsa` or a second TLS library: this one has HS256 alone, by `ring`.
fn install_hs256() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| match algorithm {
            Algorithm::HS256 => Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        },
        verifier_factory: |algorithm, key| match algorithm {
            Algorithm::HS256 => Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.try_get_as_bytes()?)))),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        if PROVIDER.install_default().is_err() {
            tracing::warn!("another provider of jsonwebtoken is installed");
        }
    });
}

struct Hs256(hmac::Key);

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.0, message, tag).map_err(|_| signature::Error::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_424_400_000);

    fn tokens(secret: &str) -> AccessTokens {
        AccessTokens::new(&SecretString::from(secret))
    }

    fn ada() -> Viewer {
        Viewer { id: UserId(uuid::Uuid::nil()), role: Role::Author }
    }

    #[test]
    fn a_token_names_its_bearer_until_its_time_is_over() {
        let tokens = tokens("0123456789abcdef0123456789abcdef");
        let token = tokens.issue(ada(), NOW).expect("issued");
        assert_eq!(tokens.check(&token, NOW), Some(ada()));
        assert_eq!(tokens.check(&token, NOW.plus(Duration::from_secs(899))), Some(ada()));
        assert_eq!(tokens.check(&token, NOW.plus(ACCESS_TOKEN_LIFE)), None);
    }

    #[test]
    fn a_token_that_was_verified_once_ends_all_the_same() {
        let tokens = tokens("0123456789abcdef0123456789abcdef");
        let token = tokens.issue(ada(), NOW).expect("issued");
        for (after, expected) in [(0, Some(ada())), (899, Some(ada())), (900, None), (0, Some(ada()))] {
            assert_eq!(tokens.check(&token, NOW.plus(Duration::from_secs(after))), expected, "{after} s");
        }
        assert_eq!(tokens.check(&format!("{token}x"), NOW), None);
    }

    #[test]
    fn a_token_of_another_secret_or_algorithm_or_changed_is_refused() {
        let tokens = tokens("0123456789abcdef0123456789abcdef");
        let foreign = self::tokens("fedcba9876543210fedcba9876543210").issue(ada(), NOW).expect("issued");
        assert_eq!(tokens.check(&foreign, NOW), None);
        let token = tokens.issue(ada(), NOW).expect("issued");
        let [_, claims, tag] = <[&str; 3]>::try_from(token.split('.').collect::<Vec<_>>()).expect("three parts");
        let none = "eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0"; // {"typ":"JWT","alg":"none"}
        for bad in [format!("{none}.{claims}."), format!("{none}.{claims}.{tag}"), token[..token.len() - 4].to_owned()]
        {
            assert_eq!(tokens.check(&bad, NOW), None, "{bad}");
        }
    }

    #[test]
    fn a_token_that_another_implementation_made_is_understood() {
        // By Python's hmac, of {"alg":"HS256","typ":"JWT"} and the four claims.
        let token = concat!(
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
            "eyJzdWIiOiIwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDAiLCJyb2xlIjoiYXV0aG9yIiwiaWF0IjoxNzk1NDI0NDAwLCJleHAiOjE3OTU0MjUzMDB9.",
            "t1SVAV6fmhup6ne-rT8mM0bszLJgUsbJygFViS_kVtY",
        );
        assert_eq!(tokens("0123456789abcdef0123456789abcdef").check(token, NOW), Some(ada()));
    }
}
