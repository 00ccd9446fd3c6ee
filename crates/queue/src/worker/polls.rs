//! The state of a worker's polls: what is in flight, when the next one is due, and what went wrong.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    isolation::GivenUp,
    outage::Outage,
    plan::Next,
    poll::Received,
    refusals::{TWICE, may_be_of_one},
    report::Report,
};
use crate::{
    Error,
    client::Client,
    clock::millis,
    hooks::{Hooks, WorkerEvent},
};

/// For how long jobs of a lost answer are reclaimed: its script may still run.
const DOUBT: Duration = Duration::from_secs(5);

/// The polls of a worker.
pub(super) struct Polls {
    /// Knows the time.
    pub(super) client: Client,
    pub(super) in_flight: FuturesUnordered<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    /// Free slots that these have asked jobs for.
    pub(super) reserved: usize,
    /// Number of polls so far.
    pub(super) sent: u64,
    /// Number of taken jobs so far.
    pub(super) taken: u64,
    /// When a poll last looked for delayed jobs that are due, unless the next one is to look.
    pub(super) looked: Option<Instant>,
    /// What the last poll said about keys that have another type.
    pub(super) failure: Option<String>,
    pub(super) next: Next,
    /// Set while the worker may have jobs that it does not know of.
    pub(super) doubt: Option<Doubt>,
    outage: Outage,
    /// Number of refusals in a row.
    pub(super) refusals: u32,
    /// What the last one was.
    pub(super) refusal: String,
    pub(super) given_up: GivenUp,
    /// Whether a key of the queue was found to have another type.
    pub(super) is_blocked: bool,
}

/// The answer to a poll was lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    pub(super) until: Instant,
    pub(super) next_reclaim: Instant,
}

/// A poll with its answer.
pub(super) struct Answer {
    pub(super) reports: Vec<Report>,
    pub(super) wanted: usize,
    pub(super) received: Result<Received, Error>,
}

impl Polls {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            in_flight: FuturesUnordered::new(),
            reserved: 0,
            sent: 0,
            taken: 0,
            looked: None,
            failure: None,
            next: Next::Now,
            doubt: None,
            outage: Outage::default(),
            refusals: 0,
            refusal: String::new(),
            given_up: GivenUp::default(),
            is_blocked: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// Waits for an answer; returns `None` if no poll is in flight.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        self.in_flight.next().await
    }

    /// Backs off after an error. A script may have run all the same: the worker may have its jobs, and its reports may
    /// have been received.
    pub(super) fn fail(&mut self, error: &Error, hooks: &Hooks) {
        let is_first = self.outage.fail();
        if !error.is_transient() {
            self.refusals = self.refusals.saturating_add(1);
            self.refusal = error.to_string();
            if !may_be_of_one(error) {
                self.log_refusal();
            }
        } else if is_first {
            tracing::warn!(%error, "Queue not reached");
        }
        hooks.call(&WorkerEvent::Error { error });
        self.doubt = Some(Doubt { until: Instant::now() + DOUBT, next_reclaim: Instant::now() });
        self.back_off();
    }

    fn back_off(&mut self) {
        let pause = millis(self.outage.backoff(fastrand::f64()));
        self.next = Next::Retry { at: self.client.now_ms().saturating_add_unsigned(pause) };
    }

    /// Backs off since a key of the queue has another type.
    pub(super) fn blocked(&mut self, failure: String) {
        self.outage.fail();
        self.is_blocked = true;
        self.note_failure(Some(failure));
        self.back_off();
    }

    /// Logs once that Redis refuses all polls.
    pub(super) fn log_refusal(&self) {
        if self.refusals == TWICE {
            tracing::error!(error = self.refusal, "Redis refuses the worker's polls");
        }
    }

    /// Notes which key has another type, and logs each once.
    pub(super) fn note_failure(&mut self, failure: Option<String>) {
        if failure.is_some() && failure != self.failure {
            tracing::error!(failure, "A key of the queue has another type than BullMQ's: delete or rename it");
        }
        self.failure = failure;
    }

    /// Notes the end of an outage.
    pub(super) fn succeed(&mut self) {
        self.refusals = 0;
        if let Some(lasted) = self.outage.end() {
            tracing::info!(outage_ms = millis(lasted), "Queue reached again");
        }
    }
}
