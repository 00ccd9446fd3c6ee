//! Groups: keys that are invalidated together.

pub(crate) mod on_a_cluster;
mod race;

use std::{collections::BTreeMap, time::Instant};

use examhall_cache::{Error, Event, Group, JournalEntry, KeyError, KeyName, ReadOptions};
use examhall_testkit::{Proxy, eventually};
use parking_lot::Mutex;
use uuid::Uuid;

use super::*;

/// `exam:{shelf}:{n}`, of the groups `exam:{shelf}` and `exam:all`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct BookKey(u32, u32);

impl CacheKey for BookKey {
    type Value = u32;
    type Head = ();
    const LIFE: Life = Life::hours(1);

    fn redis_key(&self) -> String {
        format!("exam:{}:{}", self.0, self.1)
    }

    fn groups(&self) -> Vec<Group> {
        vec![shelf(self.0), all()]
    }
}

fn shelf(n: u32) -> Group {
    Group::of(format_args!("exam:{n}"))
}

fn all() -> Group {
    Group::of("exam:all")
}

async fn open(redis: &Redis, options: ReadOptions) -> Cache {
    cache(redis).await.with(options)
}

async fn read_book(cache: &Cache, key: BookKey, row: &Row) -> (u32, Source) {
    let row = row.clone();
    let load = move || async move {
        let fresh = row.load().await?.map(|fresh| u32::try_from(fresh.version).expect("small"));
        Ok::<_, Away>(fresh.map(Fresh::of))
    };
    let (cached, source) = cache.get_or_load(&key, load).await.expect("read");
    (cached.expect("there is a row").value().expect("a number"), source)
}

/// Reads until it is in the process's memory.
async fn keep(cache: &Cache, key: BookKey, row: &Row) {
    let is_kept = async || (read_book(cache, key, row).await.1 == Source::Local).then_some(());
    eventually("the memory to answer", TIMEOUT, is_kept).await;
}

#[tokio::test]
async fn a_group_is_removed_everywhere_and_nothing_else() {
    let redis = Redis::start().await;
    let (one, other) = (cache(&redis).await, cache(&redis).await);
    let local = Cache::builder(KEY_SPACES).local_only().expect("good options");
    let keys = [BookKey(1, 1), BookKey(1, 2), BookKey(2, 1)];
    for (writer, readers) in [(&one, vec![&one, &other]), (&local, vec![&local])] {
        let row = Row::new();
        for key in keys {
            for reader in &readers {
                keep(reader, key, &row).await;
            }
        }
        let loads = row.loads();
        row.change();
        eventually("Redis to be notified", TIMEOUT, async || writer.delete_group(&shelf(1)).await.ok()).await;
        assert_eq!(read_book(writer, keys[0], &row).await.0, 1, "its own change at once");
        for reader in &readers {
            for (key, version) in keys.into_iter().zip([1, 1, 0]) {
                let is_seen = async || (read_book(reader, key, &row).await.0 == version).then_some(());
                eventually("the group to be removed", LATE, is_seen).await;
            }
        }
        assert_eq!(row.loads() - loads, 2, "one load for each key of the group, in all processes");
        row.change();
        eventually("Redis to be notified", TIMEOUT, async || writer.delete_group(&all()).await.ok()).await;
        for reader in readers {
            for key in keys {
                let is_seen = async || (read_book(reader, key, &row).await.0 == 2).then_some(());
                eventually("both groups count", LATE, is_seen).await;
            }
        }
    }
}

#[tokio::test]
async fn one_round_trip_reads_a_key_with_groups() {
    let redis = Redis::start().await;
    let (cache, row) = (Cache::builder(KEY_SPACES).redis_only(), Row::new());
    let cache = cache.open(&redis.url()).expect("a good URL");
    cache.ready().await.expect("connected");
    read_book(&cache, BookKey(1, 1), &row).await;
    let calls = async || {
        let stats = redis.cmd::<String>("INFO commandstats").await;
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).expect("a script ran");
        line.split(',').next().expect("a number").parse::<u64>().expect("a number")
    };
    let (before, began) = (calls().await, Instant::now());
    for _ in 0..1_000 {
        assert_eq!(read_book(&cache, BookKey(1, 1), &row).await, (0, Source::Redis));
    }
    let heartbeats = u64::try_from(began.elapsed().as_millis() / 100).expect("small");
    assert!(calls().await - before <= 1_000 + heartbeats, "a script for each read");
}

#[tokio::test]
async fn value_read_before_a_change_of_its_group_is_not_stored() {
    let redis = Redis::start().await;
    let (one, other, slow) = (cache(&redis).await, cache(&redis).await, Row::gated());
    let reading = {
        let (cache, row) = (one.clone(), slow.clone());
        tokio::spawn(async move { read_book(&cache, BookKey(1, 1), &row).await })
    };
    slow.loading().await; // it has read
    slow.change();
    eventually("Redis to be notified", TIMEOUT, async || other.delete_group(&shelf(1)).await.ok()).await;
    // Its lease is void: another process need not wait for it.
    let (row, began) = (Row::new(), Instant::now());
    row.change();
    assert_eq!(read_book(&other, BookKey(1, 1), &row).await, (1, Source::Loaded));
    assert!(began.elapsed() < Duration::from_millis(900), "it did not wait for the lease to end");
    slow.open();
    assert_eq!(reading.await.expect("no panic").0, 0, "it has asked before the change");
    for cache in [&one, &other] {
        assert_eq!(read_book(cache, BookKey(1, 1), &row).await.0, 1);
    }
}

#[tokio::test]
async fn nothing_is_stored_during_a_commit_that_changes_a_group() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    keep(&other, BookKey(1, 1), &row).await;
    let invalidation = one.invalidation(&[shelf(1)]).await.expect("a good group");
    let bypassed = async || (read_book(&other, BookKey(1, 1), &row).await == (0, Source::Bypass)).then_some(());
    eventually("the mark to be seen", LATE, bypassed).await;
    row.change();
    assert!(invalidation.committed().await);
    let seen = async || (read_book(&other, BookKey(1, 1), &row).await.0 == 1).then_some(());
    eventually("the change to be seen", LATE, seen).await;
    let stored = async || read_book(&other, BookKey(1, 1), &row).await.1.is_hit().then_some(());
    eventually("the value to be stored again", TIMEOUT, stored).await;
}

#[tokio::test]
async fn lost_generation_costs_a_load_and_nothing_old() {
    let redis = Redis::start().await;
    let (cache, row) = (open(&redis, ReadOptions::new().skip_memory()).await, Row::new());
    let (key, group) = (BookKey(1, 1), shelf(1).key_name());
    for loss in [format!("DEL {group}"), format!("SET {group} x"), format!("LPUSH {group} x")] {
        assert_eq!(read_book(&cache, key, &row).await.0, row.version.load(Ordering::SeqCst), "{loss}");
        assert_eq!(read_book(&cache, key, &row).await.1, Source::Redis);
        assert!(cache.get(&key).await.is_some());
        if loss.starts_with("LPUSH") {
            redis.cmd::<i64>(&format!("DEL {group}")).await;
        }
        redis.cmd::<examhall_redis::Value>(&loss).await; // evicted, or written by something else
        row.change();
        assert!(cache.get(&key).await.is_none(), "{loss}");
        let is_warmed = {
            let row = row.clone();
            let load = move || async move {
                Ok::<_, Away>(row.load().await?.map(|fresh| Fresh::of(u32::try_from(fresh.version).expect("small"))))
            };
            cache.warm(&key, Duration::from_secs(1), load).await.expect("a good key")
        };
        assert!(is_warmed, "{loss}");
    }
}

#[tokio::test]
async fn unreachable_redis_serves_no_group_that_was_changed() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.port()).await;
    let (one, other, row) = (at(&format!("redis://127.0.0.1:{}", proxy.port())).await, cache(&redis).await, Row::new());
    keep(&one, BookKey(1, 1), &row).await;
    proxy.sever();
    row.change();
    assert!(one.delete_group(&shelf(1)).await.is_err());
    proxy.accept();
    for _ in 0..200 {
        assert_eq!(read_book(&one, BookKey(1, 1), &row).await.0, 1, "until it has been repeated, and afterwards");
        tokio::time::sleep(Duration::from_millis(2)).await; // the interval of a poll
    }
    let seen = async || (read_book(&other, BookKey(1, 1), &row).await.0 == 1).then_some(());
    eventually("the other process to be notified", LATE, seen).await;
}

#[tokio::test]
async fn restored_generation_is_outdated_by_the_journal() {
    let redis = Redis::start().await;
    let (cache, row) = (open(&redis, ReadOptions::new().skip_memory()).await, Row::new());
    let journal = Arc::new(Mutex::new(Vec::<JournalEntry>::new()));
    let entries = Arc::clone(&journal);
    cache.follow(move |after, _| {
        let entries = entries.lock().iter().filter(|entry| entry.seq > after).cloned().collect();
        async move { Some(entries) }
    });
    cache.ready().await.expect("trusted again");
    read_book(&cache, BookKey(1, 1), &row).await;
    row.change(); // and Redis has gone back to a state before that
    let (commit, keys) = (Uuid::new_v4(), vec![shelf(1).key_name()]);
    let mut events = cache.events();
    journal.lock().push(JournalEntry { seq: 1, commit, keys: keys.clone(), age: Duration::ZERO });
    while !matches!(events.next().await.expect("an event"), Event::ChangesRead { keys: read } if *read == *keys) {}
    assert_eq!(read_book(&cache, BookKey(1, 1), &row).await.0, 1);
}

#[tokio::test]
async fn many_keys_with_groups_are_read_in_one_script() {
    let redis = Redis::start().await;
    // A busy machine is no slow Redis here, of which a read would load.
    let second = Duration::from_secs(1);
    let builder = Cache::builder(KEY_SPACES).redis_timeout(second).bulk_timeout(second);
    let cache = builder.open(&redis.url()).expect("a good URL");
    cache.ready().await.expect("connected");
    let cache = cache.with(ReadOptions::new().skip_memory());
    let keys: Vec<_> = (0..20).map(|n| BookKey(n % 2, n)).collect();
    let version = Arc::new(AtomicU32::new(0));
    let read = async || {
        let version = Arc::clone(&version);
        let load = move |keys: Vec<BookKey>| {
            let version = version.load(Ordering::SeqCst);
            async move { Ok::<_, Away>(keys.into_iter().map(|key| (key, Fresh::of(version))).collect()) }
        };
        let read = cache.get_many_or_load(&keys, load).await.expect("read");
        read.into_iter().map(|(cached, _)| cached.expect("a value").value().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!(read().await, [0; 20]);
    version.store(1, Ordering::SeqCst);
    assert_eq!(read().await, [0; 20]);
    eventually("Redis to be notified", TIMEOUT, async || cache.delete_group(&shelf(1)).await.ok()).await;
    assert_eq!(read().await, (0..20).map(|n| n % 2).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_group_outside_the_spaces_is_refused() {
    #[derive(Clone)]
    struct Astray;

    impl CacheKey for Astray {
        type Value = u32;
        type Head = ();
        const LIFE: Life = Life::hours(1);

        fn redis_key(&self) -> String {
            "exam:1".into()
        }

        fn groups(&self) -> Vec<Group> {
            vec![Group::of("shelf:1")]
        }
    }

    let cache = Cache::builder(KEY_SPACES).prefix("p:").local_only().expect("good options");
    let error = KeyError::OutsideSpaces("p:shelf:1:*".into());
    let load = || async { Ok::<_, Away>(Some(Fresh::of(1))) };
    assert!(matches!(cache.get_or_load(&Astray, load).await, Err(ReadError::Key(refused)) if refused == error));
    assert!(matches!(cache.delete_group(&Group::of("shelf:1")).await, Err(Error::Key(refused)) if refused == error));
    assert!(cache.invalidation(&[Group::of("shelf:1")]).await.is_err());
}
