//! Chaos: readers and authors in two `api` processes, while Redis is cut off, frozen, killed, flushed, filled, made
//! read-only, failed over, split in two and restarted from an old snapshot, at random.
#![expect(clippy::print_stdout, reason = "the figures stand in docs/caching.md")]

mod reader;
mod servers;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use examhall_testkit::{DatabaseKind, RedisOptions, World, eventually};
use futures_util::future::join_all;
use serde_json::json;

use self::{
    reader::Reader,
    servers::{FAULTS, Fault, Servers},
};
use crate::{
    TIMEOUT,
    exam_start::{Fleet, LATE},
};

/// How old an answer may be that a process gives while it cannot know better: two seconds of an unproven link or of a
/// load without Redis, and the time of a load.
const STALEST: Duration = Duration::from_millis(2350);
const READERS: usize = 8;
/// Sheets that a reader asks for at once.
const AT_ONCE: usize = 8;
const AUTHORS: usize = 2;
const EXAMS: usize = 20;

/// How late this process's timers were of late: so much may be the machine's.
#[derive(Default)]
struct Lateness(Mutex<VecDeque<(Instant, Duration)>>);

impl Lateness {
    async fn watch(self: Arc<Self>) {
        const STEP: Duration = Duration::from_millis(10);
        loop {
            let begun = Instant::now();
            tokio::time::sleep(STEP).await; // how late this ends is what is measured
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
async fn read(reader: &mut Reader, seen: &Seen, exams: &[&str]) -> Vec<Option<i64>> {
    let answers = match reader.read(exams).await {
        Ok(answers) => answers,
        Err(error) => {
            seen.complain(&format!("a read fails: {error}"));
            return Vec::new();
        }
    };
    let note = |(status, version): (u16, Option<i64>)| {
        if status != 200 {
            seen.complain(&format!("a read is answered with {status}"));
            return None;
        }
        Some(version.expect("the ETag names it"))
    };
    answers.into_iter().map(note).collect()
}

async fn read_all_the_time(fleet: Arc<Fleet>, seen: Arc<Seen>, exams: Arc<[String]>, api: usize) {
    let mut reader = Reader::open(&fleet, api).await;
    while !seen.stops.load(Ordering::Relaxed) {
        let chosen: Vec<usize> = (0..AT_ONCE).map(|_| fastrand::usize(..exams.len())).collect();
        let (names, asked): (Vec<&str>, _) =
            (chosen.iter().map(|exam| exams[*exam].as_str()).collect(), Instant::now());
        let versions = read(&mut reader, &seen, &names).await;
        if versions.is_empty() {
            reader = Reader::open(&fleet, api).await;
        }
        for (exam, version) in chosen.into_iter().zip(versions) {
            if let Some(version) = version {
                seen.note_read(exam, version, asked);
            }
        }
    }
}

async fn change_now_and_then(fleet: Arc<Fleet>, seen: Arc<Seen>, exams: Arc<[String]>, api: usize) {
    let mut reader = Reader::open(&fleet, api).await;
    while !seen.stops.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..150))).await; // an author who thinks
        let exam = fastrand::usize(..exams.len());
        let (status, written) = fleet.change_exam(api, &exams[exam], "Logic").await;
        if status != 200 {
            seen.complain(&format!("a change is answered with {status}"));
            continue;
        }
        let version = written.expect("the ETag names it");
        seen.written[exam].lock().expect("no panic").push((Instant::now(), version));
        seen.writes.fetch_add(1, Ordering::Relaxed);
        match read(&mut reader, &seen, &[&exams[exam]]).await.as_slice() {
            [Some(shown)] if *shown < version => {
                seen.complain(&format!("its author wrote version {version} and read {shown}"));
            }
            [] => reader = Reader::open(&fleet, api).await,
            _ => {}
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
