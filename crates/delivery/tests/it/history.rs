use examhall_core::{EmailJob, Timestamp};
use examhall_delivery::{HistoryStep, MailBucket, MailHistory};
use examhall_testkit::Redis;

use crate::connect;

/// A full hour, in ms since 1970.
const HOUR: i64 = 1_800_000_000_000 / 3_600_000 * 3_600_000;
const MINUTE: i64 = 60_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn sent(waits: &[i64]) -> MailBucket {
    let mut bucket = MailBucket::default();
    for wait in waits {
        bucket.count_sent(*wait);
    }
    bucket
}

#[tokio::test]
async fn minutes_and_hours_add_up() {
    let redis = Redis::start().await;
    let history = MailHistory::new(connect(&redis).await, EmailJob::HISTORY_KEY);
    let failed = MailBucket { failed: 2, deferred: 1, ..MailBucket::default() };
    for (ms, counts) in [
        (HOUR - 1, sent(&[50])),
        (HOUR, sent(&[50, 700])),
        (HOUR + 59_999, failed.clone()),
        (HOUR + 5 * MINUTE, sent(&[9_000_000])),
    ] {
        history.add(at(ms), &counts).await.expect("added");
    }
    let now = at(HOUR + 10 * MINUTE);
    let read = async |step, since: i64| history.read(step, at(since), now).await.expect("read");
    let mut first = sent(&[50, 700]);
    first.add(&failed);
    let expected =
        [(at(HOUR - MINUTE), sent(&[50])), (at(HOUR), first.clone()), (at(HOUR + 5 * MINUTE), sent(&[9_000_000]))];
    assert_eq!(read(HistoryStep::Minute, 0).await, expected);
    assert_eq!(read(HistoryStep::Minute, HOUR + 1).await, expected[1..], "the minute of the moment counts");
    let mut hour = first.clone();
    hour.add(&sent(&[9_000_000]));
    assert_eq!(read(HistoryStep::Hour, 0).await, [(at(HOUR - 60 * MINUTE), sent(&[50])), (at(HOUR), hour)]);
    assert_eq!(history.recent(5, now).await.expect("read"), sent(&[9_000_000]));
    let later = history.read(HistoryStep::Minute, at(0), at(HOUR + 25 * 60 * MINUTE)).await.expect("read");
    assert_eq!(later, [], "for 24 hours");
}

#[tokio::test]
async fn a_full_history_takes_less_than_300_kb() {
    let redis = Redis::start().await;
    let history = MailHistory::new(connect(&redis).await, EmailJob::HISTORY_KEY);
    let mut busy = MailBucket { failed: 120, deferred: 1_234, ..MailBucket::default() };
    for wait in [80, 200, 400, 800, 1_500, 4_000, 9_000, 20_000, 50_000, 200_000] {
        for _ in 0..150 {
            busy.count_sent(wait);
        }
    }
    let minutes: Vec<_> = (0..24 * 60).map(|n| history.add(at(HOUR + n * MINUTE), &busy)).collect();
    futures_util::future::try_join_all(minutes).await.expect("added");
    let hours: Vec<_> = (1..14 * 24).map(|n| history.add(at(HOUR - n * 60 * MINUTE), &busy)).collect();
    futures_util::future::try_join_all(hours).await.expect("added");
    let now = HOUR + 24 * 60 * MINUTE - 1;
    let has_expired = |key: &String| {
        let (step, page) = key.rsplit_once(':').expect("a page");
        let (length, kept) = if step.ends_with('m') { (1, 24) } else { (24, 14 * 24) };
        (page.parse::<i64>().expect("a number") + 1) * length < now / (60 * MINUTE) - kept
    };
    let (mut bytes, keys) = (0, redis.cmd::<Vec<String>>("KEYS mail:{history}:*").await);
    for key in keys.iter().filter(|key| !has_expired(key)) {
        bytes += redis.cmd::<i64>(&format!("MEMORY USAGE {key} SAMPLES 0")).await;
    }
    assert!((50_000..300_000).contains(&bytes), "{bytes} bytes");
    assert_eq!(history.read(HistoryStep::Minute, at(0), at(now)).await.expect("read").len(), 24 * 60);
    assert_eq!(history.read(HistoryStep::Hour, at(0), at(now)).await.expect("read").len(), 14 * 24 + 1);
}
