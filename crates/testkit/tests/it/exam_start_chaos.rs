//! Chaos: readers and authors in two `api` processes, while Redis is cut off, frozen, killed, flushed, filled, made
//! read-only, failed over, split in two and restarted from an old snapshot, at random.
#![expect(clippy::print_stdout, reason = "the figures stand in docs/caching.md")]

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use examhall_testkit::{DatabaseKind, Proxy, Redis, RedisOptions, World, eventually};
use futures_util::future::join_all;
use serde_json::json;

use crate::{
    TIMEOUT,
    exam_start::{Fleet, LATE, version_of},
};

/// How old an answer may be that a process gives while it cannot know better: two seconds of an unproven link or of a
/// load without Redis, and the time of a load.
const STALEST: Duration = Duration::from_millis(2350);
const READERS: usize = 8;
const AUTHORS: usize = 2;
const EXAMS: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Cut,
    Sever,
    Silence,
    Freeze,
    Kill,
    Flush,
    Full,
    ReadOnly,
    FailOver,
    SplitBrain,
    Snapshot,
}

const FAULTS: [Fault; 11] = [
    Fault::Cut,
    Fault::Sever,
    Fault::Silence,
    Fault::Freeze,
    Fault::Kill,
    Fault::Flush,
    Fault::Full,
    Fault::ReadOnly,
    Fault::FailOver,
    Fault::SplitBrain,
    Fault::Snapshot,
];

/// Two servers, one of which is the master, and the link of each process to it.
struct Servers {
    redis: [Redis; 2],
    master: usize,
    links: [Proxy; 2],
    chance: fastrand::Rng,
}

impl Servers {
    async fn start(seed: u64) -> Self {
        let redis = [Redis::start_with(RedisOptions::default()).await, Redis::start().await];
        let links = [Proxy::start(redis[0].port()).await, Proxy::start(redis[0].port()).await];
        let servers = Self { redis, master: 0, links, chance: fastrand::Rng::with_seed(seed) };
        servers.follow(1, 0).await;
        servers
    }

    fn urls(&self) -> [Option<String>; 2] {
        [0, 1].map(|link| Some(format!("redis://127.0.0.1:{}", self.links[link].port())))
    }

    fn master(&self) -> &Redis {
        &self.redis[self.master]
    }

    async fn follow(&self, replica: usize, master: usize) {
        self.redis[replica].cmd::<String>(&format!("REPLICAOF 127.0.0.1 {}", self.redis[master].port())).await;
    }

    async fn pass(&mut self, from_ms: u64, to_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.chance.u64(from_ms..to_ms))).await;
    }

    /// Makes one thing fail, and mends it.
    async fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::Cut => self.links.iter().for_each(Proxy::cut),
            Fault::Sever => {
                self.links.iter().for_each(Proxy::sever);
                self.pass(100, 3_000).await;
                self.links.iter().for_each(Proxy::accept);
            }
            Fault::Silence => self.links[self.chance.usize(..2)].silence(),
            Fault::Freeze => {
                self.master().process().freeze();
                self.pass(100, 5_000).await;
                self.master().process().thaw();
            }
            Fault::Kill => {
                self.redis[self.master].kill().await;
                self.pass(0, 1_000).await;
                self.redis[self.master].restart().await;
            }
            Fault::Flush => drop(self.master().cmd::<String>("FLUSHALL").await),
            Fault::Full => {
                self.master().cmd::<String>("CONFIG SET maxmemory 1").await;
                self.pass(500, 3_000).await;
                self.master().cmd::<String>("CONFIG SET maxmemory 0").await;
            }
            Fault::ReadOnly => {
                self.master().cmd::<String>("REPLICAOF 127.0.0.1 1").await;
                self.pass(500, 4_000).await;
                self.master().cmd::<String>("REPLICAOF NO ONE").await;
            }
            Fault::FailOver | Fault::SplitBrain => self.promote_the_other(fault == Fault::SplitBrain).await,
            Fault::Snapshot => self.restore_a_snapshot().await,
        }
    }

    /// The replica becomes the master, with what it has received; the old one goes on for a time, for one process or for
    /// the connections that are there.
    async fn promote_the_other(&mut self, splits: bool) {
        let (old, new) = (self.master, 1 - self.master);
        self.redis[new].cmd::<String>("REPLICAOF NO ONE").await;
        let first = self.chance.usize(..2);
        self.links[first].redirect(self.redis[new].port());
        if splits {
            self.links[first].cut();
            self.pass(500, 4_000).await;
        }
        self.links[1 - first].redirect(self.redis[new].port());
        if self.chance.bool() {
            self.links.iter().for_each(Proxy::cut);
        }
        self.pass(0, 2_000).await;
        self.follow(old, new).await;
        self.master = new;
    }

    /// The master goes back to what it had some seconds ago.
    async fn restore_a_snapshot(&mut self) {
        let file = self.master().folder().join("dump.rdb");
        self.master().cmd::<String>("SAVE").await;
        let old = std::fs::read(&file).expect("it was saved");
        self.pass(1_000, 5_000).await;
        self.redis[self.master].kill().await;
        std::fs::write(&file, old).expect("a folder of its own");
        self.redis[self.master].restart().await;
        remove(&file);
    }
}

fn remove(file: &PathBuf) {
    std::fs::remove_file(file).expect("it was written");
}

/// How late this process's timers were of late: so much may be the machine's.
#[derive(Default)]
struct Lateness(Mutex<VecDeque<(Instant, Duration)>>);

impl Lateness {
    async fn watch(self: Arc<Self>) {
        const STEP: Duration = Duration::from_millis(10);
        loop {
            let begun = Instant::now();
            tokio::time::sleep(STEP).await;
            let late = begun.elapsed().saturating_sub(STEP);
            let mut times = self.0.lock().expect("no panic");
            times.push_back((begun, late));
            while times.front().is_some_and(|(at, _)| at.elapsed() > Duration::from_secs(20)) {
                times.pop_front();
            }
        }
    }

    /// All lateness of the time that an answer depends on: of the last five seconds before it was asked for.
    fn around(&self, asked: Instant) -> Duration {
        let times = self.0.lock().expect("no panic");
        let begin = asked.checked_sub(Duration::from_secs(5)).unwrap_or(asked);
        let slow = times.iter().rev().take_while(|(at, _)| *at >= begin).map(|(_, late)| *late);
        slow.filter(|late| *late > Duration::from_millis(20)).sum()
    }
}

/// What happened.
#[derive(Default)]
struct Seen {
    /// Versions of each exam, and when their author had the answer.
    written: Vec<Mutex<Vec<(Instant, i64)>>>,
    reads: AtomicU64,
    writes: AtomicU64,
    stale: AtomicU64,
    stalest: Mutex<Duration>,
    wrong: Mutex<Vec<String>>,
    fault: Mutex<String>,
    stops: AtomicBool,
    lateness: Arc<Lateness>,
}

impl Seen {
    /// For how long a newer version than this had been known when it was asked for.
    fn age(&self, exam: usize, version: i64, asked: Instant) -> Duration {
        let written = self.written[exam].lock().expect("no panic");
        let newer = written.iter().rev().take_while(|(_, newer)| *newer > version);
        newer.map(|(at, _)| asked.saturating_duration_since(*at)).max().unwrap_or_default()
    }

    fn note_read(&self, exam: usize, version: i64, asked: Instant) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let age = self.age(exam, version, asked);
        if age.is_zero() {
            return;
        }
        self.stale.fetch_add(1, Ordering::Relaxed);
        let lateness = self.lateness.around(asked);
        let mut stalest = self.stalest.lock().expect("no panic");
        *stalest = (*stalest).max(age);
        drop(stalest);
        if age > STALEST + lateness {
            self.complain(&format!("version {version} was {age:?} old, and timers {lateness:?} late"));
        }
    }

    fn complain(&self, what: &str) {
        let fault = self.fault.lock().expect("no panic").clone();
        self.wrong.lock().expect("no panic").push(format!("during or after {fault}: {what}"));
    }
}

/// Version of an exam as a process gives it; nothing where the answer is not 200, which is noted.
async fn read(fleet: &Fleet, seen: &Seen, api: usize, exam: &str) -> Option<i64> {
    let api = &fleet.apis[api];
    let answer = api.client.get(format!("{}{exam}/questions", api.base)).bearer_auth(&fleet.student).send().await;
    let answer = answer.map_err(|error| seen.complain(&format!("a read fails: {error}"))).ok()?;
    if answer.status() != 200 {
        seen.complain(&format!("a read is answered with {}", answer.status()));
        return None;
    }
    let version = version_of(&answer).expect("the ETag names it");
    drop(answer.bytes().await);
    Some(version)
}

async fn read_all_the_time(fleet: Arc<Fleet>, seen: Arc<Seen>, exams: Arc<[String]>, api: usize) {
    while !seen.stops.load(Ordering::Relaxed) {
        let (exam, asked) = (fastrand::usize(..exams.len()), Instant::now());
        if let Some(version) = read(&fleet, &seen, api, &exams[exam]).await {
            seen.note_read(exam, version, asked);
        }
    }
}

async fn change_now_and_then(fleet: Arc<Fleet>, seen: Arc<Seen>, exams: Arc<[String]>, api: usize) {
    while !seen.stops.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..150))).await;
        let exam = fastrand::usize(..exams.len());
        let (status, written) = fleet.change_exam(api, &exams[exam], "Logic").await;
        if status != 200 {
            seen.complain(&format!("a change is answered with {status}"));
            continue;
        }
        let version = written.expect("the ETag names it");
        seen.written[exam].lock().expect("no panic").push((Instant::now(), version));
        seen.writes.fetch_add(1, Ordering::Relaxed);
        if let Some(shown) = read(&fleet, &seen, api, &exams[exam]).await
            && shown < version
        {
            seen.complain(&format!("its author wrote version {version} and read {shown}"));
        }
    }
}

/// Lets one fault follow the other; returns how many there were of each kind.
async fn suffer(servers: &mut Servers, seen: &Seen, until: Instant) -> BTreeMap<Fault, u32> {
    let mut counts = BTreeMap::new();
    let mut left = Vec::new();
    while Instant::now() < until {
        if left.is_empty() {
            left = FAULTS.to_vec();
            servers.chance.shuffle(&mut left);
        }
        let fault = left.pop().expect("there are some");
        *seen.fault.lock().expect("no panic") = format!("{fault:?}");
        servers.suffer(fault).await;
        *counts.entry(fault).or_default() += 1;
        servers.pass(200, 2_000).await;
    }
    counts
}

async fn agree(fleet: &Fleet, exams: &[String]) {
    for exam in exams {
        let id = exam.trim_start_matches("/exams/");
        let stored: i64 =
            fleet.sql(&format!("SELECT version FROM exams WHERE id = '{id}'")).await.parse().expect("one");
        for api in [0, 1] {
            let agrees = async || (fleet.read_sheet(api, exam).await == (200, json!(stored))).then_some(());
            eventually("memory, Redis and database to agree", LATE, agrees).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_redis_nobody_reads_what_is_long_gone() {
    let is_long = std::env::var_os("EXAMHALL_LONG").is_some();
    let seed =
        std::env::var("EXAMHALL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("EXAMHALL_SEED={seed}");
    let mut servers = Servers::start(seed).await;
    let world = World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await;
    let fleet = Arc::new(Fleet::start_behind(world, servers.urls()).await);
    let exams: Arc<[String]> = fleet.copies(EXAMS - 1).await.into();
    let written = exams.iter().map(|_| Mutex::default()).collect();
    let history = Arc::new(Seen { written, ..Seen::default() });
    let watching = tokio::spawn(Arc::clone(&history.lateness).watch());
    let of_api = |n: usize| (Arc::clone(&fleet), Arc::clone(&history), Arc::clone(&exams), n % 2);
    let readers = (0..READERS)
        .map(of_api)
        .map(|(fleet, seen, exams, api)| tokio::spawn(read_all_the_time(fleet, seen, exams, api)));
    let authors = (0..AUTHORS)
        .map(of_api)
        .map(|(fleet, seen, exams, api)| tokio::spawn(change_now_and_then(fleet, seen, exams, api)));
    let everybody: Vec<_> = readers.chain(authors).collect();
    let begun = Instant::now();
    let faults = suffer(&mut servers, &history, begun + Duration::from_secs(if is_long { 600 } else { 15 })).await;
    history.stops.store(true, Ordering::Relaxed);
    let ended = tokio::time::timeout(TIMEOUT, join_all(everybody)).await.expect("everybody has had an answer");
    for ended in ended {
        ended.expect("no panic");
    }
    watching.abort();
    agree(&fleet, &exams).await;
    let wrong = history.wrong.lock().expect("no panic");
    println!(
        "{:?} reads and {:?} changes in {:.0?}, {} faults {faults:?}: {:?} reads of an older version, the oldest {:.2?}; {} \
         wrong",
        history.reads,
        history.writes,
        begun.elapsed(),
        faults.values().sum::<u32>(),
        history.stale,
        history.stalest.lock().expect("no panic"),
        wrong.len(),
    );
    assert!(
        wrong.is_empty(),
        "{} of {:?}, seed {seed}: {:#?}",
        wrong.len(),
        history.reads,
        &wrong[..wrong.len().min(20)]
    );
    assert!(
        history.writes.load(Ordering::Relaxed) > 20 && history.reads.load(Ordering::Relaxed) > 500,
        "too few to race"
    );
}
