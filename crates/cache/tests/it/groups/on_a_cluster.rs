//! Groups in a Redis Cluster: keys with braces are in the slot of their groups.

use super::*;

/// `exam:{shelf}:{n}` in the slot of its shelf.
#[derive(Clone, Debug, PartialEq)]
struct TaggedKey(u32, u32);

impl CacheKey for TaggedKey {
    type Value = u32;
    type Head = ();
    const LIFE: Life = Life::hours(1);

    fn redis_key(&self) -> String {
        format!("exam:{{{}}}:{}", self.0, self.1)
    }

    fn groups(&self) -> Vec<Group> {
        vec![Group::of(format_args!("exam:{{{}}}", self.0))]
    }
}

/// Keys with braces are in the slot of their groups; others are refused.
pub(crate) async fn work_on_a_cluster(one: &Cache, other: &Cache) {
    let version = Arc::new(AtomicU32::new(0));
    let keys: Vec<_> = (0..12).map(|n| TaggedKey(n % 4, n)).collect();
    let read = async |cache: &Cache| {
        let version = Arc::clone(&version);
        let load = move |keys: Vec<TaggedKey>| {
            let version = version.load(Ordering::SeqCst);
            async move { Ok::<_, Away>(keys.into_iter().map(|key| (key, Fresh::of(version))).collect()) }
        };
        let read = cache.get_many_or_load(&keys, load).await.expect("read");
        read.into_iter().map(|(cached, _)| cached.expect("a value").value().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!((read(one).await, read(other).await), (vec![0; 12], vec![0; 12]));
    version.store(1, Ordering::SeqCst);
    for n in 0..4 {
        let [group] = TaggedKey(n, 0).groups().try_into().expect("one");
        eventually("Redis to be notified", TIMEOUT, async || one.delete_group(&group).await.ok()).await;
    }
    assert_eq!(read(one).await, [1; 12], "own changes are seen");
    eventually("the other process to see them", LATE, async || (read(other).await == [1; 12]).then_some(())).await;
    version.store(2, Ordering::SeqCst);
    eventually("Redis to be notified", TIMEOUT, async || one.delete_many(&keys).await.ok()).await;
    assert_eq!(read(one).await, [2; 12]);
    let load = || async { Ok::<_, Away>(Some(Fresh::of(1))) };
    let error = one.get_or_load(&BookKey(1, 1), load).await.map(|_| ()).expect_err("another slot than its group");
    assert!(matches!(error, ReadError::Key(KeyError::GroupSlot { .. })), "{error}");
}
