//! Judges a real run: what `api`, the mailers and the SMTP server have written, mail by mail.
//!
//! Each mail's events are replayed through the [`model`](crate::model). Steps that nobody writes down may happen at any
//! time, and so may faults; what was seen must be a step that the model knows in one of the states in which the mail may
//! be. So a run that the model cannot explain fails, even if each mail arrives once.

use std::collections::{HashMap, HashSet};

use crate::model::{End, Row, Rules, State, Step, next};

/// Faults that one mail may meet; more where it is more often in doubt, which takes one each time, and as many again each
/// time that it has failed, which takes three mailers. Most meet none, so fewer are tried first: each one makes more states
/// of them.
const FAULTS: usize = 3;

/// What was seen of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    /// The SMTP server has accepted it.
    Accepted,
    /// The same, of a Node worker, which the model does not know.
    SentByNode,
    /// A mailer says that the server has accepted it.
    Reported,
    /// A mailer says that it may be sent twice.
    Doubted,
    /// A mailer says that it was accepted before.
    FoundAccepted,
    /// The API says that Redis has lost it, or may have.
    Requeued,
    /// An operator has it tried again.
    Retried,
    /// From here on what Redis holds is copied, which takes a while.
    CopyBegins,
    CopyEnds,
    /// Redis has what was copied, and nothing else.
    PutBack,
    /// Its row says what became of it, when all is over.
    Ended(End),
}

impl Seen {
    /// Whether `step` from one state to another is what was seen.
    fn is(self, step: Step) -> bool {
        matches!(
            (self, step),
            (Self::Accepted, Step::ServerAccepts | Step::ServerAcceptsUnheard)
                | (Self::Reported, Step::MailerReportsIt)
                | (Self::Doubted, Step::MailerDoubts)
                | (Self::FoundAccepted, Step::MailerFindsItAccepted)
                | (Self::Requeued, Step::ReconcilerReopens | Step::RelayAddsAgain)
                | (Self::Retried, Step::OperatorRetries)
        )
    }
}

/// Whether a step is seen where it happens.
fn is_seen(step: Step) -> bool {
    matches!(
        step,
        Step::ServerAccepts
            | Step::ServerAcceptsUnheard
            | Step::MailerReportsIt
            | Step::MailerDoubts
            | Step::ReconcilerReopens
            | Step::RelayAddsAgain
            | Step::OperatorRetries
            | Step::OperatorRemoves
            | Step::OperatorSuppresses
    )
}

/// Explains histories, and remembers those that it has explained: most are alike.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    known: HashMap<Vec<Seen>, Option<usize>>,
}

impl Checker {
    /// The index of the first event that the model cannot explain, if there is one.
    pub(crate) fn unexplained(&mut self, history: &[Seen]) -> Option<usize> {
        if let Some(known) = self.known.get(history) {
            return *known;
        }
        let count = |what: Seen| history.iter().filter(|seen| **seen == what).count();
        let most = FAULTS.max(count(Seen::Doubted)) + FAULTS * count(Seen::Retried);
        let mut found = None;
        for faults in 0..=u8::try_from(most).unwrap_or(u8::MAX) {
            found = replay(history, faults);
            if found.is_none() {
                break;
            }
        }
        self.known.insert(history.to_vec(), found);
        found
    }

    /// How many different histories there were.
    pub(crate) fn kinds(&self) -> usize {
        self.known.len()
    }
}

fn replay(history: &[Seen], faults: u8) -> Option<usize> {
    let operations = history.iter().filter(|seen| **seen == Seen::Retried).count();
    let first = State::committed(faults, u8::try_from(operations).unwrap_or(u8::MAX));
    let mut states = HashSet::from([first]);
    let mut is_copied = false;
    for (index, seen) in history.iter().enumerate() {
        let reached = unseen(states, is_copied);
        is_copied = *seen == Seen::CopyBegins || (is_copied && *seen != Seen::CopyEnds);
        states = match seen {
            Seen::CopyBegins => reached.into_iter().map(State::copied).collect(),
            // It may be as old as its beginning.
            Seen::CopyEnds => reached,
            Seen::PutBack => reached.into_iter().map(State::put_back).collect(),
            Seen::Ended(end) => reached.into_iter().filter(|state| state.row == Row::Closed(*end)).collect(),
            _ => after(&reached, *seen),
        };
        if states.is_empty() {
            return Some(index);
        }
    }
    None
}

/// The states in which it may be once this was seen.
fn after(states: &HashSet<State>, seen: Seen) -> HashSet<State> {
    let steps = states.iter().flat_map(|state| next(state, Rules::default()));
    steps.filter(|(step, after)| after.broken.is_none() && seen.is(*step)).map(|(_, after)| after).collect()
}

/// With the states that are reached unseen, while Redis is copied or not.
fn unseen(states: HashSet<State>, is_copied: bool) -> HashSet<State> {
    let mut left: Vec<State> = states.iter().copied().collect();
    let mut reached = states;
    while let Some(state) = left.pop() {
        if is_copied && reached.insert(state.copied()) {
            left.push(state.copied());
        }
        for (step, after) in next(&state, Rules::default()) {
            if !is_seen(step) && after.broken.is_none() && reached.insert(after) {
                left.push(after);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_explained(history: &[Seen]) -> bool {
        Checker::default().unexplained(history).is_none()
    }

    #[test]
    fn what_can_happen_is_explained() {
        use Seen::{Accepted, Doubted, Ended, FoundAccepted, Reported, Requeued, Retried};
        let sent = Ended(End::Sent);
        let put_back = [Seen::CopyBegins, Seen::CopyEnds, Accepted, Reported, Seen::PutBack, Accepted, Reported, sent];
        let as_it_began =
            [Seen::CopyBegins, Accepted, Reported, Seen::CopyEnds, Seen::PutBack, Accepted, Reported, sent];
        let cases: [&[Seen]; 12] = [
            &as_it_began,
            // Failed, forgotten by Redis, and queued from its row.
            &[Retried, Requeued, Accepted, Reported, sent],
            &[Doubted, Doubted, Accepted, Doubted, Doubted, Doubted, Accepted, Reported, sent],
            &[Accepted, Reported, sent],
            &[Ended(End::Failed)],
            &[Accepted, Doubted, Accepted, Reported, sent],
            &[Accepted, Reported, FoundAccepted, sent],
            &[Requeued, Accepted, Reported, sent],
            &[Accepted, Reported, Requeued, Accepted, Reported, sent],
            &[Ended(End::Failed), Retried, Accepted, Reported, sent],
            &put_back,
            &[Accepted, Reported, Seen::CopyBegins, Seen::CopyEnds, Seen::PutBack, FoundAccepted, sent],
        ];
        for history in cases {
            assert!(is_explained(history), "{history:?}");
        }
    }

    #[test]
    fn what_must_not_happen_is_not_explained() {
        use Seen::{Accepted, Ended, FoundAccepted, Reported};
        let cases: [&[Seen]; 6] = [
            &[Accepted, Reported, Accepted], // twice, and nobody says so
            &[Accepted, Accepted],           // the same, unheard
            &[Ended(End::Sent)],             // never sent
            &[Reported],                     // a mailer makes it up
            &[FoundAccepted],                // so does this one
            // Known when the copy was made.
            &[Accepted, Reported, Ended(End::Sent), Seen::CopyBegins, Seen::CopyEnds, Seen::PutBack, Accepted],
        ];
        for history in cases {
            assert!(!is_explained(history), "{history:?}");
        }
    }
}
