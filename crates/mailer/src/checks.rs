//! Trying the parts without the queue: what an operator does first.

use std::time::SystemTime;

use anyhow::anyhow;
use examhall_boot::check::{self, Check, Report, State};
use examhall_core::EmailJob;
use examhall_queue::{INSPECTIONS, Suitability};
use secrecy::ExposeSecret;

use crate::{
    Mailer,
    message::prepare,
    smtp::{Phase, Provider},
};

/// The log-in at a mail server.
const SMTP_LOG_IN: Check = Check {
    name: "SMTP log-in",
    fix: "mend user and password: check SMTP_URL (percent-encode both); some providers want a password for this \
          application alone",
};
/// Its certificate.
const SMTP_TLS: Check = Check {
    name: "SMTP TLS",
    fix: "take the host name that stands in the certificate, or name its authority with ca=FILE: check SMTP_URL \
          (smtps:// for port 465, smtp:// for 587)",
};
/// Everything else that it says.
const SMTP: Check =
    Check { name: "SMTP dialogue", fix: "ask the provider about its words, and whether it lets this machine send" };
/// The folder that stands for a server.
const FOLDER: Check = Check { name: "mail folder", fix: "let SMTP_URL name a folder that may be written: file:DIR" };

/// Every check that `mailer check` makes.
pub(crate) fn all() -> impl Iterator<Item = Check> {
    let redis = INSPECTIONS.map(|(name, fix)| Check { name, fix });
    check::COMMON.into_iter().chain(redis).chain([SMTP_TLS, SMTP_LOG_IN, SMTP, FOLDER])
}

/// What a server said to a test mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The mail's `Message-ID`.
    pub message_id: String,
    /// Who took it.
    pub provider: String,
    /// In which words.
    pub response: String,
}

impl Mailer {
    /// Looks at Redis and at every server, without sending a mail.
    pub async fn check(&self) -> Report {
        let mut report = Report::default();
        report.add(check::SETTINGS, "mailer", State::Ok, "read");
        self.look_at_redis(&mut report).await;
        for provider in self.handler.transport.providers() {
            look_at_provider(&mut report, provider).await;
        }
        if let Some(folder) = self.handler.transport.folder() {
            let written = folder.check().await.map(|()| "may be written".to_owned());
            report.note(FOLDER, folder.name(), written.map_err(|error| error.to_string()));
            report.look_at_disk("mails", folder.path());
        }
        report
    }

    async fn look_at_redis(&self, report: &mut Report) {
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
                Suitability::Bad => State::Failed,
            };
            report.add(Check { name: one.name, fix: one.fix }, "Redis", state, one.found);
        }
        if let Ok(theirs) = self.queue.server_time().await {
            report.compare_clocks("Redis", theirs, now());
        }
    }

    /// Sends one mail, past the queue.
    ///
    /// # Errors
    /// Where it is no mail, or nobody takes it: in the server's words.
    pub async fn send_directly(&self, job: &EmailJob) -> anyhow::Result<Tested> {
        let millis = now();
        let id = format!("test-{millis}");
        let mail = prepare(job, &id, millis, &self.handler.author)?;
        let refused = |undelivered: crate::smtp::Undelivered| anyhow!("not accepted: {}", undelivered.reason);
        let pending = self.handler.transport.begin(&mail, async || {}).await.map_err(refused)?;
        let delivered = pending.finish(&id, &mail).await.map_err(refused)?;
        self.handler.transport.leave().await;
        Ok(Tested { message_id: mail.message_id, provider: delivered.provider, response: delivered.response })
    }
}

/// In ms since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(0)
}

async fn look_at_provider(report: &mut Report, provider: &Provider) {
    let name = provider.name();
    if let Some((host, port)) = name.rsplit_once(':')
        && !report.reach(&name, host, port.parse().unwrap_or(25)).await
    {
        return;
    }
    match provider.check().await {
        Ok(()) => {
            let tls = if provider.is_encrypted() { "certificate trusted" } else { "not used: SMTP_URL says tls=none" };
            report.add(SMTP_TLS, name.as_str(), State::Ok, tls);
            let log_in = if provider.logs_in() { "let in" } else { "none: SMTP_URL names no user" };
            report.add(SMTP_LOG_IN, name, State::Ok, log_in);
        }
        Err(fault) => {
            let check = match fault.phase {
                Phase::Tls => SMTP_TLS,
                Phase::Auth => SMTP_LOG_IN,
                _ => SMTP,
            };
            report.add(check, name, State::Failed, fault.to_string());
        }
    }
}
