//! DKIM signatures (RFC 6376): RSA with SHA-256, relaxed header and body.
//!
//! The signature contains no timestamp, so that it is the same at each attempt.

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};

/// Header fields that are signed if present (RFC 6376, section 5.4.1).
const SIGNED: &[&str] = &[
    "from",
    "reply-to",
    "subject",
    "date",
    "to",
    "cc",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];

/// A private key, and the domain and selector of its public key.
pub(crate) struct Signer {
    key: RsaKeyPair,
    domain: String,
    selector: String,
}

/// Why a key cannot be used. Contains nothing of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadKey {
    /// The text is not PEM.
    #[error("it must be an RSA private key in PEM, as `openssl genrsa 2048` writes it")]
    NotPem,
    /// The key is not RSA, or too short.
    #[error("it cannot be used: {0}")]
    Rejected(ring::error::KeyRejected),
}

impl Signer {
    pub(crate) fn new(pem: &str, domain: String, selector: String) -> Result<Self, BadKey> {
        let key = match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| BadKey::NotPem)? {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(BadKey::NotPem),
        };
        Ok(Self { key: key.map_err(BadKey::Rejected)?, domain, selector })
    }

    /// Returns the `DKIM-Signature` field for `mail`, with its line end.
    pub(crate) fn sign(&self, mail: &[u8]) -> String {
        let text = String::from_utf8_lossy(mail);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let fields = unfolded(head);
        let signed: Vec<_> = SIGNED.iter().filter_map(|name| fields.iter().find(|(field, _)| field == name)).collect();
        let names: Vec<_> = signed.iter().map(|(name, _)| name.as_str()).collect();
        let body_hash = BASE64_STANDARD.encode(digest(&SHA256, relaxed_body(body).as_bytes()));
        let unsigned = format!(
            "v=1; a=rsa-sha256; c=relaxed/relaxed; d={}; s={};\r\n h={};\r\n bh={body_hash};\r\n b=",
            self.domain,
            self.selector,
            names.join(":"),
        );
        let own = format!("dkim-signature:{}", relaxed(&unsigned));
        let input: Vec<_> = signed.iter().map(|(name, value)| format!("{name}:{value}\r\n")).chain([own]).collect();
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.concat().as_bytes(), &mut signature)
            .expect("the signature is as long as the modulus");
        let signature = BASE64_STANDARD.encode(signature);
        let lines: Vec<_> = signature.as_bytes().chunks(72).map(String::from_utf8_lossy).collect();
        format!("DKIM-Signature: {unsigned}{}\r\n", lines.join("\r\n  "))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({}._domainkey.{})", self.selector, self.domain)
    }
}

/// Returns the header fields with lower-case names and relaxed values (RFC 6376, section 3.4.2).
fn unfolded(head: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        match line.split_once(':') {
            Some((name, value)) if !line.starts_with([' ', '\t']) => {
                fields.push((name.trim_end().to_lowercase(), value.to_owned()));
            }
            _ => {
                if let Some((_, value)) = fields.last_mut() {
                    value.push_str(line);
                }
            }
        }
    }
    fields.into_iter().map(|(name, value)| (name, relaxed(&value))).collect()
}

/// Collapses white space to one space, and trims the ends.
fn relaxed(text: &str) -> String {
    text.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Relaxes a body (RFC 6376, section 3.4.4): collapses white space, trims line ends, drops empty lines at the end.
fn relaxed_body(body: &str) -> String {
    let mut text = String::with_capacity(body.len());
    for line in body.split("\r\n") {
        let indent = if line.starts_with([' ', '\t']) && !line.trim_matches([' ', '\t']).is_empty() { " " } else { "" };
        text.push_str(indent);
        text.push_str(&line.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "));
        text.push_str("\r\n");
    }
    text.truncate(text.trim_end_matches("\r\n").len());
    if !text.is_empty() {
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_body_are_relaxed_as_in_the_rfc() {
        let fields = unfolded("A: X\r\nB : Y\t\r\n\tZ  ");
        assert_eq!(fields, [("a".to_owned(), "X".to_owned()), ("b".to_owned(), "Y Z".to_owned())]);
        assert_eq!(relaxed_body(" C \r\nD \t E\r\n\r\n\r\n"), " C\r\nD E\r\n");
        assert_eq!(relaxed_body("\r\n\r\n"), "");
        assert_eq!(relaxed_body("x"), "x\r\n");
    }

    #[test]
    fn invalid_key_is_refused_without_being_shown() {
        let error = Signer::new("hunter2", "x.example".into(), "mail".into()).expect_err("must be refused");
        assert!(!error.to_string().contains("hunter2"));
    }
}
