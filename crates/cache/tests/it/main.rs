//! Tests of the public API, each with its own redis-server. Two caches are two processes: they share only the Redis.

mod cluster;
mod commits;
mod events;
mod faults;
mod freshness;
mod frozen;
mod groups;
mod guards;
mod inspect;
mod journal;
mod keys;
mod large;
mod lifetime;
mod loads;
mod many;
mod memory;
mod metrics_list;
mod model;
mod nested;
mod operations;
mod options;
mod race;
mod releases;
mod reloads;
mod servers;
mod starved;
mod world;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use examhall_cache::{Cache, CacheKey, Fresh, Life, ReadError, Source};
use examhall_core::{Exam, ExamAccess, ExamId, ExamStatus, KEY_SPACES, PaperPolicy, ResultPolicy, Timestamp, UserId};
use examhall_testkit::Redis;
use tokio::sync::Semaphore;

const KEY: ExamKey = ExamKey(ExamId(uuid::Uuid::nil()));
/// `exam:{id}`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ExamKey(ExamId);

impl CacheKey for ExamKey {
    type Value = Exam;
    type Head = ExamAccess;
    const LIFE: Life = Life::hours(1);

    fn redis_key(&self) -> String {
        format!("exam:{}", self.0)
    }
}

const TIMEOUT: Duration = Duration::from_mins(1);
/// How late another process may show a change. Two seconds are promised, where the machine has time; a memory that was
/// not notified of it would show the old value for most of a minute.
const LATE: Duration = Duration::from_secs(15);

/// Why the database of these tests fails.
#[derive(Debug, thiserror::Error)]
#[error("the database is away")]
struct Away;

/// The version of a row that does not exist: no test counts so far.
const NO_ROW: u32 = u32::MAX;

/// The database of these tests: one row, how often it was read, and gates that loads pass.
#[derive(Clone)]
struct Row {
    version: Arc<AtomicU32>,
    loads: Arc<AtomicU32>,
    /// Passed after the row was read.
    gate: Arc<Semaphore>,
    fails: Arc<AtomicU32>,
}

impl Row {
    /// One whose loads pass.
    fn new() -> Self {
        Self::with_gate(Semaphore::MAX_PERMITS)
    }

    /// One whose loads stop once they have read.
    fn gated() -> Self {
        Self::with_gate(0)
    }

    fn with_gate(permits: usize) -> Self {
        let gate = Arc::new(Semaphore::new(permits));
        Self { version: Arc::default(), loads: Arc::default(), gate, fails: Arc::default() }
    }

    fn loads(&self) -> u32 {
        self.loads.load(Ordering::SeqCst)
    }

    fn change(&self) -> u32 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn open(&self) {
        self.gate.add_permits(1_000_000);
    }

    /// Loader of the row.
    async fn load(self) -> Result<Option<Fresh<ExamKey>>, Away> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let version = self.version.load(Ordering::SeqCst);
        self.gate.acquire().await.expect("open").forget();
        if self.fails.load(Ordering::SeqCst) > 0 {
            return Err(Away);
        }
        Ok((version != NO_ROW).then(|| Fresh::new(version.into(), access(), exam(version))))
    }

    async fn loading(&self) {
        self.loading_times(1).await;
    }

    async fn loading_times(&self, times: u32) {
        let begun = async || (self.loads() >= times).then_some(());
        examhall_testkit::eventually("the load to begin", TIMEOUT, begun).await;
    }
}

fn access() -> ExamAccess {
    exam(0).access()
}

fn exam(version: u32) -> Exam {
    let moment = Timestamp::from_millis(0);
    Exam {
        id: KEY.0,
        author_id: UserId(uuid::Uuid::nil()),
        title: format!("version {version}"),
        description: "x".repeat(2000),
        duration_minutes: 60,
        max_attempts: 1,
        pass_mark: 50,
        opens_at: None,
        closes_at: None,
        shuffle: false,
        paper: PaperPolicy::WhileOpen,
        results: ResultPolicy::OnSubmit,
        show_marks: false,
        review: false,
        access: examhall_core::Admission::Open,
        results_published_at: None,
        status: ExamStatus::Published,
        created_at: moment,
        updated_at: moment,
    }
}

async fn cache(redis: &Redis) -> Cache {
    at(&redis.url()).await
}

async fn at(url: &str) -> Cache {
    let cache = Cache::builder(KEY_SPACES).open(url).expect("a good URL");
    cache.ready().await.expect("connected");
    cache
}

/// Invalidates [`KEY`]. A busy machine may exceed the time limit of 50 ms; then it is retried.
async fn forget(cache: &Cache) {
    examhall_testkit::eventually("Redis to be notified", TIMEOUT, async || cache.delete(&KEY).await.ok()).await;
}

/// Checks that most are below the bound: a busy machine is late at times.
fn mostly_within(bound: Duration, mut lags: Vec<Duration>) {
    lags.sort();
    assert!(lags[lags.len() / 2] < bound, "{lags:?}");
}

/// Reads, and returns the version, or `None` if there is no row.
async fn try_read(cache: &Cache, row: &Row) -> Result<(Option<i64>, Source), ReadError> {
    let row = row.clone();
    let (cached, source) = cache.get_or_load(&KEY, move || row.load()).await?;
    if let Some(cached) = &cached {
        let value = cached.value().expect("its own JSON");
        assert_eq!(value.title, format!("version {}", cached.version()), "body and version are of one moment");
    }
    Ok((cached.map(|cached| cached.version()), source))
}

async fn read(cache: &Cache, row: &Row) -> (i64, Source) {
    let (version, source) = try_read(cache, row).await.expect("read");
    (version.expect("there is a row"), source)
}

fn reader(cache: &Cache, row: &Row) -> tokio::task::JoinHandle<Result<(Option<i64>, Source), ReadError>> {
    let (cache, row) = (cache.clone(), row.clone());
    tokio::spawn(async move { try_read(&cache, &row).await })
}

/// Reads another key than [`KEY`].
fn other_reader(cache: &Cache, row: &Row, n: u128) -> tokio::task::JoinHandle<Result<bool, ReadError>> {
    let (cache, row, key) = (cache.clone(), row.clone(), ExamKey(ExamId(uuid::Uuid::from_u128(n + 1))));
    tokio::spawn(async move { cache.get_or_load(&key, move || row.load()).await.map(|(read, _)| read.is_some()) })
}
