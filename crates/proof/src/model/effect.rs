//! What steps do to the state.

use super::state::{End, Entry, Job, JobState, Known, Mailer, Reply, Row, Rule, Rules, State, Stored};

/// Times that a job may lose its mailer before it is given up.
pub(super) const STALLS: u8 = 2;
pub(super) const ATTEMPTS: u8 = 2;

/// What the ledger says of a mail's end.
pub(super) fn end_in(ledger: Option<Entry>) -> Option<End> {
    match ledger?.what {
        Known::Accepted => Some(End::Sent),
        Known::Refused | Known::Removed => Some(End::Failed),
        Known::Intent | Known::Deferred => None,
    }
}

impl State {
    pub(super) fn write(&mut self, rules: Rules, change: impl FnOnce(&mut Stored)) {
        if !rules.hold(Rule::RedisKeepsItsWord) {
            self.before = self.redis;
        }
        change(&mut self.redis);
    }

    /// What Redis holds is copied.
    pub(crate) fn copied(mut self) -> Self {
        self.before = self.redis;
        self.canonical()
    }

    /// Redis holds what was copied, and nothing else. An operator does that, who knows what it means (docs/redis.md): a
    /// mail of which the ledger has forgotten something may be sent twice.
    pub(crate) fn put_back(mut self) -> Self {
        self.flagged |= self.redis.ledger != self.before.ledger;
        (self.redis, self.completed) = (self.before, false);
        self.canonical()
    }

    /// A new entry.
    pub(super) fn entry(&mut self, what: Known) -> Entry {
        self.versions += 1;
        Entry { what, version: self.versions }
    }

    pub(super) fn accept(&mut self) {
        if self.accepted > 0 && !self.flagged {
            self.broken = Some("a mail is sent twice, and nobody says so");
        }
        self.accepted = (self.accepted + 1).min(2);
    }

    pub(super) fn close(&mut self, end: End) {
        if matches!(self.row, Row::Closed(_)) {
            return;
        }
        self.row = Row::Closed(end);
        if end == End::Sent && self.accepted == 0 {
            self.broken = Some("a mail counts as sent that was not");
        } else if end == End::Failed && self.accepted > 0 && !self.flagged {
            self.broken = Some("a mail counts as failed that was accepted");
        }
    }

    pub(super) fn record(&mut self, index: usize, reply: Reply, version: Option<Entry>, rules: Rules) {
        let is_own = self.redis.ledger == version;
        let (what, then) = match reply {
            Reply::Accepted => (Known::Accepted, Mailer::Recorded(End::Sent)),
            Reply::Refused => (Known::Refused, Mailer::Recorded(End::Failed)),
            Reply::Deferred => (Known::Deferred, Mailer::Deferred),
            Reply::Nothing => (Known::Intent, Mailer::Deferred),
        };
        let is_written = match reply {
            Reply::Accepted => rules.hold(Rule::AcceptanceIsWritten), // whatever is there: what has happened has
            Reply::Nothing => false,
            Reply::Refused | Reply::Deferred => is_own,
        };
        if is_written {
            let entry = self.entry(what);
            self.write(rules, |redis| redis.ledger = Some(entry));
        }
        self.mailers[index] = then;
    }

    pub(super) fn has_lock(&self, index: usize, rules: Rules) -> Option<Job> {
        let job = self.redis.job.filter(|job| job.state == JobState::Active)?;
        (!rules.hold(Rule::LockIsCompared) || job.lock.map(usize::from) == Some(index)).then_some(job)
    }

    pub(super) fn end_job(&mut self, index: usize, end: End, rules: Rules) {
        if let Some(job) = self.has_lock(index, rules) {
            self.finish(job, end, rules);
        }
    }

    pub(super) fn finish(&mut self, job: Job, end: End, rules: Rules) {
        let state = if end == End::Sent { JobState::Completed } else { JobState::Failed };
        self.completed |= end == End::Sent;
        self.write(rules, |redis| {
            redis.job = Some(Job { state, lock: None, ..job });
            redis.event = Some(end);
        });
    }

    pub(super) fn defer_job(&mut self, index: usize, spends: bool, rules: Rules) {
        let Some(job) = self.has_lock(index, rules) else { return };
        if spends && job.attempts <= 1 {
            // Nobody knows whether an attempt without an answer has delivered it: its job's log says so.
            self.flagged |= matches!(self.redis.ledger, Some(Entry { what: Known::Intent, .. }));
            return self.finish(job, End::Failed, rules);
        }
        let attempts = job.attempts - u8::from(spends);
        self.write(rules, |redis| redis.job = Some(Job { state: JobState::Waiting, lock: None, attempts, ..job }));
    }

    pub(super) fn reclaim(&mut self, job: Job, rules: Rules) {
        if job.stalls < STALLS {
            let waiting = Job { state: JobState::Waiting, lock: None, stalls: job.stalls + 1, ..job };
            return self.write(rules, |redis| redis.job = Some(waiting));
        }
        let asked = self.redis.ledger.filter(|_| rules.hold(Rule::LedgerIsAskedAtTheEnd));
        let end = if asked.is_some_and(|entry| entry.what == Known::Accepted) { End::Sent } else { End::Failed };
        let is_doubt = asked.is_some_and(|entry| entry.what == Known::Intent);
        self.flagged |= is_doubt;
        if end == End::Failed && !is_doubt && rules.hold(Rule::LedgerIsAskedAtTheEnd) {
            let entry = self.entry(Known::Refused); // or a frozen mailer may still send it
            self.write(rules, |redis| redis.ledger = Some(entry));
        }
        self.finish(job, end, rules);
    }
}
