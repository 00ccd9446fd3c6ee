//! Keeps secrets of mails that wait in the database: ChaCha20-Poly1305 (RFC 8439) under a key made of `AUTH_SECRET`.

use examhall_boot::settings::AuthSecrets;
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
    rand::{SecureRandom, SystemRandom},
};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// Makes this key another one than that of any other use of the same secret.
const PURPOSE: &[u8] = b"examhall mail outbox, version 1";

pub(super) struct Seal {
    key: LessSafeKey,
    /// Those that it replaces: they only open.
    former: Vec<LessSafeKey>,
}

/// Sealed under another `AUTH_SECRET`, for another mail, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("the sealed part of the mail cannot be opened: was AUTH_SECRET changed?")]
pub(crate) struct CannotOpen;

impl Seal {
    pub(super) fn new(secrets: &AuthSecrets) -> Self {
        Self { key: key(secrets.signing()), former: secrets.all().skip(1).map(key).collect() }
    }

    /// Seals `secret` for the mail `id`.
    pub(super) fn close(&self, id: Uuid, secret: &str) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).expect("the system has random numbers");
        let mut sealed = secret.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(id.as_bytes()), &mut sealed)
            .expect("a mail's secret is far shorter than the cipher's limit");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Opens what was sealed for the mail `id`.
    pub(super) fn open(&self, id: Uuid, sealed: &[u8]) -> Result<String, CannotOpen> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(CannotOpen)?;
        let nonce: [u8; NONCE_LEN] = nonce.try_into().map_err(|_| CannotOpen)?;
        let open = |key: &LessSafeKey| {
            let (mut sealed, nonce) = (sealed.to_vec(), Nonce::assume_unique_for_key(nonce));
            let opened = key.open_in_place(nonce, Aad::from(id.as_bytes()), &mut sealed).ok()?;
            String::from_utf8(opened.to_vec()).ok()
        };
        std::iter::once(&self.key).chain(&self.former).find_map(open).ok_or(CannotOpen)
    }
}

fn key(secret: &SecretString) -> LessSafeKey {
    let mut key = [0; 32];
    Salt::new(HKDF_SHA256, &[])
        .extract(secret.expose_secret().as_bytes())
        .expand(&[PURPOSE], HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .expect("HKDF-SHA256 gives 32 bytes");
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).expect("the key has the cipher's length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secret: &str) -> Seal {
        Seal::new(&AuthSecrets::from(SecretString::from(secret.repeat(32))))
    }

    #[test]
    fn only_the_same_secret_opens_it_and_only_for_the_same_mail() {
        let (seal, other) = (seal("a"), seal("b"));
        let (mine, yours) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = seal.close(mine, "token");
        assert_eq!(seal.open(mine, &sealed).expect("opens"), "token");
        assert!(other.open(mine, &sealed).is_err());
        assert!(seal.open(yours, &sealed).is_err());
        assert!(seal.open(mine, &sealed[..20]).is_err());
        assert!(seal.open(mine, &[]).is_err());
    }

    #[test]
    fn the_same_secret_is_sealed_differently_each_time() {
        let seal = seal("a");
        assert_ne!(seal.close(Uuid::nil(), "token"), seal.close(Uuid::nil(), "token"));
    }
}
