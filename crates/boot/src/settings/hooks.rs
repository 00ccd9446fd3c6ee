//! Settings of the hooks that providers report bounces to, and of the suppression list.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::SecretString;

use super::{SettingsError, Values};

/// `MAIL_HOOK_*`: a hook without its setting is off.
#[derive(Clone, Debug, Default)]
pub struct HookSettings {
    /// `MAIL_HOOK_SES_TOPICS`.
    pub ses_topics: Vec<String>,
    /// `MAIL_HOOK_POSTMARK_LOGIN`: `user:password`.
    pub postmark_login: Option<SecretString>,
    /// `MAIL_HOOK_RESEND_SECRET`: the keys, decoded.
    pub resend_keys: Vec<SecretKey>,
    /// `MAIL_HOOK_MAILGUN_KEY`.
    pub mailgun_keys: Vec<SecretKey>,
}

/// Key of a signature (HMAC). Its `Debug` shows nothing.
#[derive(Clone)]
pub struct SecretKey(Vec<u8>);

/// `MAIL_SUPPRESSION_DAYS` and `MAIL_SUPPRESSIONS_PER_MINUTE`.
#[derive(Clone, Copy, Debug)]
pub struct SuppressionSettings {
    /// How long an address stays suppressed that no operator has suppressed.
    pub lifetime: Duration,
    /// Largest number of addresses that one source may suppress within a minute.
    pub per_minute: u32,
}

impl SecretKey {
    /// The key's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl HookSettings {
    /// Checks the settings.
    ///
    /// # Errors
    /// Returns an error that names the invalid one.
    pub fn checked(values: &Values) -> Result<Self, SettingsError> {
        let topic = |text: &str| text.starts_with("arn:").then(|| text.to_owned());
        let svix = |text: &str| {
            let key = BASE64_STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok()?;
            (!key.is_empty()).then_some(SecretKey(key))
        };
        let login = values.get("MAIL_HOOK_POSTMARK_LOGIN").map(|login| match login.split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => Ok(SecretString::from(login)),
            _ => Err(values.malformed("MAIL_HOOK_POSTMARK_LOGIN", "user:password")),
        });
        Ok(Self {
            ses_topics: values.list(
                "MAIL_HOOK_SES_TOPICS",
                "ARNs like arn:aws:sns:eu-west-1:123456789012:mail",
                topic,
            )?,
            postmark_login: login.transpose()?,
            resend_keys: values.list("MAIL_HOOK_RESEND_SECRET", "a secret like whsec_ and base64", svix)?,
            mailgun_keys: values
                .list("MAIL_HOOK_MAILGUN_KEY", "a key", |text| Some(SecretKey(text.as_bytes().to_vec())))?,
        })
    }
}

impl SuppressionSettings {
    pub(super) fn checked(values: &Values) -> Result<Self, SettingsError> {
        let days = values.number("MAIL_SUPPRESSION_DAYS", 1..=3650)?;
        let per_minute = values.number("MAIL_SUPPRESSIONS_PER_MINUTE", 1..=1_000_000)?;
        Ok(Self {
            lifetime: Duration::from_secs(days * 24 * 3600),
            per_minute: u32::try_from(per_minute).unwrap_or(u32::MAX),
        })
    }
}
