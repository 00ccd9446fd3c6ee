//! Answers that follow from the circuits of the providers.

use super::{
    Circuit, HealthLevel, MailFacts, MailHealth, ProviderStatus,
    words::{clock, clock_with_seconds},
};
use crate::Timestamp;

const MAILERS: &str = "/console/mailers";

/// The answer if no provider takes mails, or one of several does not.
pub(super) fn of_providers(facts: &MailFacts) -> Option<MailHealth> {
    let best = facts.mailers.iter().map(super::MailerStatus::circuit).max()?;
    let providers = || facts.mailers.iter().flat_map(|mailer| &mailer.providers);
    let named = providers().filter(|one| one.circuit == best).min_by_key(|one| (one.next_probe_at, one.held_until));
    match best {
        Circuit::NeedsOperator | Circuit::Open => named.map(|provider| stopped(provider, facts.now)),
        Circuit::Limited => named.filter(|_| facts.waiting() > 0).map(|provider| limited(provider, facts.now)),
        Circuit::HalfOpen => named.map(|provider| half_open(provider, facts.now)),
        Circuit::Closed => {
            let broken = providers().filter(|one| one.circuit <= Circuit::Open).min_by_key(|one| one.since)?;
            let is_used = |one: &&ProviderStatus| one.circuit == Circuit::Closed;
            Some(partly(broken, providers().find(is_used)?, facts.now))
        }
    }
}

fn stopped(provider: &ProviderStatus, now: Timestamp) -> MailHealth {
    let needs_operator = provider.circuit == Circuit::NeedsOperator || provider.failure.as_deref() == Some("insecure");
    let (level, answer) = if needs_operator { (HealthLevel::Bad, "No") } else { (HealthLevel::Warning, "Late") };
    let next =
        provider.next_probe_at.map(|at| format!("; next try {}", clock_with_seconds(at, now))).unwrap_or_default();
    let sentence = format!("{answer}: {}{next}.", outage(provider, now));
    MailHealth::new(level, sentence, advice(provider), MAILERS)
}

fn limited(provider: &ProviderStatus, now: Timestamp) -> MailHealth {
    let until = provider.held_until.map(|at| format!(" until {}", clock(at, now))).unwrap_or_default();
    let sentence = format!("Late: the rate of {} is used up{until}.", provider.host());
    let advice = "Mails go on by themselves, the most urgent first. A higher `rate=` in `SMTP_URL` only helps if the provider \
                  allows it; a second provider takes over meanwhile.";
    MailHealth::new(HealthLevel::Warning, sentence, advice, MAILERS)
}

fn half_open(provider: &ProviderStatus, now: Timestamp) -> MailHealth {
    let since = provider.since.map(|since| format!(" since {}", clock(since, now))).unwrap_or_default();
    let sentence = format!("Late: {} is tried out with one mail at a time, after an outage{since}.", provider.host());
    MailHealth::new(
        HealthLevel::Warning,
        sentence,
        "It goes on by itself with the next mail that is accepted.",
        MAILERS,
    )
}

fn partly(broken: &ProviderStatus, used: &ProviderStatus, now: Timestamp) -> MailHealth {
    let by =
        if broken.name == used.name { "but not from every mailer".to_owned() } else { format!("by {}", used.host()) };
    let sentence = format!("Yes, {by}: {}.", outage(broken, now));
    MailHealth::new(HealthLevel::Warning, sentence, advice(broken), MAILERS)
}

/// What a provider does, and since when.
fn outage(provider: &ProviderStatus, now: Timestamp) -> String {
    let (host, reply) = (provider.host(), provider.reply.as_deref());
    let codes = reply.map(|reply| format!(" ({reply})")).unwrap_or_default();
    let what = match (provider.failure.as_deref(), reply) {
        (Some("blocked"), _) => format!("{host} refuses our host{codes}"),
        (Some("login_refused"), _) => format!("{host} refuses our login{codes}"),
        (Some("sender_refused"), _) => format!("{host} refuses our sender{codes}"),
        (Some("refuses_all"), _) => format!("{host} refuses every mail{codes}"),
        (Some("insecure"), _) => format!("{host} offers no TLS that is trusted"),
        (_, Some(reply)) => format!("{host} answers {reply}"),
        (_, None) if provider.name.starts_with("file:") => format!("{} cannot be written", provider.name),
        (_, None) => format!("{host} does not answer"),
    };
    let since = provider.since.map(|since| format!(" since {}", clock(since, now))).unwrap_or_default();
    what + &since
}

fn advice(provider: &ProviderStatus) -> &'static str {
    match provider.failure.as_deref() {
        Some("login_refused") => {
            "Renew user and password in `SMTP_URL`, then reload the mailers (SIGHUP). No attempt is spent."
        }
        Some("sender_refused") => {
            "Verify the domain of `MAIL_FROM` with the provider, or ask whether the account may send. No attempt is spent."
        }
        Some("blocked") => {
            "Ask the provider why it blocks this host: its name, its address or its DNS. No attempt is spent."
        }
        Some("insecure") => "Fix the server's certificate, or name its authority with `ca=` in `SMTP_URL`.",
        Some("refuses_all") => "Look at its replies under Failures, and ask the provider. No attempt is spent.",
        _ => {
            "It is probed and mails go on by themselves. If it lasts, look at the provider's status page and your network, or \
              add a second provider to `SMTP_URL`."
        }
    }
}
