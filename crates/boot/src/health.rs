//! Last answer of each dependency, and since when.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::Serialize;
use time::{OffsetDateTime, serde::rfc3339};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// The state of every dependency of a process. Cheap to clone; clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, Dependency>>>);

/// Last answer of a dependency.
#[derive(Clone, Debug, Serialize)]
pub struct Dependency {
    /// Whether it answers.
    pub state: State,
    /// When it came into this state.
    #[serde(with = "rfc3339")]
    pub since: OffsetDateTime,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip)]
    has_answered: bool,
}

/// Whether a dependency answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not probed yet.
    Unknown,
    /// It answers.
    Up,
    /// It does not answer, or refuses.
    Down,
}

impl Health {
    /// Time limit of an answer.
    const TIMEOUT: Duration = Duration::from_secs(2);

    /// Probes a dependency at this interval until `stop`. `probe` returns `Err(reason)` if it does not work; the reason
    /// must hold no secret.
    pub fn watch<P, F>(&self, name: &'static str, every: Duration, stop: CancellationToken, probe: P)
    where
        P: Fn() -> F + Send + 'static,
        F: Future<Output = Result<(), String>> + Send,
    {
        self.expect(name);
        let health = self.clone();
        tokio::spawn(async move {
            let mut clock = tokio::time::interval(every);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stop.run_until_cancelled(clock.tick()).await.is_some() {
                let answer = tokio::time::timeout(Self::TIMEOUT, probe()).await;
                health.report(name, answer.unwrap_or_else(|_| Err("no answer within 2 s".to_owned())));
            }
        });
    }

    /// Adds a dependency whose state is unknown until [`report`](Self::report).
    pub fn expect(&self, name: &'static str) {
        self.0.lock().insert(name, Dependency::new(State::Unknown, None));
    }

    /// Returns whether the last answer was good.
    pub fn is_up(&self, name: &str) -> bool {
        self.0.lock().get(name).is_some_and(|dependency| dependency.state == State::Up)
    }

    /// Returns whether the dependency has ever answered.
    pub fn has_answered(&self, name: &str) -> bool {
        self.0.lock().get(name).is_some_and(|dependency| dependency.has_answered)
    }

    /// Returns the body of `/readyz`.
    pub fn readiness(&self, ready: bool) -> Readiness {
        let status = if ready { "ready" } else { "unready" };
        Readiness { status, dependencies: self.0.lock().clone(), ready }
    }

    /// Records an answer; the reason of an error must hold no secret.
    pub fn report(&self, name: &'static str, answer: Result<(), String>) {
        let mut dependencies = self.0.lock();
        let now = match answer {
            Ok(()) => Dependency::new(State::Up, None),
            Err(reason) => Dependency::new(State::Down, Some(reason)),
        };
        let before = dependencies.remove(name);
        let since = before.as_ref().filter(|before| before.state == now.state).map_or(now.since, |before| before.since);
        let has_answered = now.has_answered || before.is_some_and(|before| before.has_answered);
        let up = if now.state == State::Up { 1.0 } else { 0.0 };
        metrics::gauge!("dependency_up", "dependency" => name).set(up);
        dependencies.insert(name, Dependency { since, has_answered, ..now });
    }
}

impl Dependency {
    fn new(state: State, reason: Option<String>) -> Self {
        Self { state, since: OffsetDateTime::now_utc(), reason, has_answered: state == State::Up }
    }
}

impl Readiness {
    /// Marks the process as stopping: it should get no more work.
    #[must_use]
    pub fn stopping(self) -> Self {
        Self { status: "stopping", ready: false, ..self }
    }
}

/// The body of `/readyz`.
#[derive(Clone, Debug, Serialize)]
pub struct Readiness {
    /// `ready`, `unready` or `stopping`.
    status: &'static str,
    dependencies: BTreeMap<&'static str, Dependency>,
    /// Whether the process should get work: 200 or 503.
    #[serde(skip)]
    pub ready: bool,
}
