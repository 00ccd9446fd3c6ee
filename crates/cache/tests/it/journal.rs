//! The journal: no value is served that lacks a change, whatever Redis has forgotten and though no message came.

use std::sync::Mutex;

use examhall_cache::{Builder, JournalEntry};
use examhall_testkit::{Proxy, eventually};
use uuid::Uuid;

use super::*;

/// A row, and the journal of its changes.
#[derive(Clone)]
struct Journaled {
    row: Row,
    entries: Arc<Mutex<Vec<JournalEntry>>>,
    is_away: Arc<AtomicU32>,
    /// Whether it does not answer at all.
    hangs: Arc<AtomicU32>,
    /// How often it was read, by all processes.
    reads: Arc<AtomicU32>,
}

impl Journaled {
    fn new() -> Self {
        Self {
            row: Row::new(),
            entries: Arc::default(),
            is_away: Arc::default(),
            hangs: Arc::default(),
            reads: Arc::default(),
        }
    }

    /// Opens a process that follows the journal.
    async fn process(&self, url: &str) -> Cache {
        self.open(Cache::builder(KEY_SPACES), url).await
    }

    /// Opens one that has no memory of its own.
    async fn forgetful_process(&self, url: &str) -> Cache {
        self.open(Cache::builder(KEY_SPACES).redis_only(), url).await
    }

    async fn open(&self, builder: Builder, url: &str) -> Cache {
        let cache = builder.open(url).expect("a good URL");
        self.follow(&cache);
        cache.ready().await.expect("connected");
        cache
    }

    fn follow(&self, cache: &Cache) {
        let journal = self.clone();
        cache.follow(move |after, limit| {
            let journal = journal.clone();
            async move {
                journal.reads.fetch_add(1, Ordering::SeqCst);
                if journal.hangs.load(Ordering::SeqCst) > 0 {
                    std::future::pending::<()>().await;
                }
                if journal.is_away.load(Ordering::SeqCst) > 0 {
                    return None;
                }
                let entries = journal.entries.lock().expect("no panic");
                Some(entries.iter().filter(|entry| entry.seq > after).take(limit).cloned().collect())
            }
        });
    }

    /// Changes the row, so long ago that nobody remembers it but the journal.
    fn commit(&self) -> Uuid {
        let (commit, version) = (Uuid::new_v4(), self.row.change());
        let entry = JournalEntry { seq: version.into(), commit, keys: keys(), age: Duration::from_hours(2) };
        self.entries.lock().expect("no panic").push(entry);
        commit
    }

    /// Changes the row as a process does.
    async fn change(&self, cache: &Cache) {
        let commit = Uuid::new_v4();
        cache.before_commit(commit, &keys()).await;
        let version = self.row.change();
        let entry = JournalEntry { seq: version.into(), commit, keys: keys(), age: Duration::ZERO };
        self.entries.lock().expect("no panic").push(entry);
        let cleared = async || cache.after_commit(commit, &keys()).await.then_some(());
        eventually("Redis to be notified", TIMEOUT, cleared).await;
    }

    fn fail(&self, is_away: bool) {
        self.is_away.store(is_away.into(), Ordering::SeqCst);
        self.row.fails.store(is_away.into(), Ordering::SeqCst);
    }

    /// Waits until the process, which has no memory, serves this version from Redis, and never another one.
    async fn is_served_from_redis(&self, cache: &Cache, version: i64) {
        eventually("Redis to be used", TIMEOUT, async || {
            let (read, source) = read(cache, &self.row).await;
            assert_eq!(read, version);
            matches!(source, Source::Redis | Source::Loaded).then_some(())
        })
        .await;
    }

    async fn is_shown(&self, cache: &Cache, version: i64) {
        let shown = async || (read(cache, &self.row).await.0 == version).then_some(());
        eventually("the change to be shown", LATE, shown).await;
    }
}

/// A key of which no stale value may be served.
#[derive(Clone)]
struct ProfileKey;

impl CacheKey for ProfileKey {
    type Value = String;
    type Head = ();
    const LIFE: Life = Life { stale_on_error: Duration::ZERO, ..Life::hours(1) };

    fn redis_key(&self) -> String {
        "user:1:profile".into()
    }
}

fn keys() -> Vec<String> {
    vec![format!("exam:{}", KEY.0)]
}

/// Whether Redis holds this version.
async fn holds(redis: &Redis, version: u32) -> bool {
    let stored = redis.cmd::<Option<Vec<u8>>>(&format!("GET exam:{}", KEY.0)).await;
    stored.is_some_and(|stored| String::from_utf8_lossy(&stored).contains(&format!("\"version {version}\"")))
}

#[tokio::test]
async fn values_of_an_older_snapshot_are_not_served() {
    let mut redis = Redis::start().await;
    let journaled = Journaled::new();
    let (one, other) = (journaled.process(&redis.url()).await, journaled.forgetful_process(&redis.url()).await);
    read(&one, &journaled.row).await;
    redis.cmd::<String>("SAVE").await;
    one.before_commit(Uuid::nil(), &keys()).await;
    let commit = journaled.commit();
    assert!(one.after_commit(commit, &keys()).await, "all were notified, long ago");
    redis.kill().await;
    redis.restart().await;
    assert!(holds(&redis, 0).await, "the old value has come back");
    journaled.is_served_from_redis(&other, 1).await;
    assert_eq!(read(&one, &journaled.row).await.0, 1);
    assert!(holds(&redis, 1).await);
    let late = journaled.process(&redis.url()).await;
    assert_eq!(read(&late, &journaled.row).await, (1, Source::Redis), "the new value names its change");
}

#[tokio::test]
async fn value_filled_after_a_change_is_not_loaded_twice() {
    let redis = Redis::start().await;
    let journaled = Journaled::new();
    let (one, other) = (journaled.forgetful_process(&redis.url()).await, journaled.process(&redis.url()).await);
    for version in 1..=3 {
        journaled.change(&one).await;
        journaled.is_shown(&other, version).await;
        let before = journaled.reads.load(Ordering::SeqCst);
        let is_known = async || (journaled.reads.load(Ordering::SeqCst) >= before + 4).then_some(());
        eventually("both to read the journal", TIMEOUT, is_known).await;
        for cache in [&one, &other] {
            let (read, source) = read(cache, &journaled.row).await;
            assert!(read == version && source.is_hit(), "{read} {source:?}");
        }
    }
    assert_eq!(journaled.row.loads(), 3);
}

#[tokio::test]
async fn change_that_redis_was_not_notified_of_is_seen() {
    let redis = Redis::start().await;
    let journaled = Journaled::new();
    let (one, other) = (journaled.process(&redis.url()).await, journaled.forgetful_process(&redis.url()).await);
    read(&one, &journaled.row).await;
    journaled.commit(); // of a process that died, while Redis was away
    for cache in [&one, &other] {
        journaled.is_shown(cache, 1).await;
    }
    journaled.is_served_from_redis(&other, 1).await;
}

#[tokio::test]
async fn new_process_reads_nothing_before_the_journal() {
    let redis = Redis::start().await;
    let journaled = Journaled::new();
    read(&cache(&redis).await, &journaled.row).await;
    journaled.commit();
    journaled.is_away.store(1, Ordering::SeqCst);
    let new = Cache::builder(KEY_SPACES).redis_only().open(&redis.url()).expect("a good URL");
    journaled.follow(&new);
    let before = journaled.reads.load(Ordering::SeqCst);
    eventually("the journal to be asked in vain, and again", TIMEOUT, async || {
        assert_eq!(read(&new, &journaled.row).await.0, 1);
        (journaled.reads.load(Ordering::SeqCst) >= before + 3).then_some(())
    })
    .await;
    journaled.is_away.store(0, Ordering::SeqCst);
    journaled.is_served_from_redis(&new, 1).await;
}

#[tokio::test]
async fn replaced_redis_is_not_read_while_the_journal_hangs() {
    let redis = Redis::start().await;
    let journaled = Journaled::new();
    let cache = journaled.forgetful_process(&redis.url()).await;
    read(&cache, &journaled.row).await;
    journaled.hangs.store(1, Ordering::SeqCst);
    let asked = async |times: u32| {
        let before = journaled.reads.load(Ordering::SeqCst);
        eventually("the journal to be asked", TIMEOUT, async || {
            (journaled.reads.load(Ordering::SeqCst) >= before + times).then_some(())
        })
        .await;
    };
    asked(1).await; // it was trusted, and waits for an answer now
    redis.cmd::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
    let is_lost = async || (read(&cache, &journaled.row).await.1 != Source::Redis).then_some(());
    eventually("the loss to be noticed", TIMEOUT, is_lost).await;
    let before = journaled.reads.load(Ordering::SeqCst);
    eventually("the journal to be asked again and again", TIMEOUT, async || {
        assert_ne!(read(&cache, &journaled.row).await.1, Source::Redis, "values may lack a change");
        (journaled.reads.load(Ordering::SeqCst) >= before + 2).then_some(())
    })
    .await;
    journaled.hangs.store(0, Ordering::SeqCst);
    journaled.is_served_from_redis(&cache, 0).await;
}

#[tokio::test]
async fn slow_load_without_redis_waits_for_nothing_else() {
    let mut redis = Redis::start().await;
    let cache = cache(&redis).await;
    redis.kill().await;
    let quick = async || {
        let (key, began) = (ExamKey(ExamId(Uuid::new_v4())), std::time::Instant::now());
        let load = || async {
            tokio::time::sleep(Duration::from_millis(200)).await; // a load that is late, and has a value
            Row::new().load().await
        };
        cache.get_or_load(&key, load).await.expect("read");
        (began.elapsed() < Duration::from_millis(900)).then_some(())
    };
    eventually("a load that takes what it takes", TIMEOUT, quick).await;
}

#[tokio::test]
async fn process_at_the_wrong_master_sees_changes() {
    let (master, demoted) = (Redis::start().await, Redis::start().await);
    let journaled = Journaled::new();
    let (one, other) = (journaled.process(&master.url()).await, journaled.process(&demoted.url()).await);
    let third = journaled.forgetful_process(&demoted.url()).await;
    for version in 1..=2 {
        read(&other, &journaled.row).await;
        journaled.change(&one).await;
        for cache in [&other, &third] {
            journaled.is_shown(cache, version).await;
        }
        journaled.is_served_from_redis(&third, version).await;
    }
}

#[tokio::test]
async fn link_leaves_a_demoted_master() {
    let (old, new) = (Redis::start().await, Redis::start().await);
    let proxy = Proxy::start(old.port()).await;
    let journaled = Journaled::new();
    let cache = journaled.process(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    let replicate = async |from: &Redis, to: &Redis| {
        let _: String = to.cmd(&format!("REPLICAOF 127.0.0.1 {}", from.port())).await;
        let has_link = async || to.cmd::<String>("INFO replication").await.contains("link_status:up").then_some(());
        eventually("the replica to be in step", TIMEOUT, has_link).await;
    };
    replicate(&old, &new).await;
    read(&cache, &journaled.row).await;
    proxy.redirect(new.port()); // and nobody closes what is open
    new.cmd::<String>("REPLICAOF NO ONE").await;
    replicate(&new, &old).await;
    journaled.commit();
    journaled.is_shown(&cache, 1).await;
    let has_moved = async || {
        read(&cache, &journaled.row).await;
        let tracked = async |redis: &Redis| redis.cmd::<String>("CLIENT LIST").await.contains("flags=tB");
        (!tracked(&old).await && tracked(&new).await && cache.is_live()).then_some(())
    };
    eventually("the link to be with the new master", TIMEOUT, has_moved).await;
    assert_eq!(read(&cache, &journaled.row).await.0, 1);
}

#[tokio::test]
async fn link_to_another_server_than_the_commands_is_made_again() {
    let (one, other) = (Redis::start().await, Redis::start().await);
    let proxy = Proxy::start(one.port()).await;
    let journaled = Journaled::new();
    let cache = journaled.process(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    read(&cache, &journaled.row).await;
    proxy.redirect(other.port());
    // All connections but the link are made again, and lead to the other server; both take writes.
    let clients = one.cmd::<String>("CLIENT LIST").await;
    let word = |line: &str, name| line.split(' ').find_map(|word| Some(word.strip_prefix(name)?.to_owned()));
    let is_link = |line: &&str| word(line, "flags=").is_some_and(|flags| flags.contains('t'));
    let own = one.cmd::<i64>("CLIENT ID").await.to_string();
    for id in clients.lines().filter(|line| !is_link(line)).filter_map(|line| word(line, "id=")) {
        if id != own {
            one.cmd::<i64>(&format!("CLIENT KILL ID {id}")).await;
        }
    }
    eventually("the link to follow", TIMEOUT, async || {
        let tracked = other.cmd::<String>("CLIENT LIST").await.contains("flags=tB");
        (tracked && cache.is_live()).then_some(())
    })
    .await;
    journaled.commit();
    journaled.is_shown(&cache, 1).await;
}

#[tokio::test]
async fn without_database_unverified_values_are_stale() {
    let redis = Redis::start().await;
    let journaled = Journaled::new();
    let cache = journaled.forgetful_process(&redis.url()).await;
    let profile = async |is_away: bool| {
        let load = move || async move {
            let fresh = Fresh::new(1, (), String::from("Ada"));
            if is_away { Err(Away) } else { Ok(Some(fresh)) }
        };
        cache.get_or_load(&ProfileKey, load).await.map(|(_, source)| source)
    };
    read(&cache, &journaled.row).await;
    assert!(profile(false).await.is_ok());
    journaled.fail(true);
    assert_eq!(read(&cache, &journaled.row).await.1, Source::Redis, "nothing can have changed");
    redis.cmd::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
    eventually("the value to be served as stale", TIMEOUT, async || {
        let (version, source) = try_read(&cache, &journaled.row).await.ok()?;
        assert_eq!(version, Some(0));
        (source == Source::Stale).then_some(())
    })
    .await;
    eventually("a profile, of which no stale one may be served, to fail", TIMEOUT, async || {
        profile(true).await.err().map(|_| ())
    })
    .await;
    journaled.fail(false);
    journaled.is_served_from_redis(&cache, 0).await;
    eventually("the profile to be served again", TIMEOUT, async || profile(false).await.ok()).await;
}

#[tokio::test]
async fn commit_of_unknown_outcome_is_not_taken_for_included() {
    let redis = Redis::start().await;
    let journaled = Journaled::new();
    let cache = journaled.process(&redis.url()).await;
    let commit = Uuid::new_v4();
    cache.before_commit(commit, &keys()).await;
    // The database does not answer the commit: it is still in flight when the cache is notified.
    cache.after_unknown_commit(&keys()).await;
    assert_eq!(read(&cache, &journaled.row).await, (0, Source::Bypass), "its mark stays, and nothing is stored");
    let version = journaled.row.change();
    let entry = JournalEntry { seq: version.into(), commit, keys: keys(), age: Duration::ZERO };
    journaled.entries.lock().expect("no panic").push(entry);
    journaled.is_shown(&cache, 1).await;
}
