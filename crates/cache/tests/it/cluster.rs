//! A Redis Cluster of six processes: memory is coherent as with one server, also while slots move and a master fails over.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Instant,
};

use examhall_cache::JournalEntry;
use examhall_testkit::{RedisCluster, eventually};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;

/// How late a process may show a change: 2.35 s are promised, where the machine has time.
const BOUND: Duration = Duration::from_secs(6);
/// Keys that are written all the time.
const WRITTEN: std::ops::Range<u128> = 0..24;
/// Keys that are not read again until the end, of which some slots move.
const KEPT: std::ops::Range<u128> = 100..160;

/// As [`KEPT`], but too large for Redis: no message comes when their slots move.
const LARGE: std::ops::Range<u128> = 200..220;

fn key(n: u128) -> ExamKey {
    ExamKey(ExamId(Uuid::from_u128(n)))
}

fn name(n: u128) -> String {
    key(n).redis_key()
}

fn slot(n: u128) -> u16 {
    examhall_redis::slot(&name(n))
}

/// When the versions of each row were committed, and the journal.
#[derive(Default)]
struct Database {
    versions: BTreeMap<u128, Vec<Instant>>,
    journal: Vec<(Instant, Uuid, u128)>,
}

#[derive(Clone, Default)]
struct World {
    database: Arc<Mutex<Database>>,
    loads: Arc<AtomicU32>,
    reads: Arc<AtomicU64>,
    /// Of all reads, how old the oldest value was, in ms since it was replaced.
    stalest: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl World {
    /// Opens a process that follows the journal.
    async fn process(&self, url: &str) -> Cache {
        let cache = Cache::builder(KEY_SPACES).max_value_bytes(20_000).open(url).expect("a good URL");
        let database = Arc::clone(&self.database);
        cache.follow(move |after, limit| {
            let database = database.lock().expect("no panic");
            let entries = database.journal.iter().zip(1_i64..).filter(|(_, seq)| *seq > after).take(limit);
            let entry = |(&(at, commit, n), seq): (&(Instant, Uuid, u128), i64)| JournalEntry {
                seq,
                commit,
                keys: vec![name(n)],
                age: at.elapsed(),
            };
            let page = entries.map(entry).collect();
            std::future::ready(Some(page))
        });
        cache.ready().await.expect("connected");
        cache
    }

    /// Commits a change; returns its version.
    fn commit(&self, n: u128, commit: Uuid) -> usize {
        let (mut database, now) = (self.database.lock().expect("no panic"), Instant::now());
        database.journal.push((now, commit, n));
        let versions = database.versions.entry(n).or_default();
        versions.push(now);
        versions.len()
    }

    async fn read(&self, cache: &Cache, n: u128) -> (usize, Source) {
        let world = self.clone();
        let load = move || async move {
            world.loads.fetch_add(1, Ordering::SeqCst);
            let version = world.database.lock().expect("no panic").versions.get(&n).map_or(0, Vec::len);
            tokio::time::sleep(Duration::from_millis(2)).await; // a query
            let version = u32::try_from(version).expect("few");
            let description = "x".repeat(if LARGE.contains(&n) { 20_000 } else { 2_000 });
            let value = Exam { description, ..exam(version) };
            let fresh = Fresh::new(version.into(), access(), value);
            Ok::<_, Away>(Some(fresh))
        };
        let began = Instant::now();
        let (cached, source) = cache.get_or_load(&key(n), load).await.expect("no read fails");
        let version = usize::try_from(cached.expect("there is a row").version()).expect("a count");
        let database = self.database.lock().expect("no panic");
        let replaced = database.versions.get(&n).and_then(|versions| versions.get(version));
        let age = replaced.map_or(Duration::ZERO, |replaced| began.saturating_duration_since(*replaced));
        self.stalest.fetch_max(u64::try_from(age.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
        self.reads.fetch_add(1, Ordering::SeqCst);
        (version, source)
    }

    /// Changes rows and reads them at once, as one process does, until the end.
    async fn write(self, cache: Cache, own: u128) {
        while !self.is_over.load(Ordering::SeqCst) {
            let n = WRITTEN.start + 2 * fastrand::u128(0..12) + own;
            let (commit, names) = (Uuid::new_v4(), [name(n)]);
            cache.before_commit(commit, &names).await;
            let version = self.commit(n, commit);
            let _ = cache.after_commit(commit, &names).await; // otherwise it is retried
            assert!(self.read(&cache, n).await.0 >= version, "an own write is seen");
            tokio::time::sleep(Duration::from_millis(10)).await; // so much load, and no more
        }
    }

    /// Reads and writes in both processes.
    fn load(&self, processes: [&Cache; 2]) -> Vec<JoinHandle<()>> {
        let writes = processes.into_iter().zip(0..).map(|(cache, own)| self.clone().write(cache.clone(), own));
        let mut load: Vec<_> = writes.map(tokio::spawn).collect();
        for cache in processes.repeat(2) {
            load.push(tokio::spawn(self.clone().keep_reading(cache.clone())));
        }
        load
    }

    /// Waits until both processes serve what was written last.
    async fn ends_with_the_latest(&self, processes: [&Cache; 2]) {
        for n in WRITTEN {
            let latest = self.database.lock().expect("no panic").versions.get(&n).map_or(0, Vec::len);
            for cache in processes {
                let is_latest = async || (self.read(cache, n).await.0 == latest).then_some(());
                eventually("the last version", LATE, is_latest).await;
            }
        }
    }

    async fn keep_reading(self, cache: Cache) {
        while !self.is_over.load(Ordering::SeqCst) {
            self.read(&cache, fastrand::u128(WRITTEN)).await;
            tokio::time::sleep(Duration::from_millis(2)).await; // so much load, and no more
        }
    }
}

/// Returns the master of three that has a slot at the start.
fn home(slot: u16) -> usize {
    (0..3).find(|n| usize::from(slot) < (n + 1) * 16_384 / 3).expect("a slot")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_of_a_cluster_survives_resharding_and_failover() {
    let mut cluster = RedisCluster::start_with_replicas(3).await;
    let world = World::default();
    let (one, other) = (world.process(&cluster.url()).await, world.process(&cluster.url()).await);
    assert!(one.is_live() && other.is_live());
    groups::on_a_cluster::work_on_a_cluster(&one, &other).await;
    let read_kept = Instant::now();
    for n in KEPT {
        assert_eq!((world.read(&one, n).await.0, world.read(&other, n).await.0), (0, 0));
    }
    assert_eq!(world.loads.load(Ordering::SeqCst), 60, "once for both");
    for n in KEPT.chain(LARGE) {
        let is_kept = async || (world.read(&other, n).await.1 == Source::Local).then_some(());
        eventually("it to be kept, once the message of its fill has come", TIMEOUT, is_kept).await;
    }

    let load = world.load([&one, &other]);
    // Slots of both kinds of keys move from the first master to the second.
    let of_first = |keys: std::ops::Range<u128>| keys.filter(|n| home(slot(*n)) == 0);
    let moved = [KEPT, LARGE, WRITTEN].into_iter().flat_map(|keys| of_first(keys).take(3).map(slot));
    let moved: Vec<u16> = moved.collect();
    for slot in &moved {
        cluster.begin_move(*slot, 0, 1).await;
    }
    let moving = of_first(WRITTEN).next().expect("one of 24");
    let is_away = async || (world.read(&one, moving).await.1 == Source::Bypass).then_some(());
    eventually("keys of a slot that moves not to be read from Redis", TIMEOUT, is_away).await;
    for slot in &moved {
        cluster.move_slot(*slot, 0, 1).await;
    }
    cluster.nodes[2].kill().await;
    cluster.is_master(5).await;
    let is_used = async || {
        let dead = KEPT.filter(|n| home(slot(*n)) == 2).take(1);
        for n in dead {
            world.read(&one, n).await;
            if world.read(&one, n).await.1 != Source::Local {
                return None;
            }
        }
        (one.is_live() && other.is_live() && read_kept.elapsed() > Duration::from_secs(3)).then_some(())
    };
    eventually("the new master to be used", TIMEOUT, is_used).await;

    // What was not touched was kept, longer than anything is without messages.
    let mut kept = BTreeMap::<usize, (u32, u32)>::new();
    for n in KEPT.chain(LARGE) {
        let (all, local) = kept.entry(if moved.contains(&slot(n)) { 9 } else { home(slot(n)) }).or_default();
        *all += 1;
        *local += u32::from(world.read(&other, n).await.1 == Source::Local);
    }
    assert_eq!((kept[&9].1, kept[&2].1), (0, 0), "slots with another master begin a new epoch: {kept:?}");
    assert!([0, 1].iter().any(|home| kept[home].0 == kept[home].1), "the others go on: {kept:?}");

    world.is_over.store(true, Ordering::SeqCst);
    for task in load {
        task.await.expect("no promise is broken");
    }
    world.ends_with_the_latest([&one, &other]).await;
    let (reads, stalest) = (world.reads.load(Ordering::SeqCst), world.stalest.load(Ordering::SeqCst));
    assert!(reads > 500 && Duration::from_millis(stalest) < BOUND, "{reads} reads, {stalest} ms");
}

/// Minutes of trouble of each kind: with `--long` only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_trouble_of_a_cluster_shows_an_old_value() {
    if std::env::var_os("EXAMHALL_LONG").is_none() {
        return;
    }
    let mut cluster = RedisCluster::start_with_replicas(3).await;
    let world = World::default();
    let (one, other) = (world.process(&cluster.url()).await, world.process(&cluster.url()).await);
    let load = world.load([&one, &other]);
    let are_live = async |what: &str| {
        let is_live = async || (one.is_live() && other.is_live()).then_some(());
        tokio::time::sleep(Duration::from_secs(1)).await; // of load, with or without a link
        eventually(what, TIMEOUT, is_live).await;
    };

    // Too short for a fail-over, and long enough.
    for (node, freeze) in [(1, Duration::from_millis(700)), (1, Duration::from_secs(6))] {
        cluster.nodes[node].process().freeze();
        tokio::time::sleep(freeze).await; // how long it lasts is what is tested
        cluster.nodes[node].process().thaw();
        are_live("links after a freeze").await;
    }
    // By hand: nothing dies, and the old master becomes a replica.
    cluster.nodes[3].cmd::<String>("CLUSTER FAILOVER").await;
    cluster.is_master(3).await;
    are_live("links after a fail-over by hand").await;
    cluster.nodes[0].cmd::<String>("CLUSTER FAILOVER").await;
    cluster.is_master(0).await;
    are_live("links after the way back").await;
    // A master that is back at once, without anything that it had.
    cluster.nodes[2].restart().await;
    cluster.is_master(2).await;
    are_live("links to an empty master").await;
    // There and back again.
    let slots: Vec<u16> = WRITTEN.map(slot).filter(|slot| home(*slot) == 0).collect();
    for (from, to) in [(0, 2), (2, 0)] {
        for slot in &slots {
            cluster.move_slot(*slot, from, to).await;
        }
        are_live("links after resharding").await;
    }
    cluster.add_node().await;
    for slot in &slots {
        cluster.move_slot(*slot, 0, 6).await;
    }
    are_live("a link to the new master").await;
    assert!(cluster.nodes[6].cmd::<String>("CLIENT LIST").await.contains("flags=tB"), "it is tracked");

    world.is_over.store(true, Ordering::SeqCst);
    for task in load {
        task.await.expect("no promise is broken");
    }
    world.ends_with_the_latest([&one, &other]).await;
    let (reads, stalest) = (world.reads.load(Ordering::SeqCst), world.stalest.load(Ordering::SeqCst));
    assert!(reads > 5_000 && Duration::from_millis(stalest) < BOUND, "{reads} reads, {stalest} ms");
}
