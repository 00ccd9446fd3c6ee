//! What a mailer reports of itself with each heartbeat.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A mailer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Mailer"))]
#[serde(rename_all = "camelCase")]
pub struct MailerStatus {
    /// Its name, new with each start.
    pub id: String,
    /// The machine.
    pub host: String,
    /// Version of the program.
    #[cfg_attr(feature = "schema", schemars(extend("examples" = ["1.2.0"])))]
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Its last heartbeat.
    pub seen_at: Timestamp,
    /// Mails that it sends at once.
    pub slots: u32,
    /// Mails that it sends now.
    pub busy: u32,
    /// Where it sends them, in order of preference.
    pub providers: Vec<ProviderStatus>,
}

/// A mail server, or folder, as one mailer sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "MailProvider"))]
#[serde(rename_all = "camelCase")]
pub struct ProviderStatus {
    /// Host and port; `file:` and a path of a folder.
    pub name: String,
    /// State of its circuit breaker.
    pub circuit: Circuit,
    /// Start of the outage, until a mail is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Kind of the outage: `unavailable`, `throttled`, `blocked`, `insecure`, `login_refused`, `sender_refused` or
    /// `refuses_all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Codes of the server's reply, such as `451 4.7.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// Codes and phase, or what broke the dialogue; without the server's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it is probed next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_probe_at: Option<Timestamp>,
    /// Until when no mail is sent, since a rate is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Timestamp>,
    /// How much of its rates is used, by all mailers together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateUse>,
}

/// How much of a rate is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RateUse {
    /// The rate, such as `14/s` or `50000/d recipients`.
    pub limit: String,
    /// Number that was used within the period.
    pub used: u32,
    /// Number that is allowed within the period.
    pub allowed: u32,
}

/// State of a provider's circuit breaker, ordered by how much it lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Circuit {
    /// Open until an operator fixes the cause.
    NeedsOperator,
    /// Open: the provider is probed.
    Open,
    /// Closed, and a rate is used up.
    Limited,
    /// Half-open: one mail at a time.
    HalfOpen,
    /// Closed: mails are sent.
    Closed,
}

impl Circuit {
    /// The word used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NeedsOperator => "needsOperator",
            Self::Open => "open",
            Self::Limited => "limited",
            Self::HalfOpen => "halfOpen",
            Self::Closed => "closed",
        }
    }
}

impl MailerStatus {
    /// State of the circuit that lets most through.
    pub fn circuit(&self) -> Circuit {
        self.providers.iter().map(|provider| provider.circuit).max().unwrap_or(Circuit::Closed)
    }
}

impl ProviderStatus {
    /// A provider that takes mails.
    pub fn closed(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            circuit: Circuit::Closed,
            since: None,
            failure: None,
            reply: None,
            reason: None,
            next_probe_at: None,
            held_until: None,
            rates: Vec::new(),
        }
    }

    /// Its host without the port.
    pub fn host(&self) -> &str {
        match self.name.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.name,
        }
    }
}
