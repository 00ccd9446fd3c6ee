//! Calls take effect wholly or not at all, whatever is in the way.

use std::time::Duration;

use examhall_queue::{Deduplication, Error, JobOptions, Outcome, RateLimit, WorkerOptions};
use examhall_testkit::eventually;
use futures_util::future::join_all;

use crate::{Bench, TIMEOUT, done, job, named};

/// Ids of the jobs in all states, sorted.
async fn stored(bench: &Bench) -> Vec<String> {
    const ALL: &str = "local ids = {}
        for _, key in ipairs({'wait', 'paused', 'active', 'prioritized', 'delayed', 'completed', 'failed'}) do
          local type = redis.call('TYPE', 'bull:email:' .. key).ok
          local found = {}
          if type == 'list' then found = redis.call('LRANGE', 'bull:email:' .. key, 0, -1)
          elseif type == 'zset' then found = redis.call('ZRANGE', 'bull:email:' .. key, 0, -1) end
          for _, id in ipairs(found) do ids[#ids + 1] = id end
        end
        table.sort(ids)
        return ids";
    bench.redis.command(&["EVAL", ALL, "0"]).await
}

fn each_kind() -> [JobOptions; 5] {
    let minute = Duration::from_mins(1);
    [
        named("plain"),
        named("first").lifo(true),
        named("prioritized").priority(3),
        named("delayed").delay(minute),
        named("deduplicated").deduplication(Deduplication::ttl("d", minute)),
    ]
}

#[tokio::test]
async fn jobs_are_added_wholly_or_not_at_all() {
    let bench = Bench::start().await;
    for key in ["wait", "prioritized", "delayed", "id", "pc", "meta", "events", "marker", "de:d", "delayed-job"] {
        for broken in ["SET KEY x", "HSET KEY a b", "SADD KEY a"] {
            bench.redis.cmd::<String>("FLUSHALL").await;
            let name = if key == "delayed-job" { "delayed" } else { key };
            bench.redis.cmd::<()>(&broken.replace("KEY", &format!("bull:email:{name}"))).await;
            let (before, jobs) = (bench.dump().await, each_kind().map(job));
            let added = bench.queue.add_all(&jobs).await;
            if let Ok(mut ids) = added {
                ids.sort();
                assert_eq!(stored(&bench).await, ids, "{key}, {broken}");
            } else {
                let mut after = bench.dump().await;
                for counter in ["id", "pc", "meta"].iter().filter(|counter| **counter != key) {
                    after.remove(&format!("bull:email:{counter}"));
                }
                assert_eq!(after, before, "{key}, {broken}: {added:?}");
            }
        }
    }
}

#[tokio::test]
async fn counter_out_of_range_adds_nothing() {
    let bench = Bench::start().await;
    for counter in ["9223372036854775807", "9007199254740990", "-5", "1.5", "x"] {
        bench.redis.cmd::<String>("FLUSHALL").await;
        bench.redis.cmd::<String>(&format!("SET bull:email:id {counter}")).await;
        let added = bench.queue.add_all(&[job(JobOptions::default()), job(JobOptions::default())]).await;
        assert!(added.is_err(), "{counter}: {added:?}");
        assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:wait bull:email:events").await, 0, "{counter}");
    }
}

#[tokio::test]
async fn one_bad_job_does_not_prevent_those_of_others() {
    let bench = Bench::start().await;
    bench.redis.cmd::<i64>("LPUSH bull:email:de:taken x").await;
    let options = |n: u32| match n % 10 {
        3 => JobOptions::default().deduplication(Deduplication::simple("taken")),
        5 => JobOptions::default().deduplication(Deduplication::ttl("d", Duration::MAX)),
        _ => named(&format!("m-{n}")),
    };
    let added = join_all((0..200).map(|n| bench.queue.add(job(options(n))))).await;
    for (n, added) in added.iter().enumerate() {
        match n % 10 {
            3 => assert!(matches!(added, Err(Error::BadKey(key)) if key.contains("de:taken")), "{added:?}"),
            5 => assert!(matches!(added, Err(Error::BadOption { option: "deduplication", .. })), "{added:?}"),
            _ => assert_eq!(added.as_ref().ok(), Some(&format!("m-{n}"))),
        }
    }
    assert_eq!(bench.drain(done).await.completed, 160);
}

#[tokio::test]
async fn spans_of_outcomes_are_limited() {
    let bench = Bench::start().await;
    for outcome in [Outcome::RateLimited(Duration::MAX), Outcome::Snoozed(Duration::MAX)] {
        bench.redis.cmd::<String>("FLUSHALL").await;
        bench.add(named("j")).await;
        let told = outcome.clone();
        let (stop, running) = bench.run(move |_| std::future::ready(told.clone()));
        eventually("the run is reported", TIMEOUT, || async {
            let started = bench.field("j", "ats").await?;
            (bench.redis.cmd::<i64>("EXISTS bull:email:active").await == 0).then_some(started)
        })
        .await;
        stop.cancel();
        running.await.expect("no panic");
        assert_eq!(stored(&bench).await, ["j"], "{outcome:?}");
        assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:j:lock").await, 0);
    }
}

#[tokio::test]
async fn settings_that_are_no_numbers_count_as_absent() {
    let bench = Bench::start().await;
    for field in ["opts.maxLenEvents", "concurrency", "max", "duration"] {
        for value in ["x", "-1", "1e400", "nan", "2.5", "99999999999999999999", "0x10"] {
            bench.redis.cmd::<String>("FLUSHALL").await;
            bench.redis.cmd::<i64>("HSET bull:email:meta max 50 duration 1000").await;
            bench.redis.cmd::<i64>(&format!("HSET bull:email:meta {field} {value}")).await;
            bench.redis.cmd::<String>("SET bull:email:limiter x").await;
            bench.add(named("a")).await;
            bench.add(named("b").priority(1)).await;
            let ended = bench.drain(done).await;
            // A negative concurrency lets no job start, as with Node.
            let expected = if (field, value) == ("concurrency", "-1") { 0 } else { 2 };
            assert_eq!(ended.completed, expected, "{field} {value}");
            assert_eq!(stored(&bench).await, ["a", "b"], "{field} {value}");
        }
    }
}

#[tokio::test]
async fn negative_scores_in_delayed_are_due() {
    let bench = Bench::start().await;
    bench.add(named("early").delay(Duration::from_mins(1))).await;
    bench.add(named("late").delay(Duration::from_mins(1))).await;
    bench.redis.cmd::<i64>("ZADD bull:email:delayed -5 early inf late").await;
    assert_eq!(bench.drain(done).await.completed, 1);
    assert_eq!(stored(&bench).await, ["early", "late"]);
    assert_eq!(bench.queue.counts().await.expect("read").delayed, 1);
}

#[tokio::test]
async fn bad_options_of_workers_and_queues_are_named() {
    let bench = Bench::start().await;
    let (max, none) = (Duration::MAX, WorkerOptions::default);
    for (options, expected) in [
        (none().lock(Duration::from_micros(999)), "lock"),
        (none().lock(max), "lock"),
        (none().stalled_interval(Duration::ZERO), "stalled_interval"),
        (none().drain_delay(max), "drain_delay"),
        (none().grace(max), "grace"),
        (none().remove_on_fail(examhall_queue::Retention::age(Duration::ZERO)), "remove_on_fail"),
    ] {
        let refused = examhall_queue::Worker::new(bench.queue.clone(), options, done).err();
        assert!(matches!(refused, Some(Error::BadOption { option, .. }) if option == expected), "{refused:?}");
    }
    let second = Duration::from_secs(1);
    for (result, expected) in [
        (bench.queue.set_rate_limit(Some(RateLimit::new(0, second))).await, "limit"),
        (bench.queue.set_rate_limit(Some(RateLimit::new(1, Duration::ZERO))).await, "limit"),
        (bench.queue.set_rate_limit(Some(RateLimit::new(1, max))).await, "limit"),
        (bench.queue.rate_limit(max).await, "span"),
        (bench.queue.change_delay("x", max).await, "delay"),
    ] {
        assert!(matches!(result, Err(Error::BadOption { option, .. }) if option == expected), "{result:?}");
    }
    assert_eq!(bench.redis.cmd::<i64>("DBSIZE").await, 0);
}
