//! The one error of everything that speaks Redis.

use fred::error::{Error as FredError, ErrorKind};

use crate::route::NodeAddress;

/// First words of answers by which a server says that it cannot do it yet, or that another server can.
const TRANSIENT: [&str; 7] = ["LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "BUSY", "NOREPLICAS"];

/// Why Redis did not do what it was asked. A command without an answer may or may not have been run.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Kind);

#[derive(Clone, Debug, thiserror::Error)]
enum Kind {
    #[error("not a Redis URL: {0}")]
    BadUrl(String),
    #[error(transparent)]
    Fred(FredError),
}

impl Error {
    pub(crate) fn of(error: FredError) -> Self {
        Self(Kind::Fred(error))
    }

    pub(crate) fn bad_url(reason: impl Into<String>) -> Self {
        Self(Kind::BadUrl(reason.into()))
    }

    /// Returns whether the URL or the configuration cannot be used at all: for the operator.
    pub fn is_bad_url(&self) -> bool {
        matches!(self.0, Kind::BadUrl(_))
    }

    /// Returns whether the same call may succeed later without anybody's doing: Redis is away, slow, or starting.
    pub fn is_transient(&self) -> bool {
        self.is_unanswered() || self.code().is_some_and(|code| TRANSIENT.contains(&code))
    }

    /// Returns whether an answer did not come in time.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(&self.0, Kind::Fred(error) if *error.kind() == ErrorKind::Timeout)
    }

    /// Returns whether there was no answer, as opposed to a refusal.
    pub fn is_unanswered(&self) -> bool {
        use ErrorKind::{Canceled, IO, Routing, Timeout, Unknown};
        match &self.0 {
            Kind::BadUrl(_) => false,
            Kind::Fred(error) => {
                matches!(error.kind(), Timeout | IO | Canceled | Routing | Unknown) && self.code().is_none()
            }
        }
    }

    /// First word of the server's refusal, such as `OOM`, `WRONGTYPE`, `NOSCRIPT`, `ERR`; `None` where it did not answer.
    pub fn code(&self) -> Option<&str> {
        let Kind::Fred(error) = &self.0 else { return None };
        let (code, _) = error.details().split_once(' ')?;
        let is_code = code.len() >= 3 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        is_code.then_some(code)
    }
}

impl Error {
    /// Returns, if a node of a cluster has refused since it does not own the slot (`MOVED`), the slot and its owner.
    pub fn moved_to(&self) -> Option<(u16, NodeAddress)> {
        let Kind::Fred(error) = &self.0 else { return None };
        let (slot, owner) = error.details().strip_prefix("MOVED ")?.split_once(' ')?;
        Some((slot.parse().ok()?, NodeAddress::parse(owner)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind, details: &'static str) -> Error {
        Error::of(FredError::new(kind, details))
    }

    #[test]
    fn refusals_have_their_code() {
        let refused = error(ErrorKind::Unknown, "OOM command not allowed when used memory > 'maxmemory'.");
        assert_eq!((refused.code(), refused.is_unanswered(), refused.is_transient()), (Some("OOM"), false, false));
        let starting = error(ErrorKind::Unknown, "LOADING Redis is loading the dataset in memory");
        assert!(starting.is_transient() && !starting.is_unanswered());
    }

    #[test]
    fn silence_is_transient_and_has_no_code() {
        for (kind, details) in [
            (ErrorKind::Timeout, "Request timed out."),
            (ErrorKind::IO, "Connection refused (os error 111)"),
            (ErrorKind::Canceled, "Canceled."),
        ] {
            let silent = error(kind, details);
            assert!(silent.is_unanswered() && silent.is_transient() && silent.code().is_none(), "{details}");
        }
        assert!(!Error::bad_url("x").is_transient());
    }

    #[test]
    fn moved_slot_names_its_owner() {
        let owner = |host: &str| Some((77, NodeAddress { host: host.to_owned(), port: 7001 }));
        for (details, expected) in [
            ("MOVED 77 127.0.0.1:7001", owner("127.0.0.1")),
            ("MOVED 77 ::1:7001", owner("::1")),
            ("MOVED 77 :7001", owner("")),
            ("MOVED 77", None),
            ("ASK 77 127.0.0.1:7001", None),
        ] {
            assert_eq!(error(ErrorKind::Cluster, details).moved_to(), expected, "{details}");
        }
    }
}
