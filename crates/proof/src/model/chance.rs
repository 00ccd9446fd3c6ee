//! What need not happen: faults, and what operators do.

use super::{
    effect::ATTEMPTS,
    state::{End, Job, JobState, Known, Mailer, Relay, Reply, Row, Rule, Stored},
    step::{Step, Steps},
};

/// Whether a step need not happen, ever: what waits may not wait for it.
pub(super) fn is_chance(step: Step) -> bool {
    matches!(
        step,
        Step::RelayDies
            | Step::MailerDies
            | Step::MailerIsFrozen
            | Step::AnswerIsLost
            | Step::EventIsLost
            | Step::RedisLosesEverything
            | Step::RedisLosesItsLastWrite
            | Step::ServerAcceptsUnheard
            | Step::ServerAnswers(Reply::Nothing)
            | Step::OperatorRetries
            | Step::OperatorRemoves
            | Step::OperatorSuppresses
    )
}

impl Steps {
    pub(super) fn faults(&mut self) {
        let rules = self.rules;
        for index in 0..2 {
            if self.of.relays[index] != Relay::Idle {
                self.fault(Step::RelayDies, |state| state.relays[index] = Relay::Idle);
            }
            if self.of.mailers[index] != Mailer::Idle {
                self.fault(Step::MailerDies, |state| state.mailers[index] = Mailer::Idle);
            }
        }
        if self.of.redis.event.is_some() {
            self.fault(Step::EventIsLost, |state| state.redis.event = None);
        }
        let is_between = self.of.is_torn || self.of.mailers.contains(&Mailer::Took);
        let may_lose = !is_between || !rules.hold(Rule::NoLossInBetween);
        if self.of.redis != Stored::default() && may_lose {
            self.fault(Step::RedisLosesEverything, |state| {
                (state.redis, state.completed) = (Stored::default(), false);
                if !rules.hold(Rule::RedisKeepsItsWord) {
                    state.before = Stored::default(); // else it is a copy, which is somewhere else
                }
            });
        }
        if !rules.hold(Rule::RedisKeepsItsWord) {
            self.fault(Step::RedisLosesItsLastWrite, |state| {
                (state.redis, state.completed) = (state.before, false);
            });
        }
    }

    pub(super) fn operators(&mut self) {
        let rules = self.rules;
        if !self.of.is_suppressed {
            self.push(Step::OperatorSuppresses, |state| {
                state.operations -= 1;
                state.is_suppressed = true;
            });
        }
        let Some(job) = self.of.redis.job else { return self.retry_lost() };
        if job.state == JobState::Failed {
            self.push(Step::OperatorRetries, |state| {
                state.operations -= 1;
                state.write(rules, |redis| {
                    redis.job = Some(Job { state: JobState::Waiting, lock: None, stalls: 0, attempts: ATTEMPTS });
                    redis.event = None;
                });
                if state.row == Row::Closed(End::Failed) {
                    state.row = Row::Queued;
                }
            });
        }
        if matches!(job.state, JobState::Waiting | JobState::Failed) {
            self.push(Step::OperatorRemoves, |state| {
                state.operations -= 1;
                let last = state.redis.ledger.map(|entry| entry.what);
                state.flagged |= last == Some(Known::Intent);
                let is_open = !matches!(last, Some(Known::Accepted | Known::Refused));
                let entry = if is_open { Some(state.entry(Known::Removed)) } else { state.redis.ledger };
                state.write(rules, |redis| *redis = Stored { job: None, ledger: entry, event: Some(End::Removed) });
            });
        }
    }

    /// A failed mail whose job is gone: its row counts as queued, and then as lost.
    fn retry_lost(&mut self) {
        let rules = self.rules;
        if self.of.row == Row::Closed(End::Failed) {
            self.push(Step::OperatorRetries, |state| {
                state.operations -= 1;
                state.row = Row::Queued;
                if state.redis.ledger.is_some_and(|entry| entry.what == Known::Refused) {
                    let entry = state.entry(Known::Deferred);
                    state.write(rules, |redis| redis.ledger = Some(entry));
                }
            });
        }
    }
}
