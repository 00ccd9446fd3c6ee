//! What is wrong with a provider.

/// Failure of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProviderFailure {
    /// It is unreachable, too slow or overloaded.
    Unavailable,
    /// It refuses our host: its name, its address, its permission to relay.
    Blocked,
    /// TLS or the certificate is missing or not trusted.
    Insecure,
    /// It refuses our login: nothing is sent until an operator fixes it.
    LoginRefused,
    /// It refuses `MAIL_FROM`, or the account may not send: as above.
    SenderRefused,
    /// It takes nothing from us for now: a rate, a quota, an overload.
    Throttled,
    /// It refuses one mail after the other with the same codes: as above.
    RefusesAll,
}

impl ProviderFailure {
    /// Returns whether an operator has to fix it.
    pub(crate) fn needs_operator(self) -> bool {
        matches!(self, Self::Blocked | Self::LoginRefused | Self::SenderRefused | Self::RefusesAll)
    }

    /// Name in logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Blocked => "blocked",
            Self::Insecure => "insecure",
            Self::LoginRefused => "login_refused",
            Self::SenderRefused => "sender_refused",
            Self::Throttled => "throttled",
            Self::RefusesAll => "refuses_all",
        }
    }
}
