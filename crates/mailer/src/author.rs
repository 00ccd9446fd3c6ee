//! The author of mails, as the settings say.

use std::sync::Arc;

use anyhow::Context;
use examhall_boot::settings::{DkimSettings, MailerSettings};
use secrecy::ExposeSecret;

use crate::{
    dkim::Signer,
    message::{Author, Staging, mailbox},
    return_path::ReturnPath,
};

/// Returns author, DKIM keys, return path, and where mails may go.
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
    let redirect_to = settings.redirect_to.as_deref().map(|to| mailbox("MAIL_REDIRECT_TO", to)).transpose()?;
    let staging = Staging::new(redirect_to, settings.allow.as_deref())?;
    Ok(Author { from, dkim, staging, return_path, is_for_postmark })
}
