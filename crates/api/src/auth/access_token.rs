//! Access tokens: JWTs (RFC 7519) signed with HS256 (RFC 7518), checked without Redis and without the database.

use std::sync::{Arc, Once};

use examhall_boot::settings::AuthSecrets;
use examhall_core::{Role, Timestamp, UserId, Viewer};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
};
use moka::sync::Cache;
use ring::hmac;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use signature::{Signer, Verifier};
use uuid::Uuid;

use super::{
    ACCESS_TOKEN_LIFE,
    revocations::{Issue, Revocations},
};

/// Verified tokens that are remembered; about 5 MB.
const MOST_REMEMBERED: u64 = 10_000;

/// Makes and checks access tokens.
pub(crate) struct AccessTokens {
    encoding: EncodingKey,
    /// The first one is of the key that signs.
    decoding: Vec<DecodingKey>,
    validation: Validation,
    /// Tokens that were verified: a student sends one with every request, for a quarter of an hour.
    verified: Cache<Box<str>, Verified>,
    revocations: Arc<Revocations>,
}

/// What a token of ours says.
#[derive(Clone, Copy)]
struct Verified {
    bearer: Bearer,
    /// Seconds since 1970.
    expiry: i64,
    issue: Issue,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: UserId,
    role: Role,
    /// Seconds since 1970.
    iat: i64,
    /// Seconds since 1970.
    exp: i64,
    /// The account's generation of access tokens; none in those of earlier releases.
    #[serde(rename = "gen", default)]
    generation: Option<i64>,
    /// The session; none in those of earlier releases.
    #[serde(rename = "sid", default)]
    session: Option<Uuid>,
}

/// What a token says of its bearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) viewer: Viewer,
    /// The session that it was issued in.
    pub(crate) session: Option<Uuid>,
}

impl AccessTokens {
    pub(crate) fn new(secrets: &AuthSecrets, revocations: Arc<Revocations>) -> Self {
        install_hs256();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false; // checked below, by the clock that the rest of the application has
        validation.required_spec_claims = ["exp".to_owned()].into();
        Self {
            encoding: EncodingKey::from_secret(secrets.signing().expose_secret().as_bytes()),
            decoding: secrets.all().map(|one| DecodingKey::from_secret(one.expose_secret().as_bytes())).collect(),
            validation,
            verified: Cache::builder().max_capacity(MOST_REMEMBERED).time_to_live(ACCESS_TOKEN_LIFE).build(),
            revocations,
        }
    }

    /// A token for an account that is at `generation`, in a session.
    pub(crate) fn issue(&self, bearer: Bearer, generation: i64, now: Timestamp) -> Result<String, Error> {
        let seconds = now.as_millis().div_euclid(1000);
        let life = i64::try_from(ACCESS_TOKEN_LIFE.as_secs()).unwrap_or(0);
        let generation = Some(generation);
        let Bearer { viewer, session } = bearer;
        let claims =
            Claims { sub: viewer.id, role: viewer.role, iat: seconds, exp: seconds + life, generation, session };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
    }

    /// Returns whose token it is, if it is one of ours, its time is not over, and it is not revoked.
    pub(crate) fn check(&self, token: &str, now: Timestamp) -> Option<Bearer> {
        let Verified { bearer, expiry, issue } = self.verified.get(token).or_else(|| self.verify(token))?;
        let is_over = expiry <= now.as_millis().div_euclid(1000);
        (!is_over && !self.revocations.refuses(bearer.viewer.id, bearer.session, issue)).then_some(bearer)
    }

    fn verify(&self, token: &str) -> Option<Verified> {
        let decode = |key| jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok();
        let claims = self.decoding.iter().find_map(decode)?.claims;
        let verified = Verified {
            bearer: Bearer { viewer: Viewer { id: claims.sub, role: claims.role }, session: claims.session },
            expiry: claims.exp,
            issue: Issue { generation: claims.generation, at: claims.iat },
        };
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
    use std::time::Duration;

    use examhall_store::Revocation;
    use secrecy::SecretString;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_424_400_000);

    fn tokens(secret: &str) -> AccessTokens {
        AccessTokens::new(&AuthSecrets::from(SecretString::from(secret)), Arc::default())
    }

    fn ada() -> Bearer {
        Bearer { viewer: Viewer { id: UserId(Uuid::nil()), role: Role::Author }, session: None }
    }

    #[test]
    fn a_token_names_its_bearer_until_its_time_is_over() {
        let tokens = tokens("0123456789abcdef0123456789abcdef");
        let token = tokens.issue(ada(), 0, NOW).expect("issued");
        assert_eq!(tokens.check(&token, NOW), Some(ada()));
        assert_eq!(tokens.check(&token, NOW.plus(Duration::from_secs(899))), Some(ada()));
        assert_eq!(tokens.check(&token, NOW.plus(ACCESS_TOKEN_LIFE)), None);
    }

    #[test]
    fn a_token_that_was_verified_once_ends_all_the_same() {
        let tokens = tokens("0123456789abcdef0123456789abcdef");
        let token = tokens.issue(ada(), 0, NOW).expect("issued");
        for (after, expected) in [(0, Some(ada())), (899, Some(ada())), (900, None), (0, Some(ada()))] {
            assert_eq!(tokens.check(&token, NOW.plus(Duration::from_secs(after))), expected, "{after} s");
        }
        assert_eq!(tokens.check(&format!("{token}x"), NOW), None);
    }

    #[test]
    fn a_token_of_another_secret_or_algorithm_or_changed_is_refused() {
        let tokens = tokens("0123456789abcdef0123456789abcdef");
        let foreign = self::tokens("fedcba9876543210fedcba9876543210").issue(ada(), 0, NOW).expect("issued");
        assert_eq!(tokens.check(&foreign, NOW), None);
        let token = tokens.issue(ada(), 0, NOW).expect("issued");
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

    #[test]
    fn revoked_generation_is_refused_and_a_later_one_is_not() {
        let tokens = tokens("0123456789abcdef0123456789abcdef");
        let [old, new] = [2, 3].map(|generation| tokens.issue(ada(), generation, NOW).expect("issued"));
        let accepted = || [&old, &new].map(|token| tokens.check(token, NOW).is_some());
        assert_eq!(accepted(), [true, true]);
        let at = NOW.as_millis();
        let revoke = |min_generation| vec![Revocation { user: ada().viewer.id, min_generation, at }];
        tokens.revocations.replace(vec![Revocation { user: UserId(Uuid::max()), min_generation: 9, at }]);
        assert_eq!(accepted(), [true, true], "somebody else's");
        tokens.revocations.replace(revoke(3));
        assert_eq!(accepted(), [false, true]);
        tokens.revocations.replace(revoke(i64::MAX));
        assert_eq!(accepted(), [false, false], "deleted");
        tokens.revocations.replace(Vec::new());
        assert_eq!(accepted(), [true, true]);
    }

    #[test]
    fn tokens_of_an_ended_session_are_refused_alone() {
        let tokens = tokens("0123456789abcdef0123456789abcdef");
        let [ended, other] = [1, 2].map(|n| Bearer { session: Some(Uuid::from_u128(n)), ..ada() });
        let [of_ended, of_other] = [ended, other].map(|bearer| tokens.issue(bearer, 3, NOW).expect("issued"));
        let at = NOW.as_millis();
        let user = UserId(Uuid::from_u128(1));
        tokens.revocations.replace(vec![Revocation { user, min_generation: i64::MAX, at }]);
        assert_eq!((tokens.check(&of_ended, NOW), tokens.check(&of_other, NOW)), (None, Some(other)));
    }

    #[test]
    fn token_without_a_generation_is_refused_by_its_time() {
        let tokens = tokens("0123456789abcdef0123456789abcdef");
        let seconds = NOW.as_millis() / 1000;
        let claims = |iat| Claims {
            sub: ada().viewer.id,
            role: Role::Author,
            iat,
            exp: seconds + 900,
            generation: None,
            session: None,
        };
        let token = |iat| jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(iat), &tokens.encoding);
        tokens.revocations.replace(vec![Revocation { user: ada().viewer.id, min_generation: 3, at: NOW.as_millis() }]);
        let accepted = [-1, 0, 1].map(|after| tokens.check(&token(seconds + after).expect("issued"), NOW).is_some());
        assert_eq!(accepted, [false, false, true]);
    }
}
