//! What each dependency last said, and since when.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;
use time::{OffsetDateTime, serde::rfc3339};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// The state of every dependency of a process. Cheap to clone; clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, Dependency>>>);

/// What a dependency last said.
#[derive(Clone, Debug, Serialize)]
pub struct Dependency {
    /// Whether it answers.
    pub state: State,
    /// When it came into this state.
    #[serde(with = "rfc3339")]
    pub since: OffsetDateTime,
    /// Why it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip)]
    last_answer: Option<Instant>,
}

/// Whether a dependency answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It has not answered yet, nor failed to.
    Unknown,
    /// It answers.
    Up,
    /// It does not.
    Down,
}

impl Health {
    /// How long it may take to answer.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// Asks a dependency this often until `stop`, and keeps what it says. `probe` answers `Err(reason)` where the
    /// dependency does not work; the reason must hold no secret.
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
                let answer = tokio::time::timeout(Self::PATIENCE, probe()).await;
                health.report(name, answer.unwrap_or_else(|_| Err("no answer within 2 s".to_owned())));
            }
        });
    }

    /// Lists a dependency that nobody has tried yet; [`report`](Self::report) says later how that went.
    pub fn expect(&self, name: &'static str) {
        self.lock().insert(name, Dependency::new(State::Unknown, None));
    }

    /// Whether the dependency answered when it was last asked.
    pub fn is_up(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|dependency| dependency.state == State::Up)
    }

    /// Whether the dependency answered within the last `span`.
    pub fn answered_within(&self, name: &str, span: Duration) -> bool {
        let last_answer = self.lock().get(name).and_then(|dependency| dependency.last_answer);
        last_answer.is_some_and(|moment| moment.elapsed() <= span)
    }

    /// What `/readyz` answers.
    pub fn readiness(&self, ready: bool) -> Readiness {
        let status = if ready { "ready" } else { "unready" };
        Readiness { status, dependencies: self.lock().clone(), ready }
    }

    /// Notes what a dependency has just said; the reason of an error must hold no secret.
    pub fn report(&self, name: &'static str, answer: Result<(), String>) {
        let mut dependencies = self.lock();
        let now = match answer {
            Ok(()) => Dependency::new(State::Up, None),
            Err(reason) => Dependency::new(State::Down, Some(reason)),
        };
        let before = dependencies.remove(name);
        let since = before.as_ref().filter(|before| before.state == now.state).map_or(now.since, |before| before.since);
        let last_answer = now.last_answer.or(before.and_then(|before| before.last_answer));
        let up = if now.state == State::Up { 1.0 } else { 0.0 };
        metrics::gauge!("dependency_up", "dependency" => name).set(up);
        dependencies.insert(name, Dependency { since, last_answer, ..now });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Dependency>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dependency {
    fn new(state: State, reason: Option<String>) -> Self {
        let last_answer = (state == State::Up).then(Instant::now);
        Self { state, since: OffsetDateTime::now_utc(), reason, last_answer }
    }
}

impl Readiness {
    /// The same of a process that was told to stop: it should get no more work.
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
