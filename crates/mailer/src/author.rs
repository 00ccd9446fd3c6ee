//! The author of mails, as the settings say.

use std::sync::Arc;

use anyhow::Context;
use examhall_boot::settings::{DkimSettings, MailerSettings};
use secrecy::ExposeSecret;

use crate::{
    dkim::Signer,
    message::{Author, mailbox},
    return_path::ReturnPath,
};

/// Returns author, DKIM keys and return path.
///
/// # Errors
/// Returns an error that names an invalid setting.
pub(crate) fn author(settings: &MailerSettings) -> anyhow::Result<Author> {
    let from =
        mailbox("MAIL_FROM", &settings.mail_from).context("MAIL_FROM must be like Examhall <no-reply@example.com>")?;
    let signer = |dkim: &DkimSettings| {
        let domain = match &dkim.domain {
            Some(domain) => url::Host::parse(domain).context("DKIM_DOMAIN")?.to_string(),
            None => from.email.domain().to_owned(),
        };
        Signer::new(dkim.key.expose_secret(), domain, &dkim.selector).context("DKIM_KEY").map(Arc::new)
    };
    let dkim = settings.dkim.as_ref().map(signer).transpose()?;
    let return_path = settings.return_path.as_deref().map(ReturnPath::parse).transpose().context("MAIL_RETURN_PATH")?;
    let is_for_postmark = settings.smtp_url.expose_secret().contains("postmarkapp.com");
    Ok(Author { from, dkim, return_path, is_for_postmark })
}
