//! What Redis refuses, and what to do about it, without I/O.

use crate::Error;

/// Refusals after which a poll is split.
pub(super) const TWICE: u32 = 2;

/// Refusals of one report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    count: u32,
    /// Whether the last one was due to this report, and no other.
    was_alone: bool,
}

/// What to do with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Send,
    SendAlone,
    GiveUp,
}

impl Refusals {
    pub(super) fn one_more(self, was_alone: bool) -> Self {
        Self { count: self.count + 1, was_alone }
    }

    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self { count, .. } if count < TWICE => Verdict::Send,
            Self { count, was_alone: true } if count > TWICE => Verdict::GiveUp,
            Self { .. } => Verdict::SendAlone,
        }
    }
}

/// Returns whether a refusal may be due to one report. Others are about the server, such as `MISCONF`.
pub(super) fn may_be_of_one(error: &Error) -> bool {
    let code = if let Error::Redis(error) = error { error.code() } else { None };
    !error.is_transient() && is_of_one(code)
}

/// Returns whether one report may cause an answer that begins with this word, or that cannot be read.
fn is_of_one(code: Option<&str>) -> bool {
    matches!(code, None | Some("ERR" | "WRONGTYPE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_is_given_up_if_it_is_refused_alone() {
        let none = Refusals::default();
        for (name, refusals, expected) in [
            ("new", none, Verdict::Send),
            ("once, with others", none.one_more(false), Verdict::Send),
            ("once, because of it", none.one_more(true), Verdict::Send),
            ("twice, with others", none.one_more(false).one_more(false), Verdict::SendAlone),
            ("then with others", none.one_more(true).one_more(false), Verdict::SendAlone),
            ("twice, because of it", none.one_more(true).one_more(true), Verdict::SendAlone),
            ("then alone", none.one_more(false).one_more(false).one_more(true), Verdict::GiveUp),
        ] {
            assert_eq!(refusals.verdict(), expected, "{name}");
        }
    }

    #[test]
    fn refusals_of_the_server_are_about_no_report() {
        assert!([Some("ERR"), Some("WRONGTYPE"), None].into_iter().all(is_of_one));
        assert!(!["MISCONF", "NOPERM", "OOM"].map(Some).into_iter().any(is_of_one));
        assert!(may_be_of_one(&Error::UnexpectedAnswer("it cannot be read")));
        assert!(!may_be_of_one(&Error::NotEnded("7".into())), "transient");
    }
}
