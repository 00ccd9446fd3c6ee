//! The metrics that operators rely on, by name and label.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use examhall_testkit::eventually;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::*;

const LIST: [(&str, &[&str]); 25] = [
    ("cache_breaker_state", &[]),
    ("cache_decode_errors_total", &["ns"]),
    ("cache_epoch_total", &["cause"]),
    ("cache_fill_total", &["result", "ns"]),
    ("cache_invalidation_lag_seconds", &[]),
    ("cache_invalidation_pending", &[]),
    ("cache_invalidations_total", &["origin", "result"]),
    ("cache_journal_changes_total", &[]),
    ("cache_l1_bytes", &[]),
    ("cache_l1_entries", &[]),
    ("cache_l1_evictions", &[]),
    ("cache_l1_live", &[]),
    ("cache_lease_total", &["result", "ns"]),
    ("cache_link_reconnects_total", &["cause"]),
    ("cache_load_seconds", &["ns"]),
    ("cache_node_epochs_total", &["node", "cause"]),
    ("cache_outdated_total", &["ns"]),
    ("cache_push_lagged_total", &[]),
    ("cache_redis_errors_total", &["kind"]),
    ("cache_redis_seconds", &["cmd"]),
    ("cache_refreshes_total", &["result"]),
    ("cache_requests_total", &["outcome"]),
    ("cache_stale_age_seconds", &["ns"]),
    ("cache_trust", &[]),
    ("cache_waiters", &[]),
];

/// Records which metrics exist, and with which labels.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    described: BTreeSet<String>,
    used: BTreeMap<String, BTreeSet<Vec<String>>>,
    /// Outcomes of reads and fills.
    outcomes: BTreeSet<String>,
}

impl Seen {
    fn describe(&self, name: &KeyName) {
        self.0.lock().expect("no panic").described.insert(name.as_str().to_owned());
    }

    fn use_one(&self, key: &Key) {
        let mut state = self.0.lock().expect("no panic");
        let labels = key.labels().map(|label| label.key().to_owned()).collect();
        state.used.entry(key.name().to_owned()).or_default().insert(labels);
        if let "cache_requests_total" | "cache_fill_total" = key.name() {
            state.outcomes.extend(key.labels().map(|label| label.value().to_owned()));
        }
    }
}

impl Recorder for Seen {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.use_one(key);
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.use_one(key);
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.use_one(key);
        Histogram::noop()
    }
}

#[tokio::test]
async fn exactly_the_listed_metrics_exist() {
    let seen = Seen::default();
    assert!(metrics::set_global_recorder(seen.clone()).is_ok(), "each test has a process of its own");
    let mut redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::gated());
    cache.follow(|_, _| async { Some(Vec::new()) });
    cache.ready().await.expect("trusted again");
    let waiting = [reader(&cache, &row), reader(&cache, &row)];
    row.loading().await;
    row.open();
    for reader in waiting {
        reader.await.expect("no panic").expect("read");
    }
    let local = async || (read(&cache, &row).await.1 == Source::Local).then_some(());
    eventually("the memory to answer", TIMEOUT, local).await;
    let key = format!("exam:{}", KEY.0);
    redis.cmd::<i64>(&format!("PEXPIRE {key} 500000")).await; // past its time
    row.fails.store(1, Ordering::SeqCst);
    let stale = async || (read(&cache, &row).await.1 == Source::Stale).then_some(());
    eventually("a stale answer", TIMEOUT, stale).await;
    forget(&cache).await;
    eventually("an error", TIMEOUT, async || try_read(&cache, &row).await.err()).await;
    row.fails.store(0, Ordering::SeqCst);
    redis.command::<String>(&["SET", &key, "9 of the next release"]).await;
    eventually("a bypass", TIMEOUT, async || try_read(&cache, &row).await.ok()).await;
    let large = Exam { description: "x".repeat(16 * 1024 * 1024), ..exam(1) };
    let fresh = Fresh::new(1, access(), large);
    let other = ExamKey(ExamId(uuid::Uuid::max()));
    cache.get_or_load(&other, async move || Ok::<_, Away>(Some(fresh))).await.expect("read");
    redis.kill().await;
    eventually("Redis missed", TIMEOUT, async || {
        assert!(cache.delete(&KEY).await.is_err());
        seen.0.lock().expect("no panic").used.contains_key("cache_redis_errors_total").then_some(())
    })
    .await;
    let measured = async || seen.0.lock().expect("no panic").used.contains_key("cache_l1_entries").then_some(());
    eventually("a beat of the link", TIMEOUT, measured).await;

    let seen = seen.0.lock().expect("no panic");
    let names: BTreeSet<_> = LIST.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(seen.described, names);
    let list: BTreeMap<_, _> = LIST.into_iter().collect();
    for (name, labels) in &seen.used {
        let expected: Vec<String> = list[name.as_str()].iter().map(|label| (*label).to_owned()).collect();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [&expected], "{name}");
    }
    let unused: Vec<_> = names.iter().filter(|name| !seen.used.contains_key(*name)).cloned().collect();
    let rare = ["l1_evictions", "link_reconnects_total", "node_epochs_total", "outdated_total", "push_lagged_total"];
    let rare = rare.into_iter().chain(["refreshes_total"]);
    assert_eq!(unused, rare.map(|name| format!("cache_{name}")).collect::<Vec<_>>(), "not provoked here");
    for outcome in ["l1", "loaded", "joined", "stale", "bypass", "error", "ok", "oversize"] {
        assert!(seen.outcomes.contains(outcome), "{outcome}: {:?}", seen.outcomes);
    }
}
