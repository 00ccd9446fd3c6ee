//! Results of a delivery.

use std::time::Duration;

use examhall_delivery::FailureSignature;

use super::{
    provider_failure::ProviderFailure,
    retry_policy::{FailureClass, Suppression},
};

/// What the server replied when it accepted the mail.
pub(crate) struct Delivered {
    pub(crate) response: String,
    pub(crate) accepted: Vec<String>,
    pub(crate) rejected: Vec<RejectedRecipient>,
    pub(crate) provider: String,
}

/// Why no server accepted the mail.
#[derive(Debug)]
pub(crate) struct DeliveryError {
    pub(crate) class: FailureClass,
    /// The server's own text, if it sent any.
    pub(crate) reason: String,
    /// The reason for logs, without the server's text, which may contain an address.
    pub(crate) label: String,
    /// What failed, without the domain of the recipients.
    pub(crate) signature: Box<FailureSignature>,
    pub(crate) rejected: Vec<RejectedRecipient>,
    /// The provider that refused; empty if none did.
    pub(crate) provider: Box<str>,
    /// Whether it is the provider's fault.
    pub(crate) is_providers: bool,
}

/// A recipient that was rejected, and what that means for its address.
#[derive(Clone, Debug)]
pub(crate) struct RejectedRecipient {
    pub(crate) address: String,
    pub(crate) reason: String,
    pub(crate) suppression: Suppression,
}

impl DeliveryError {
    /// No server was tried: other mails go first.
    pub(super) fn passed_over(provider: &str) -> Self {
        let reason = format!("other mails go first to {provider}");
        Self {
            class: FailureClass::PassedOver,
            label: reason.clone(),
            signature: Box::new(FailureSignature::of_reason(&reason)),
            reason,
            rejected: Vec::new(),
            provider: provider.into(),
            is_providers: false,
        }
    }

    /// No server was tried: a rate is used up.
    pub(super) fn rate_limited(provider: &str, rate: &str, wait: Duration) -> Self {
        let reason = format!("waits for {rate} at {provider}");
        Self {
            class: FailureClass::RateLimited(wait),
            label: reason.clone(),
            signature: Box::new(FailureSignature::of_reason(&reason)),
            reason,
            rejected: Vec::new(),
            provider: provider.into(),
            is_providers: false,
        }
    }

    /// No server was tried: the provider is unavailable.
    pub(super) fn unavailable(reason: String) -> Self {
        let class = FailureClass::Provider(ProviderFailure::Unavailable);
        let (label, provider) = (reason.clone(), Box::default());
        let signature = Box::new(FailureSignature::of_reason(&reason));
        Self { class, label, signature, reason, rejected: Vec::new(), provider, is_providers: true }
    }
}
