//! States of a mail by which it is searched for.

use std::str::FromStr;

/// State of a mail: BullMQ's state of its job, or what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MailState {
    /// Committed, and not in the queue yet.
    Outbox,
    /// Its job is ready, without a priority.
    Waiting,
    /// Its job is ready, with a priority.
    Prioritized,
    /// Its job is due later.
    Delayed,
    /// Its job waits for those that it has added: other programs' jobs do, mails do not.
    WaitingChildren,
    /// A mailer has it.
    Active,
    /// A server has accepted it.
    Completed,
    /// It failed for good, whatever the reason.
    Failed,
    /// It failed since it may have been delivered before, and an operator decides.
    Held,
    /// It failed, or was held, and may have been delivered.
    InDoubt,
    /// It failed since its recipients are suppressed.
    Suppressed,
    /// It failed since its time was over.
    Expired,
    /// It failed since `MAIL_ALLOW` contains none of its recipients.
    Withheld,
    /// An operator removed it.
    Removed,
    /// It was accepted, and came back.
    Bounced,
    /// It was accepted, and a recipient has reported it as spam.
    Complained,
}

impl MailState {
    /// What the reason of a mail says that may have been delivered, as the mailer writes it.
    pub const DOUBT: &str = "may have been delivered";

    /// All of them, in the order in which a mail goes through them.
    pub const ALL: [Self; 16] = [
        Self::Outbox,
        Self::Waiting,
        Self::Prioritized,
        Self::Delayed,
        Self::WaitingChildren,
        Self::Active,
        Self::Completed,
        Self::Failed,
        Self::Held,
        Self::InDoubt,
        Self::Suppressed,
        Self::Expired,
        Self::Withheld,
        Self::Removed,
        Self::Bounced,
        Self::Complained,
    ];

    /// The word in queries and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outbox => "outbox",
            Self::Waiting => "waiting",
            Self::Prioritized => "prioritized",
            Self::Delayed => "delayed",
            Self::WaitingChildren => "waiting-children",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::InDoubt => "inDoubt",
            Self::Suppressed => "suppressed",
            Self::Expired => "expired",
            Self::Withheld => "withheld",
            Self::Removed => "removed",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
        }
    }

    /// Returns what became of a mail whose job failed with this reason, as the mailer writes it.
    pub fn of_reason(reason: &str) -> Option<Self> {
        match reason.split(':').next() {
            Some("held") => Some(Self::Held),
            Some("suppressed") => Some(Self::Suppressed),
            Some("withheld") => Some(Self::Withheld),
            Some("expired") => Some(Self::Expired),
            Some("removed") => Some(Self::Removed),
            _ => None,
        }
    }

    /// Returns whether a reason says that the mail may have been delivered.
    pub fn is_doubt(reason: &str) -> bool {
        reason.contains(Self::DOUBT)
    }

    /// What an operator can do about it; `None` if nothing is to be done.
    pub const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Held | Self::InDoubt => Some(
                "Ask the recipient or look into the provider's log. Release it to send it again, or drop it if it arrived.",
            ),
            Self::Suppressed => Some("If the address works again, lift its suppression and retry the mail."),
            Self::Expired => Some("Its link or its time is over: let the recipient ask for another mail."),
            Self::Withheld => Some("Add the recipient to MAIL_ALLOW and retry the mail."),
            Self::Bounced => Some("Ask for another address, or lift the suppression if the mailbox was repaired."),
            Self::Complained => Some("Send this recipient no more mails of this kind."),
            _ => None,
        }
    }
}

impl FromStr for MailState {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        let plain = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
        Self::ALL.into_iter().find(|state| plain(state.as_str()) == plain(word)).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_they_are_written() {
        for state in MailState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert_eq!("in-doubt".parse(), Ok(MailState::InDoubt));
        assert_eq!("waitingChildren".parse(), Ok(MailState::WaitingChildren));
        assert_eq!("FAILED".parse(), Ok(MailState::Failed));
        assert_eq!("lost".parse::<MailState>(), Err(()));
    }

    #[test]
    fn reasons_of_the_mailer_name_states() {
        for (reason, state) in [
            ("held: it may have been delivered before; `mailer queue retry 7` sends it again", Some(MailState::Held)),
            ("suppressed: 550 5.1.1 no such user", Some(MailState::Suppressed)),
            ("withheld: MAIL_ALLOW contains none of its recipients", Some(MailState::Withheld)),
            ("expired", Some(MailState::Expired)),
            ("removed: by an operator", Some(MailState::Removed)),
            ("550 5.7.1 the mail is held: spam", None),
            ("", None),
        ] {
            assert_eq!(MailState::of_reason(reason), state, "{reason}");
        }
        assert!(MailState::is_doubt("connection lost (dot): it may have been delivered"));
        assert!(!MailState::is_doubt("550 5.1.1 no such user"));
    }
}
