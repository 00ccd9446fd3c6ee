//! The providers, why a request of theirs is refused, and how their JSON is read.

use std::{str::FromStr, time::Duration};

use actix_web::http::header::HeaderMap;
use examhall_core::Timestamp;
use examhall_delivery::Error;
use serde_json::Value;

/// How old a proof of origin may be, and how far ahead the sender's clock may be.
pub(super) const WINDOW: Duration = Duration::from_mins(5);

/// A provider whose hook this API takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookProvider {
    /// Amazon SES, through SNS.
    Ses,
    /// Postmark.
    Postmark,
    /// Resend, whose hooks Svix sends.
    Resend,
    /// Mailgun.
    Mailgun,
}

/// A request of a provider.
pub(crate) struct HookCall<'a> {
    pub(crate) provider: HookProvider,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) now: Timestamp,
}

/// Why a request is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The hook has no setting.
    Off,
    /// User or password is wrong.
    WrongLogin,
    /// It does not prove its origin.
    Forbidden(&'static str),
    /// It has no shape of this provider.
    Malformed(&'static str),
    /// It could not be recorded, and is to be sent again.
    Later(Error),
    /// What proves its origin could not be fetched: it is to be sent again.
    Unreachable(String),
}

impl HookProvider {
    /// Every provider.
    pub(crate) const ALL: [Self; 4] = [Self::Ses, Self::Postmark, Self::Resend, Self::Mailgun];

    /// Its name in addresses, metrics and reports.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ses => "ses",
            Self::Postmark => "postmark",
            Self::Resend => "resend",
            Self::Mailgun => "mailgun",
        }
    }
}

impl FromStr for HookProvider {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|one| one.as_str() == name).ok_or(())
    }
}

/// Returns whether a time, in ms since 1970, is recent.
pub(super) fn is_recent(time: i64, now: Timestamp) -> bool {
    u128::from(now.as_millis().abs_diff(time)) <= WINDOW.as_millis()
}

/// A text in JSON; empty if there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Texts that are not empty.
pub(super) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    texts.into_iter().filter(|text| !text.is_empty()).map(ToOwned::to_owned).collect()
}
