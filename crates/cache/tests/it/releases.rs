//! Entries of other releases, and damaged ones.

use examhall_testkit::{CacheEntry, eventually};

use super::*;

/// [`KEY`] in the next release.
#[derive(Clone)]
struct NextKey;

impl CacheKey for NextKey {
    type Value = Exam;
    type Head = ExamAccess;
    const LIFE: Life = Life::hours(1);
    const SHAPE: u32 = ExamKey::SHAPE + 1;

    fn redis_key(&self) -> String {
        KEY.redis_key()
    }
}

fn of_the_next(Fresh { version, head, value, .. }: Fresh<ExamKey>) -> Fresh<NextKey> {
    Fresh::new(version, head, value)
}

/// Reads as the next release does.
async fn read_next(cache: &Cache, row: &Row) -> Source {
    let row = row.clone();
    let load = move || async move { Ok::<_, Away>(row.load().await?.map(of_the_next)) };
    let (cached, source) = cache.get_or_load(&NextKey, load).await.expect("read");
    assert!(cached.expect("there is a row").value().is_ok());
    source
}

async fn stored(redis: &Redis) -> Vec<u8> {
    redis.cmd(&format!("GET exam:{}", KEY.0)).await
}

#[tokio::test]
async fn unreadable_entries_are_loaded_once_and_replaced() {
    let redis = Redis::start().await;
    let (one, other, name) = (cache(&redis).await, cache(&redis).await, KEY.redis_key());
    let row = Row::new();
    read(&one, &row).await;
    let entry = CacheEntry::of(&stored(&redis).await);
    let mut damaged = entry.bytes();
    *damaged.last_mut().expect("a body") ^= 1;
    let mut short = entry.bytes();
    short.pop();
    for (kind, bytes) in [
        ("of an older format", entry.clone().with_word(0, "3").bytes()),
        ("of an older shape", entry.clone().with_word(1, "0").bytes()),
        ("with another head", entry.clone().replace("\"status\"", "\"states\"").bytes()),
        ("with a bad length", entry.clone().with_word(entry.words.len() - 1, "999999").bytes()),
        ("with a bad word", entry.clone().with_word(2, "x").bytes()),
        ("damaged", damaged),
        ("cut short", short),
        ("not an entry", b"{}".to_vec()),
        ("empty", Vec::new()),
        ("a list", Vec::new()),
    ] {
        forget(&one).await;
        let row = Row::gated();
        row.change();
        if kind == "a list" {
            redis.cmd::<i64>(&format!("LPUSH {name} x")).await;
        } else {
            redis.set(&name, bytes).await;
        }
        let readers: Vec<_> = [&one, &other].map(|cache| reader(cache, &row)).into_iter().collect();
        row.loading().await;
        row.open();
        for reader in readers {
            assert_eq!(reader.await.expect("no panic").expect("read").0, Some(1), "{kind}");
        }
        assert_eq!(row.loads(), 1, "{kind}");
        assert_eq!(CacheEntry::of(&stored(&redis).await).words[..2], entry.words[..2], "{kind}");
        let ttl: i64 = redis.cmd(&format!("PTTL {name}")).await;
        assert!(ttl > 0, "{kind}: {ttl}");
    }
}

#[tokio::test]
async fn newer_entries_are_left_alone() {
    let redis = Redis::start().await;
    let (cache, name) = (cache(&redis).await, KEY.redis_key());
    read(&cache, &Row::new()).await;
    let entry = CacheEntry::of(&stored(&redis).await);
    for (kind, bytes) in [
        ("another format", b"9 of the next release".to_vec()),
        ("a newer format", entry.clone().with_word(0, "5").bytes()),
        ("a newer shape", entry.clone().with_word(1, "2").replace("\"status\"", "\"states\"").bytes()),
    ] {
        forget(&cache).await;
        let row = Row::new();
        redis.set(&name, bytes.clone()).await;
        assert_eq!(read(&cache, &row).await, (0, Source::Bypass), "{kind}");
        let local = async || (read(&cache, &row).await.1 == Source::Local).then_some(());
        eventually("the memory to answer", TIMEOUT, local).await;
        assert_eq!(stored(&redis).await, bytes, "{kind}");
        row.change();
        forget(&cache).await;
        assert_eq!(read(&cache, &row).await.0, 1, "{kind}: a change is seen");
    }
}

#[tokio::test]
async fn two_releases_do_not_replace_each_others_entries_in_turns() {
    let redis = Redis::start().await;
    let (old, new, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    assert_eq!(read(&old, &row).await, (0, Source::Loaded));
    assert_eq!(read_next(&new, &row).await, Source::Loaded, "an older entry is replaced");
    let newer = stored(&redis).await;
    for _ in 0..20 {
        read(&old, &row).await;
        assert!(read_next(&new, &row).await.is_hit());
    }
    assert_eq!(stored(&redis).await, newer);
    row.change();
    forget(&old).await;
    assert_eq!(read(&old, &row).await.0, 1);
    let seen = async || {
        read_next(&new, &row).await;
        Some(new.get(&NextKey).await?.version() == 1).filter(|is_new| *is_new)
    };
    eventually("the next release to see a change of the older one", LATE, seen).await;
}

#[tokio::test]
async fn warming_replaces_an_entry_of_an_older_release() {
    let redis = Redis::start().await;
    let (cache, row, name) = (cache(&redis).await, Row::new(), KEY.redis_key());
    read(&cache, &row).await;
    let entry = CacheEntry::of(&stored(&redis).await);
    let warm = async || {
        let row = row.clone();
        cache.warm(&KEY, Duration::from_secs(10), move || row.load()).await.expect("a good key")
    };
    assert!(!warm().await, "it is there");
    for (bytes, is_replaced) in
        [(entry.clone().with_word(1, "0").bytes(), true), (entry.clone().with_word(1, "2").bytes(), false)]
    {
        redis.set(&name, bytes).await;
        redis.cmd::<i64>(&format!("PEXPIRE {name} 80000000")).await;
        assert_eq!(warm().await, is_replaced);
    }
}
