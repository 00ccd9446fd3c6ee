//! DKIM signatures (RFC 6376): RSA and Ed25519 (RFC 8463) with SHA-256, relaxed header and body.
//!
//! The signature contains no timestamp, so that it is the same at each attempt. Header fields are oversigned: their names
//! are listed once more than they occur, so that nobody can add another one to a signed mail (RFC 6376, section 8.15).

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};

/// Header fields that are signed, and oversigned even if they are absent (RFC 6376, section 5.4.1).
const OVERSIGNED: &[&str] = &[
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
/// Header fields that are signed and oversigned if they are present: a mailing list may add its own to a mail without.
const OVERSIGNED_IF_PRESENT: &[&str] = &[
    "sender",
    "in-reply-to",
    "references",
    "auto-submitted",
    "list-id",
    "list-help",
    "list-owner",
    "list-post",
    "list-subscribe",
    "list-unsubscribe",
    "list-unsubscribe-post",
];

/// Private keys, and the domain and selectors of their public keys.
pub(crate) struct Signer {
    keys: Vec<Key>,
    domain: String,
}

struct Key {
    pair: KeyPair,
    selector: String,
}

enum KeyPair {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why keys cannot be used. Contains nothing of them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadKey {
    /// The text is not PEM.
    #[error(
        "it must be private keys in PEM, as `openssl genrsa 2048` and `openssl genpkey -algorithm ed25519` write them"
    )]
    NotPem,
    /// The key is neither RSA nor Ed25519, or too short.
    #[error("it cannot be used: {0}")]
    Rejected(ring::error::KeyRejected),
    /// Each key is published under a name of its own.
    #[error("DKIM_SELECTOR must name as many selectors as there are keys: {keys} keys, {selectors} selectors")]
    Selectors {
        /// Keys in `DKIM_KEY`.
        keys: usize,
        /// Names in `DKIM_SELECTOR`.
        selectors: usize,
    },
}

impl Signer {
    /// Signs with each key in `pem`. `selectors` are separated by commas.
    pub(crate) fn new(pem: &str, domain: String, selectors: &str) -> Result<Self, BadKey> {
        let pairs = PrivateKeyDer::pem_slice_iter(pem.as_bytes())
            .map(|key| KeyPair::new(&key.map_err(|_| BadKey::NotPem)?))
            .collect::<Result<Vec<_>, _>>()?;
        if pairs.is_empty() {
            return Err(BadKey::NotPem);
        }
        let selectors: Vec<_> =
            selectors.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect();
        if pairs.len() != selectors.len() {
            return Err(BadKey::Selectors { keys: pairs.len(), selectors: selectors.len() });
        }
        let keys = pairs.into_iter().zip(selectors).map(|(pair, selector)| Key { pair, selector }).collect();
        Ok(Self { keys, domain })
    }

    /// Returns the `DKIM-Signature` fields for `mail`, one for each key, with their line ends.
    pub(crate) fn sign(&self, mail: &[u8]) -> String {
        let end = mail.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(mail.len());
        let (head, body) = (String::from_utf8_lossy(&mail[..end]), mail.get(end + 4..).unwrap_or_default());
        let fields = unfolded(&head);
        let names = signed_names(&fields);
        let signed = signed_fields(&fields, &names);
        let list = names.chunks(4).map(|names| names.join(":")).collect::<Vec<_>>().join(":\r\n  ");
        let body_hash = BASE64_STANDARD.encode(digest(&SHA256, &relaxed_body(body)));
        let signature = |key: &Key| {
            let unsigned = format!(
                "v=1; a={}; c=relaxed/relaxed;\r\n d={}; s={};\r\n h={};\r\n bh={body_hash};\r\n b=",
                key.pair.algorithm(),
                self.domain,
                key.selector,
                list,
            );
            let input = format!("{signed}dkim-signature:{}", relaxed(&unsigned));
            let signature = BASE64_STANDARD.encode(key.pair.sign(input.as_bytes()));
            let lines: Vec<_> = signature.as_bytes().chunks(72).map(String::from_utf8_lossy).collect();
            format!("DKIM-Signature: {unsigned}{}\r\n", lines.join("\r\n  "))
        };
        self.keys.iter().map(signature).collect()
    }
}

impl KeyPair {
    fn new(key: &PrivateKeyDer<'_>) -> Result<Self, BadKey> {
        match key {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).map(Self::Rsa),
            PrivateKeyDer::Pkcs8(key) => {
                let der = key.secret_pkcs8_der();
                let ed25519 = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
                ed25519.map(Self::Ed25519).or_else(|_| RsaKeyPair::from_pkcs8(der).map(Self::Rsa))
            }
            _ => return Err(BadKey::NotPem),
        }
        .map_err(BadKey::Rejected)
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa-sha256",
            Self::Ed25519(_) => "ed25519-sha256",
        }
    }

    fn sign(&self, input: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature)
                    .expect("the signature is as long as the modulus");
                signature
            }
            // The hash is signed (RFC 8463, section 3).
            Self::Ed25519(key) => key.sign(digest(&SHA256, input).as_ref()).as_ref().to_vec(),
        }
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let selectors: Vec<_> = self.keys.iter().map(|key| key.selector.as_str()).collect();
        write!(f, "Signer({}._domainkey.{})", selectors.join(","), self.domain)
    }
}

/// Returns the names of the tag `h`: each as often as the field occurs, and once more.
fn signed_names(fields: &[(String, String)]) -> Vec<&'static str> {
    let count = |name: &str| fields.iter().filter(|(field, _)| field == name).count();
    let always = OVERSIGNED.iter().map(|name| (*name, count(name) + 1));
    let present = OVERSIGNED_IF_PRESENT.iter().filter(|name| count(name) > 0).map(|name| (*name, count(name) + 1));
    always.chain(present).flat_map(|(name, count)| std::iter::repeat_n(name, count)).collect()
}

/// Returns the fields of these names as they are signed. Of several fields with one name the last one comes first
/// (RFC 6376, section 5.4.2), and a name without a further field stands for nothing.
fn signed_fields(fields: &[(String, String)], names: &[&str]) -> String {
    let mut signed = String::new();
    for (n, name) in names.iter().enumerate() {
        let before = names[..n].iter().filter(|earlier| *earlier == name).count();
        if let Some((name, value)) = fields.iter().rev().filter(|(field, _)| field == name).nth(before) {
            signed.extend([name, ":", value, "\r\n"]);
        }
    }
    signed
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
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut relaxed = Vec::with_capacity(body.len() + 2);
    let mut rest = body;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|two| two == b"\r\n");
        let (line, after) = end.map_or((rest, &rest[rest.len()..]), |end| (&rest[..end], &rest[end + 2..]));
        let start = relaxed.len();
        for byte in line {
            match byte {
                b' ' | b'\t' if relaxed.len() > start && relaxed.ends_with(b" ") => {}
                b' ' | b'\t' => relaxed.push(b' '),
                byte => relaxed.push(*byte),
            }
        }
        if relaxed.len() > start && relaxed.ends_with(b" ") {
            relaxed.pop();
        }
        relaxed.extend_from_slice(b"\r\n");
        rest = after;
    }
    while relaxed == b"\r\n" || relaxed.ends_with(b"\r\n\r\n") {
        relaxed.truncate(relaxed.len() - 2);
    }
    relaxed
}

#[cfg(test)]
mod tests;
