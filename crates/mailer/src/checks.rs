//! `mailer check` and `mailer send-test`: checks of the dependencies, without the queue.

use anyhow::anyhow;
use examhall_boot::check::{self, Check, Report, State};
use examhall_core::EmailJob;
use examhall_queue::{INSPECTIONS, Suitability};
use secrecy::ExposeSecret;

use crate::{
    app::Mailer,
    clock::now,
    message::{Addresses, Identity, prepare},
    smtp::{DeliveryError, EhloName, Phase, Provider},
};

/// The name that the mailer gives itself.
const EHLO_NAME: Check = Check {
    name: "EHLO name",
    fix: "many servers refuse a name that is not fully qualified: set SMTP_EHLO_NAME to the name that DNS has for this \
          machine's address",
};
/// The login at a mail server.
const SMTP_LOGIN: Check = Check {
    name: "SMTP login",
    fix: "fix user and password: check SMTP_URL (percent-encode both); some providers need a password for this \
          application alone. With auth=xoauth2 the mailbox must allow SMTP AUTH, and the application must be allowed to send \
          for it: see docs/mailer.md",
};
/// The access token of a login.
const SMTP_TOKEN: Check = Check {
    name: "SMTP token",
    fix: "invalid_client: put a new client secret into SMTP_URL or its client_secret_file; invalid_grant: a new refresh token; \
          invalid_scope, unauthorized_client or a status: fix client_id, scope, tenant and token_url. If the token server does \
          not answer, let this machine reach it by HTTPS",
};
/// Its certificate.
const SMTP_TLS: Check = Check {
    name: "SMTP TLS",
    fix: "use the host name of the certificate, or name its authority with ca=FILE: check SMTP_URL \
          (smtps:// for port 465, smtp:// for 587)",
};
/// Everything else of the dialogue.
const SMTP: Check =
    Check { name: "SMTP dialogue", fix: "ask the provider what its reply means, and whether this machine may send" };
/// Whether mails reach everybody.
const STAGING: Check = Check {
    name: "staging",
    fix: "where mails are to reach everybody, remove MAIL_REDIRECT_TO and MAIL_ALLOW from the settings",
};
/// The folder that is used in place of a server.
const FOLDER: Check = Check { name: "mail folder", fix: "let SMTP_URL name a writable folder: file:DIR" };

/// All checks of `mailer check`.
pub(crate) fn all() -> impl Iterator<Item = Check> {
    let redis = INSPECTIONS.iter().map(|one| Check { name: one.name, fix: one.fix });
    check::COMMON.into_iter().chain(redis).chain([EHLO_NAME, SMTP_TLS, SMTP_TOKEN, SMTP_LOGIN, SMTP, STAGING, FOLDER])
}

/// A test mail that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestDelivery {
    /// The mail's `Message-ID`.
    pub message_id: String,
    /// The provider that accepted it.
    pub provider: String,
    /// The provider's reply.
    pub response: String,
}

impl Mailer {
    /// Checks Redis and every server, without sending a mail.
    pub async fn check(&self) -> Report {
        let mut report = Report::default();
        report.add(check::SETTINGS, "mailer", State::Ok, self.settings.origins.clone());
        if let Some(effect) = self.handler.author().staging.describe() {
            report.add(STAGING, "mailer", State::Warning, effect);
        }
        self.check_redis(&mut report).await;
        for provider in self.handler.transport.providers() {
            check_provider(&mut report, &provider).await;
        }
        if let Some(folder) = self.handler.transport.folder() {
            let written = check::writable(folder.path()).map(ToOwned::to_owned);
            report.note(FOLDER, folder.name(), written.map_err(|error| error.to_string()));
            report.look_at_disk("mails", folder.path());
        }
        report
    }

    async fn check_redis(&self, report: &mut Report) {
        let url = self.settings.redis_url.expose_secret();
        if let Some((host, port)) = check::endpoint(url, 6379)
            && !report.reach("Redis", &host, port).await
        {
            return;
        }
        for one in self.queue.inspect().await {
            let state = match one.verdict {
                Suitability::Good => State::Ok,
                Suitability::Risky => State::Warning,
                _ => State::Failed,
            };
            report.add(Check { name: one.check.name, fix: one.check.fix }, "Redis", state, one.found);
        }
        if let Ok(theirs) = self.queue.server_time().await {
            report.compare_clocks("Redis", theirs, now());
        }
    }

    /// Sends one mail directly, without the queue.
    ///
    /// # Errors
    /// Returns an error if the mail is invalid, or with the server's text if no server accepts it.
    pub async fn send_directly(&self, job: &EmailJob) -> anyhow::Result<TestDelivery> {
        let millis = now();
        let id = format!("test-{millis}");
        let (identity, author) = (Identity { id: &id, timestamp: millis }, self.handler.author());
        author.staging.warn();
        let mail = prepare(job, &identity, &Addresses::of(job, &author.from, &author.staging)?, millis, &author)?;
        anyhow::ensure!(!mail.to.is_empty(), "withheld: MAIL_ALLOW does not contain the recipient");
        let refused = |error: DeliveryError| anyhow!("not accepted: {}", error.reason);
        let pending = self.handler.transport.begin(&mail, async || {}).await.map_err(refused)?;
        let delivered = pending.finish(&id, &mail).await.map_err(refused)?;
        self.handler.transport.close_idle().await;
        Ok(TestDelivery { message_id: mail.message_id, provider: delivered.provider, response: delivered.response })
    }
}

async fn check_provider(report: &mut Report, provider: &Provider) {
    let name = provider.name();
    let (host, port) = provider.address();
    if !report.reach(&name, host, port).await {
        return;
    }
    let ehlo_name = provider.ehlo_name();
    let state = if *ehlo_name == EhloName::Address { State::Warning } else { State::Ok };
    report.add(EHLO_NAME, name.as_str(), state, ehlo_name.to_string());
    match provider.check().await {
        Ok(()) => {
            let tls = if provider.is_encrypted() { "certificate trusted" } else { "not used: SMTP_URL says tls=none" };
            report.add(SMTP_TLS, name.as_str(), State::Ok, tls);
            if provider.uses_tokens() {
                report.add(SMTP_TOKEN, name.as_str(), State::Ok, "received");
            }
            let login = if provider.logs_in() { "accepted" } else { "none: SMTP_URL names no user" };
            report.add(SMTP_LOGIN, name, State::Ok, login);
        }
        Err(error) => {
            let check = match error.phase {
                Phase::Tls => SMTP_TLS,
                Phase::Token => SMTP_TOKEN,
                Phase::Auth => SMTP_LOGIN,
                _ => SMTP,
            };
            report.add(check, name, State::Failed, error.to_string());
        }
    }
}
