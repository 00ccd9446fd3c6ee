//! Statistics of exams: computed off the HTTP threads, one computation in flight for each exam (single flight), and cached.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use examhall_core::{ExamId, Statistics};
use examhall_store::Error;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
    task::spawn_blocking,
};

use crate::http::problem::Problem;

/// Bytes of answers that are cached: those of some hundred exams with 1,000 questions, or of 10,000 small ones.
const CAPACITY: u64 = 16 * 1024 * 1024;
/// How long an answer is cached that nobody reads.
const IDLE: Duration = Duration::from_hours(1);
/// Computations at once, of different exams: each needs a processor and, in turns, a connection to the database.
const AT_ONCE: usize = 2;

/// What statistics depend on: there are new numbers where one of these is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Basis {
    /// The exam's version, which every change of its questions raises.
    pub(crate) version: i64,
    /// How many results there are.
    pub(crate) results: u64,
    /// How often one was changed by grading again.
    pub(crate) changes: u64,
}

/// An answer, ready to send.
#[derive(Clone, Debug)]
struct Computed {
    basis: Basis,
    begun: Instant,
    body: Bytes,
}

type Outcome = Result<Computed, Problem>;
type Flight = watch::Receiver<Option<Outcome>>;

/// Cached statistics, and computations in flight. Cheap to clone; clones share them.
#[derive(Clone)]
pub(crate) struct StatisticsCache {
    kept: Cache<ExamId, Computed>,
    flights: Arc<Mutex<HashMap<ExamId, Flight>>>,
    places: Arc<Semaphore>,
}

impl StatisticsCache {
    pub(crate) fn new() -> Self {
        let size = |_: &ExamId, computed: &Computed| u32::try_from(computed.body.len()).unwrap_or(u32::MAX);
        Self {
            kept: Cache::builder().max_capacity(CAPACITY).weigher(size).time_to_idle(IDLE).build(),
            flights: Arc::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Returns the statistics of an exam as JSON, from memory if they are of `basis`, which the caller has just read.
    ///
    /// Joins a computation in flight. One that began before the basis was read may lack the last results: then another
    /// follows it, for all callers that wait. `compute` runs to its end on a thread for blocking work, whether or not
    /// its caller still waits.
    pub(crate) async fn read<F>(
        &self,
        exam: ExamId,
        basis: Basis,
        compute: impl Fn() -> F + Clone + Send + 'static,
    ) -> Result<Bytes, Problem>
    where
        F: Future<Output = Result<Statistics, Error>>,
    {
        let asked = Instant::now();
        if let Some(kept) = self.kept.get(&exam).filter(|kept| kept.basis == basis) {
            return Ok(kept.body);
        }
        loop {
            let mut flight = self.join(exam, basis, compute.clone());
            let landed = flight.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
            let computed = match landed {
                Ok(Some(outcome)) => outcome?,
                _ => return Err(Problem::internal(&"statistics were not computed to their end")),
            };
            if computed.basis == basis || computed.begun >= asked {
                return Ok(computed.body);
            }
        }
    }

    /// Returns the computation in flight, or begins one.
    fn join<F>(&self, exam: ExamId, asked: Basis, compute: impl Fn() -> F + Send + 'static) -> Flight
    where
        F: Future<Output = Result<Statistics, Error>>,
    {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&exam) {
            return flight.clone();
        }
        let (landing, flight) = watch::channel(None);
        flights.insert(exam, flight.clone());
        let cache = self.clone();
        tokio::spawn(async move {
            let place = cache.places.acquire().await;
            let begun = Instant::now();
            let runtime = Handle::current();
            let done = spawn_blocking(move || to_json(&runtime.block_on(compute())?)).await;
            drop(place);
            let outcome = done.unwrap_or_else(|panic| Err(Problem::internal(&panic))).map(|(results, body)| Computed {
                basis: Basis { results, ..asked },
                begun,
                body,
            });
            if let Ok(computed) = &outcome {
                cache.kept.insert(exam, computed.clone());
            }
            cache.flights.lock().remove(&exam);
            landing.send_replace(Some(outcome));
        });
        flight
    }
}

/// Returns how many results were added up, and the answer.
fn to_json(statistics: &Statistics) -> Result<(u64, Bytes), Problem> {
    metrics::counter!("statistics_computed_total").increment(1);
    let body = serde_json::to_vec(statistics).map_err(|error| Problem::internal(&error))?;
    Ok((statistics.count, body.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    };

    use futures_util::future::join_all;

    use super::*;

    const EXAM: ExamId = ExamId(uuid::Uuid::nil());

    fn of(results: u64) -> Basis {
        Basis { version: 1, results, changes: 0 }
    }

    fn counted(count: u64) -> Statistics {
        Statistics { count, ..Statistics::default() }
    }

    /// On one thread: were the computation to run on it, nobody would open the gate.
    #[tokio::test(flavor = "current_thread")]
    async fn one_computation_serves_all_callers_off_their_thread() {
        let (cache, runs) = (StatisticsCache::new(), Arc::new(AtomicU32::new(0)));
        let (open, gate) = mpsc::channel();
        let gate = Arc::new(Mutex::new(gate));
        let compute = {
            let runs = Arc::clone(&runs);
            move || {
                runs.fetch_add(1, Ordering::SeqCst);
                gate.lock().recv().expect("opened");
                async { Ok(counted(7)) }
            }
        };
        let callers = (0..50).map(|_| {
            let (cache, compute) = (cache.clone(), compute.clone());
            tokio::spawn(async move { cache.read(EXAM, of(7), compute).await })
        });
        let callers: Vec<_> = callers.collect();
        while runs.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        open.send(()).expect("sent");
        let bodies = join_all(callers).await;
        assert!(bodies.iter().all(|body| matches!(body, Ok(Ok(body)) if body.starts_with(br#"{"count":7"#))));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(cache.flights.lock().is_empty());
    }

    #[tokio::test]
    async fn statistics_are_computed_again_on_another_basis_alone() {
        let (cache, runs) = (StatisticsCache::new(), Arc::new(AtomicU32::new(0)));
        let read = async |version, results| {
            let runs = Arc::clone(&runs);
            let compute = move || {
                runs.fetch_add(1, Ordering::SeqCst);
                async move { Ok(counted(results)) }
            };
            cache.read(EXAM, Basis { version, ..of(results) }, compute).await.expect("computed")
        };
        for (version, results, ran) in [(1, 0, 1), (1, 0, 1), (1, 1, 2), (2, 1, 3), (2, 1, 3)] {
            read(version, results).await;
            assert_eq!(runs.load(Ordering::SeqCst), ran, "version {version}, {results} results");
        }
    }

    #[tokio::test]
    async fn a_failed_computation_is_not_cached() {
        let cache = StatisticsCache::new();
        let failed = cache.read(EXAM, of(1), || async { Err(Error::ReadOnly) }).await.expect_err("failed");
        assert_eq!(actix_web::ResponseError::status_code(&failed), 503);
        let panicked = cache.read(EXAM, of(1), || async { unreachable!("a fault of ours") }).await.expect_err("failed");
        assert_eq!(actix_web::ResponseError::status_code(&panicked), 500);
        cache.read(EXAM, of(1), || async { Ok(counted(1)) }).await.expect("computed");
    }

    #[tokio::test]
    async fn a_result_that_came_during_the_computation_is_counted() {
        let (cache, results) = (StatisticsCache::new(), Arc::new(AtomicU32::new(1)));
        let ((open, gate), (begun, mut begins)) = (mpsc::channel::<()>(), tokio::sync::mpsc::unbounded_channel());
        let gate = Arc::new(Mutex::new(gate));
        let compute = {
            let results = Arc::clone(&results);
            move || {
                let count = results.load(Ordering::SeqCst);
                begun.send(()).expect("somebody waits");
                assert!(gate.lock().recv().is_err(), "open once the sender is gone");
                async move { Ok(counted(count.into())) }
            }
        };
        let first = tokio::spawn({
            let (cache, compute) = (cache.clone(), compute.clone());
            async move { cache.read(EXAM, of(1), compute).await }
        });
        begins.recv().await.expect("begun");
        results.store(2, Ordering::SeqCst);
        let second = cache.read(EXAM, of(2), compute);
        let opened = async {
            drop(open);
            first.await
        };
        let (second, first) = tokio::join!(second, opened); // it joins the computation before the gate opens
        assert!(first.expect("no panic").expect("computed").starts_with(br#"{"count":1"#));
        assert!(second.expect("computed").starts_with(br#"{"count":2"#));
    }
}
