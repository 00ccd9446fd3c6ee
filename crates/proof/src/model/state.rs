//! What there is.

/// How a mail ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Sent,
    Failed,
    Removed,
}

/// The outbox row: the database loses nothing that it has committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Row {
    /// Committed, and to be queued.
    Waiting {
        /// A relay has had it before.
        claimed: bool,
    },
    Queued,
    Closed(End),
}

/// A relay, which may be slow: its claim ends while it works, and the other takes the row, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Relay {
    Idle,
    /// Has claimed the row.
    Claimed {
        again: bool,
    },
    /// Has asked the ledger, which knows of no end.
    Ready {
        again: bool,
    },
    /// Has added the job.
    Added,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum JobState {
    Waiting,
    Active,
    Completed,
    Failed,
}

/// The job in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Job {
    pub(crate) state: JobState,
    /// The mailer whose lock it has.
    pub(crate) lock: Option<u8>,
    /// How often its mailer was lost.
    pub(crate) stalls: u8,
    /// Attempts left.
    pub(crate) attempts: u8,
}

/// The entry in the delivery ledger. Two entries differ in `version`, even if they say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) what: Known,
    pub(crate) version: u8,
}

/// What the ledger says of the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Known {
    /// It may have been sent.
    Intent,
    Accepted,
    Deferred,
    Refused,
    /// An operator has removed it.
    Removed,
}

/// What a mailer has of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    Accepted,
    Refused,
    Deferred,
    /// The connection ended after the message, without an answer.
    Nothing,
}

/// A mailer with one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mailer {
    Idle,
    /// Has taken the job.
    Took,
    /// Has read the ledger.
    Read(Option<Entry>),
    /// Is about to write that it does not send.
    Refuses(Option<Entry>),
    /// Its clock says that the lock is still its own.
    Checked(Option<Entry>),
    /// Its clock will say that the lock has ended.
    Overdue,
    /// Has written that it is about to send.
    Intended(Option<Entry>),
    /// Has the server's reply.
    Answered(Reply, Option<Entry>),
    /// Has written the reply to the ledger.
    Recorded(End),
    /// The attempt is over, and another follows.
    Deferred,
}

/// What Redis holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stored {
    pub(crate) job: Option<Job>,
    pub(crate) ledger: Option<Entry>,
    /// An end that the listener has not read.
    pub(crate) event: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct State {
    pub(crate) row: Row,
    pub(crate) relays: [Relay; 2],
    pub(crate) redis: Stored,
    /// What Redis held before its last write, where it may lose it, or when it was copied.
    pub(crate) before: Stored,
    pub(crate) mailers: [Mailer; 2],
    /// How often the server has accepted it: 2 is "more than once".
    pub(crate) accepted: u8,
    /// Somebody has written that it may be sent twice.
    pub(crate) flagged: bool,
    pub(crate) is_suppressed: bool,
    /// A mailer was frozen between the look at the clock and the intent.
    pub(crate) is_torn: bool,
    /// Its job was completed, and Redis has not forgotten that.
    pub(crate) completed: bool,
    /// What no state may have: the name of the promise that was broken.
    pub(crate) broken: Option<&'static str>,
    /// Versions of the ledger's entry so far.
    pub(crate) versions: u8,
    /// Faults that may still happen, and what operators may still do.
    pub(crate) faults: u8,
    pub(crate) operations: u8,
}

impl State {
    /// A mail that was committed just now.
    pub(crate) fn committed(faults: u8, operations: u8) -> Self {
        Self {
            row: Row::Waiting { claimed: false },
            relays: [Relay::Idle; 2],
            redis: Stored::default(),
            before: Stored::default(),
            mailers: [Mailer::Idle; 2],
            accepted: 0,
            flagged: false,
            is_suppressed: false,
            is_torn: false,
            completed: false,
            broken: None,
            versions: 0,
            faults,
            operations,
        }
    }

    /// The same state, with the versions of entries counted from 1, and the two relays in order: what differs only in such
    /// names is visited once.
    pub(super) fn canonical(mut self) -> Self {
        self.relays.sort_unstable();
        let mut versions: Vec<u8> = self.entries().map(|entry| entry.version).collect();
        versions.sort_unstable();
        versions.dedup();
        for entry in self.entries() {
            let rank = versions.binary_search(&entry.version).unwrap_or_default();
            entry.version = u8::try_from(rank + 1).unwrap_or(u8::MAX);
        }
        self.versions = u8::try_from(versions.len()).unwrap_or(u8::MAX);
        self
    }

    fn entries(&mut self) -> impl Iterator<Item = &mut Entry> {
        let known = self.mailers.iter_mut().filter_map(|mailer| match mailer {
            Mailer::Read(entry)
            | Mailer::Refuses(entry)
            | Mailer::Checked(entry)
            | Mailer::Intended(entry)
            | Mailer::Answered(_, entry) => entry.as_mut(),
            _ => None,
        });
        known.chain(self.redis.ledger.as_mut()).chain(self.before.ledger.as_mut())
    }

    /// Whether nothing is left to do for it.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.row, Row::Closed(_)) && self.mailers == [Mailer::Idle; 2] && self.relays == [Relay::Idle; 2]
    }
}

/// Rules of the protocol that a search can switch off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    OneJobForARow,
    LedgerIsAsked,
    ClockIsAsked,
    IntentIsWritten,
    IntentIsCompared,
    AcceptanceIsWritten,
    DoubtIsFlagged,
    RemovalIsObeyed,
    SuppressionIsObeyed,
    LockIsCompared,
    LostMailersAreMissed,
    LedgerIsAskedAtTheEnd,
    LostMailsAreMissed,
    RequeueIsFlagged,
    RedisKeepsItsWord,
    NoLossInBetween,
}

impl Rule {
    pub(crate) const ALL: [Self; 16] = [
        Self::OneJobForARow,
        Self::LedgerIsAsked,
        Self::ClockIsAsked,
        Self::IntentIsWritten,
        Self::IntentIsCompared,
        Self::AcceptanceIsWritten,
        Self::DoubtIsFlagged,
        Self::RemovalIsObeyed,
        Self::SuppressionIsObeyed,
        Self::LockIsCompared,
        Self::LostMailersAreMissed,
        Self::LedgerIsAskedAtTheEnd,
        Self::LostMailsAreMissed,
        Self::RequeueIsFlagged,
        Self::RedisKeepsItsWord,
        Self::NoLossInBetween,
    ];

    /// What it says.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::OneJobForARow => "a job's id is made of its row's: added twice, it is there once",
            Self::LedgerIsAsked => "a mailer asks the ledger before it sends",
            Self::ClockIsAsked => "a mailer whose lock has ended by its own clock does not begin to send",
            Self::IntentIsWritten => "an intent is written before a message is sent",
            Self::IntentIsCompared => "it is written only if nobody has written since the ledger was asked",
            Self::AcceptanceIsWritten => "an acceptance is written before the job ends",
            Self::DoubtIsFlagged => "a mail that may be sent twice is flagged before",
            Self::RemovalIsObeyed => "a mailer does not send what was removed",
            Self::SuppressionIsObeyed => "a mailer does not send to suppressed addresses",
            Self::LockIsCompared => "only the lock's owner ends a job",
            Self::LostMailersAreMissed => "the job of a mailer that is gone is taken by another",
            Self::LedgerIsAskedAtTheEnd => "who gives a job up asks the ledger, and writes the end into it",
            Self::LostMailsAreMissed => "the reconciler queues mails again that Redis has lost",
            Self::RequeueIsFlagged => "who queues a mail again says so",
            Self::RedisKeepsItsWord => "Redis keeps what it has answered (`appendfsync always`), or loses everything",
            Self::NoLossInBetween => {
                "Redis does not lose everything between a job's start and the look into the ledger (0.2 ms), nor while a \
                 mailer is frozen between its look at the clock and its intent"
            }
        }
    }
}

/// The rules that hold: all but one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) off: Option<Rule>,
}

impl Rules {
    pub(crate) fn hold(self, rule: Rule) -> bool {
        self.off != Some(rule)
    }
}
