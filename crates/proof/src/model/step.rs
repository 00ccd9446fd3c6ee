//! What can be done.

use super::effect::{ATTEMPTS, STALLS, end_in};
use super::state::{End, Entry, Job, JobState, Known, Mailer, Relay, Reply, Row, Rule, Rules, State, Stored};

/// One step, by the name that a counterexample shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    RelayClaims,
    RelayAsks,
    RelayAdds,
    /// It says that another has had the row.
    RelayAddsAgain,
    RelayNotes,
    MailerTakes,
    /// Has found nothing against sending.
    MailerReads,
    /// Has found an intent: it says that the mail may be sent twice.
    MailerDoubts,
    /// Has found that the mail was accepted.
    MailerFindsItAccepted,
    MailerLooksAtTheClock,
    MailerIntends,
    /// Somebody else has written meanwhile.
    MailerLetsGo,
    ServerAccepts,
    /// It accepts, and its reply is lost.
    ServerAcceptsUnheard,
    ServerAnswers(Reply),
    /// A line in the log.
    MailerReportsIt,
    MailerRecords,
    MailerEndsJob,
    JobIsReclaimed,
    JobIsGivenUp,
    ListenerCloses,
    ReconcilerCloses,
    ReconcilerReopens,
    JobIsPruned,
    OperatorRetries,
    OperatorRemoves,
    OperatorSuppresses,
    RelayDies,
    MailerDies,
    MailerIsFrozen,
    AnswerIsLost,
    EventIsLost,
    RedisLosesEverything,
    RedisLosesItsLastWrite,
}

/// Every step that can be done in `state`, and the state after it.
pub(crate) fn next(state: &State, rules: Rules) -> Vec<(Step, State)> {
    let mut steps = Steps { of: *state, rules, found: Vec::with_capacity(16) };
    if state.broken.is_some() {
        return steps.found; // the path to it is the counterexample
    }
    for index in 0..2 {
        steps.relay(index);
        steps.mailer(index);
    }
    steps.keepers();
    if state.faults > 0 {
        steps.faults();
    }
    if state.operations > 0 {
        steps.operators();
    }
    steps.found
}

pub(super) struct Steps {
    pub(super) of: State,
    pub(super) rules: Rules,
    found: Vec<(Step, State)>,
}

impl Steps {
    pub(super) fn push(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let mut after = self.of;
        change(&mut after);
        self.found.push((step, after.canonical()));
    }

    pub(super) fn fault(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        self.push(step, |state| {
            state.faults -= 1;
            change(state);
        });
    }

    fn relay(&mut self, index: usize) {
        match (self.of.relays[index], self.of.row) {
            (Relay::Idle, Row::Waiting { claimed }) => self.push(Step::RelayClaims, |state| {
                state.row = Row::Waiting { claimed: true };
                state.relays[index] = Relay::Claimed { again: claimed };
            }),
            (Relay::Idle, _) => {}
            (Relay::Claimed { again }, _) => self.push(Step::RelayAsks, |state| {
                let end = end_in(state.redis.ledger);
                state.relays[index] = if end.is_some() { Relay::Idle } else { Relay::Ready { again } };
                if let Some(end) = end {
                    state.close(end);
                }
            }),
            (Relay::Ready { again }, _) => self.add(index, again),
            (Relay::Added, _) => self.push(Step::RelayNotes, |state| {
                state.relays[index] = Relay::Idle;
                if matches!(state.row, Row::Waiting { .. }) {
                    state.row = Row::Queued;
                }
            }),
        }
    }

    fn add(&mut self, index: usize, again: bool) {
        let rules = self.rules;
        let step = if again { Step::RelayAddsAgain } else { Step::RelayAdds };
        self.push(step, |state| {
            state.relays[index] = Relay::Added;
            state.flagged |= again && rules.hold(Rule::RequeueIsFlagged);
            let job = Job { state: JobState::Waiting, lock: None, stalls: 0, attempts: ATTEMPTS };
            if !rules.hold(Rule::OneJobForARow) {
                state.write(rules, |redis| *redis = Stored { job: Some(job), ..Stored::default() });
            } else if state.redis.job.is_none() {
                state.write(rules, |redis| redis.job = Some(job));
            }
        });
    }

    fn mailer(&mut self, index: usize) {
        let rules = self.rules;
        match self.of.mailers[index] {
            Mailer::Idle => self.take(index),
            Mailer::Took => self.read(index),
            Mailer::Read(known) => {
                self.push(Step::MailerLooksAtTheClock, |state| state.mailers[index] = Mailer::Checked(known));
            }
            Mailer::Refuses(known) if self.of.redis.ledger == known => self.push(Step::MailerRecords, |state| {
                let entry = state.entry(Known::Refused);
                state.write(rules, |redis| redis.ledger = Some(entry));
                state.mailers[index] = Mailer::Recorded(End::Failed);
            }),
            Mailer::Refuses(_) | Mailer::Overdue => {
                self.push(Step::MailerLetsGo, |state| state.mailers[index] = Mailer::Idle);
            }
            Mailer::Checked(known) => self.intend(index, known),
            Mailer::Intended(version) => self.send(index, version),
            Mailer::Answered(reply, version) => {
                if reply == Reply::Accepted {
                    self.push(Step::MailerReportsIt, |_| {});
                }
                self.push(Step::MailerRecords, |state| state.record(index, reply, version, rules));
            }
            Mailer::Recorded(end) => self.push(Step::MailerEndsJob, |state| {
                state.mailers[index] = Mailer::Idle;
                state.end_job(index, end, rules);
            }),
            Mailer::Deferred => {
                self.push(Step::MailerEndsJob, |state| {
                    state.mailers[index] = Mailer::Idle;
                    state.defer_job(index, true, rules);
                });
                self.push(Step::MailerEndsJob, |state| {
                    state.mailers[index] = Mailer::Idle;
                    state.defer_job(index, false, rules);
                });
            }
        }
    }

    fn take(&mut self, index: usize) {
        if let Some(job @ Job { state: JobState::Waiting, .. }) = self.of.redis.job {
            let rules = self.rules;
            let taken = Job { state: JobState::Active, lock: u8::try_from(index).ok(), ..job };
            self.push(Step::MailerTakes, |state| {
                state.write(rules, |redis| redis.job = Some(taken));
                state.mailers[index] = Mailer::Took;
            });
        }
    }

    fn read(&mut self, index: usize) {
        let (rules, known) = (self.rules, self.of.redis.ledger);
        let asked = known.filter(|_| rules.hold(Rule::LedgerIsAsked));
        match asked.map(|entry| entry.what) {
            Some(Known::Accepted) => self.push(Step::MailerFindsItAccepted, |state| {
                state.mailers[index] = Mailer::Recorded(End::Sent);
            }),
            Some(Known::Removed) if rules.hold(Rule::RemovalIsObeyed) => self.push(Step::MailerReads, |state| {
                state.mailers[index] = Mailer::Recorded(End::Failed);
            }),
            what => {
                let is_doubt = what == Some(Known::Intent) && rules.hold(Rule::DoubtIsFlagged);
                let step = if is_doubt { Step::MailerDoubts } else { Step::MailerReads };
                self.push(step, |state| {
                    state.flagged |= is_doubt;
                    if state.is_suppressed && rules.hold(Rule::SuppressionIsObeyed) {
                        state.mailers[index] = Mailer::Refuses(known);
                        return;
                    }
                    state.broken = match what {
                        _ if state.completed => Some("a mail is sent after its job was completed"),
                        Some(Known::Removed) => Some("a removed mail is sent"),
                        _ if state.is_suppressed => Some("a mail to a suppressed address is sent"),
                        _ => None,
                    };
                    state.mailers[index] = Mailer::Read(known);
                });
            }
        }
    }

    fn intend(&mut self, index: usize, known: Option<Entry>) {
        let rules = self.rules;
        if !rules.hold(Rule::IntentIsWritten) {
            return self.push(Step::MailerIntends, |state| state.mailers[index] = Mailer::Intended(known));
        }
        if rules.hold(Rule::IntentIsCompared) && self.of.redis.ledger != known {
            return self.push(Step::MailerLetsGo, |state| state.mailers[index] = Mailer::Idle);
        }
        self.push(Step::MailerIntends, |state| {
            let entry = state.entry(Known::Intent);
            state.write(rules, |redis| redis.ledger = Some(entry));
            state.mailers[index] = Mailer::Intended(Some(entry));
        });
        if self.of.faults > 0 {
            self.fault(Step::AnswerIsLost, |state| {
                let entry = state.entry(Known::Intent);
                state.write(rules, |redis| redis.ledger = Some(entry));
                state.mailers[index] = Mailer::Idle;
            });
        }
    }

    fn send(&mut self, index: usize, version: Option<Entry>) {
        self.push(Step::ServerAccepts, |state| {
            state.accept();
            state.mailers[index] = Mailer::Answered(Reply::Accepted, version);
        });
        for reply in [Reply::Refused, Reply::Deferred] {
            self.push(Step::ServerAnswers(reply), |state| state.mailers[index] = Mailer::Answered(reply, version));
        }
        if self.of.faults > 0 {
            let nothing = Mailer::Answered(Reply::Nothing, version);
            self.fault(Step::ServerAnswers(Reply::Nothing), |state| state.mailers[index] = nothing);
            self.fault(Step::ServerAcceptsUnheard, |state| {
                state.accept();
                state.mailers[index] = nothing;
            });
        }
    }

    /// What goes on without a mailer or a relay: locks that end, the listener, the reconciler, retention.
    fn keepers(&mut self) {
        let rules = self.rules;
        let Stored { job, ledger, event } = self.of.redis;
        if let Some(job @ Job { state: JobState::Active, lock: Some(owner), .. }) = job {
            let is_gone = self.of.mailers[usize::from(owner)] == Mailer::Idle;
            if is_gone && rules.hold(Rule::LostMailersAreMissed) {
                self.reclaim(job);
            } else if !is_gone && self.of.faults > 0 {
                self.fault(Step::MailerIsFrozen, |state| {
                    let mailer = &mut state.mailers[usize::from(owner)];
                    state.is_torn |= matches!(mailer, Mailer::Checked(_));
                    if matches!(mailer, Mailer::Took | Mailer::Read(_)) && rules.hold(Rule::ClockIsAsked) {
                        *mailer = Mailer::Overdue;
                    }
                    state.reclaim(job, rules);
                });
            }
        }
        if let Some(end) = event {
            self.push(Step::ListenerCloses, |state| {
                state.redis.event = None;
                state.close(end);
            });
        }
        match (self.of.row, job.map(|job| job.state)) {
            (Row::Queued, Some(JobState::Completed)) => {
                self.push(Step::ReconcilerCloses, |state| state.close(End::Sent));
            }
            (Row::Queued, Some(JobState::Failed)) => {
                self.push(Step::ReconcilerCloses, |state| state.close(End::Failed));
            }
            (Row::Queued, None) => match end_in(ledger) {
                Some(end) => self.push(Step::ReconcilerCloses, |state| state.close(end)),
                None if rules.hold(Rule::LostMailsAreMissed) => self.push(Step::ReconcilerReopens, |state| {
                    state.row = Row::Waiting { claimed: false };
                    state.flagged |= rules.hold(Rule::RequeueIsFlagged);
                }),
                None => {}
            },
            _ => {}
        }
        if let Some(Job { state: JobState::Completed | JobState::Failed, .. }) = job {
            self.push(Step::JobIsPruned, |state| state.write(rules, |redis| redis.job = None));
        }
    }

    fn reclaim(&mut self, job: Job) {
        let rules = self.rules;
        let step = if job.stalls < STALLS { Step::JobIsReclaimed } else { Step::JobIsGivenUp };
        self.push(step, |state| state.reclaim(job, rules));
    }
}
