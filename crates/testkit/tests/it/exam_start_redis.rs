//! Exam start with a Redis that forgets, hangs up, saves nothing or is not there at first: what the processes tell their
//! operators of it.

use std::time::Duration;

use examhall_testkit::{DatabaseKind, RedisOptions, World, eventually};
use serde_json::json;

use crate::{
    TIMEOUT,
    exam_start::{Fleet, LATE},
};

const EPOCHS: &str = "cache_epoch_total{";
const LIVE: &str = "cache_l1_live ";
const BYPASSED: &str = "cache_breaker_state ";

impl Fleet {
    /// Waits until both processes say so of themselves.
    async fn both_say(&self, series: &str, number: u64) {
        for api in [0, 1] {
            let says = async || (self.metric(api, series).await == number).then_some(());
            eventually(&format!("{series}{number}"), TIMEOUT, says).await;
        }
    }

    async fn both(&self, series: &str) -> [u64; 2] {
        [self.metric(0, series).await, self.metric(1, series).await]
    }

    /// Reads until both processes answer from memory.
    async fn warm_up(&self) {
        for api in [0, 1] {
            let before = self.metric(api, "cache_requests_total{outcome=\"l1\"").await;
            eventually("the memory to answer", TIMEOUT, async || {
                assert_eq!(self.read(api).await.0, 200);
                (self.metric(api, "cache_requests_total{outcome=\"l1\"").await > before).then_some(())
            })
            .await;
        }
    }

    /// The key of the sheet in Redis.
    fn sheet_key(&self) -> String {
        format!("{}:questions", self.exam.trim_start_matches('/').replacen("exams/", "exam:", 1))
    }
}

#[tokio::test]
async fn operators_see_that_redis_is_missed_and_that_it_is_back() {
    let mut fleet = Fleet::start().await;
    for is_frozen in [true, false] {
        fleet.both_say(LIVE, 1).await;
        fleet.both_say(BYPASSED, 0).await;
        if is_frozen {
            fleet.world.redis.process().freeze();
        } else {
            fleet.world.redis.kill().await;
        }
        fleet.both_say(LIVE, 0).await;
        // That it is silent shows where it is asked.
        assert!(!is_frozen || fleet.read(0).await.0 == 200 && fleet.read(1).await.0 == 200);
        fleet.both_say(BYPASSED, 1).await;
        if is_frozen {
            fleet.world.redis.process().thaw();
        } else {
            fleet.world.redis.restart().await;
        }
        fleet.both_say(LIVE, 1).await;
        eventually("Redis to be used again", TIMEOUT, async || {
            assert_eq!((fleet.read(0).await, fleet.read(1).await), ((200, json!(1)), (200, json!(1))));
            (fleet.both(BYPASSED).await == [0, 0]).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_flush_empties_memory_and_costs_one_load() {
    let mut fleet = Fleet::start().await;
    fleet.warm_up().await;
    let (epochs, flushes) = (fleet.both(EPOCHS).await, fleet.both("cache_epoch_total{cause=\"flushed\"").await);
    let loads = fleet.loads().await;
    fleet.world.redis.cmd::<String>("FLUSHALL").await;
    eventually("the flush to be noticed", TIMEOUT, async || {
        (fleet.both("cache_epoch_total{cause=\"flushed\"").await == flushes.map(|count| count + 1)).then_some(())
    })
    .await;
    fleet.both_say("cache_l1_entries ", 0).await;
    let begun = fleet.both(EPOCHS).await;
    // A link without an answer for two seconds, as on a busy machine, is replaced, which is one more.
    assert!((0..2).all(|api| (1..=3).contains(&(begun[api] - epochs[api]))), "{epochs:?}, then {begun:?}");
    fleet.warm_up().await;
    assert_eq!(fleet.loads().await, loads + 1);
}

#[tokio::test]
async fn a_link_that_is_cut_alone_costs_one_epoch_and_hides_no_change() {
    let (fleet, mut costs) = (Fleet::start().await, Vec::new());
    for version in 2..6 {
        fleet.warm_up().await;
        fleet.both_say(LIVE, 1).await;
        let epochs = fleet.both(EPOCHS).await;
        let clients = fleet.world.redis.cmd::<String>("CLIENT LIST").await;
        let word = |line: &str, name| line.split(' ').find_map(|word| Some(word.strip_prefix(name)?.to_owned()));
        let links = clients.lines().filter(|line| word(line, "flags=").is_some_and(|flags| flags.contains('t')));
        let links: Vec<_> = links.filter_map(|line| word(line, "id=")).collect();
        assert_eq!(links.len(), 2, "one of each process: {clients}");
        for link in links {
            assert_eq!(fleet.world.redis.cmd::<i64>(&format!("CLIENT KILL ID {link}")).await, 1);
        }
        assert_eq!(fleet.change(0, "Logic").await, 200);
        assert_eq!(fleet.read(0).await, (200, json!(version)), "who changed it");
        let seen = async || (fleet.read(1).await.1 == json!(version)).then_some(());
        eventually("the other process to show it", LATE, seen).await;
        eventually("a new epoch in both", TIMEOUT, async || {
            let begun = fleet.both(EPOCHS).await;
            (begun[0] > epochs[0] && begun[1] > epochs[1]).then_some(())
        })
        .await;
        fleet.warm_up().await;
        assert_eq!((fleet.read(0).await, fleet.read(1).await), ((200, json!(version)), (200, json!(version))));
        let begun = fleet.both(EPOCHS).await;
        costs.extend([begun[0] - epochs[0], begun[1] - epochs[1]]);
    }
    // On a busy machine a link may be replaced once more.
    costs.sort_unstable();
    assert_eq!(costs[costs.len() / 2], 1, "one, not one for each step of it: {costs:?}");
}

#[tokio::test]
async fn a_redis_that_cannot_save_is_not_read_until_it_can() {
    let fleet = Fleet::start().await;
    fleet.warm_up().await;
    let redis = &fleet.world.redis;
    // What a full disk does: the last save has failed, so nothing more is taken that could be lost.
    std::fs::create_dir(redis.folder().join("dump.rdb")).expect("a folder in the file's place");
    redis.command::<String>(&["CONFIG", "SET", "save", "3600 1"]).await;
    redis.cmd::<String>("CONFIG SET stop-writes-on-bgsave-error yes").await;
    redis.cmd::<String>("BGSAVE").await;
    fleet.both_say(BYPASSED, 1).await;
    assert_eq!(fleet.change(0, "Logic").await, 200);
    assert_eq!(fleet.read(0).await, (200, json!(2)), "who changed it");
    let seen = async || (fleet.read(1).await.1 == json!(2)).then_some(());
    eventually("the other process to show it", LATE, seen).await;
    redis.cmd::<String>("CONFIG SET stop-writes-on-bgsave-error no").await;
    fleet.both_say(BYPASSED, 0).await;
    eventually("the outbox to be drained", TIMEOUT, async || (fleet.uncleared().await == "0").then_some(())).await;
    assert_eq!((fleet.read(0).await, fleet.read(1).await), ((200, json!(2)), (200, json!(2))));
}

#[tokio::test]
async fn processes_started_without_redis_use_it_once_it_is_there() {
    let mut world = World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await;
    world.redis.kill().await;
    let mut fleet = Fleet::start_in(world).await;
    assert_eq!((fleet.read(0).await, fleet.read(1).await), ((200, json!(1)), (200, json!(1))));
    fleet.both_say(BYPASSED, 1).await;
    fleet.world.redis.restart().await;
    let stored = format!("EXISTS {}", fleet.sheet_key());
    eventually("the sheet to be in Redis", TIMEOUT, async || {
        assert_eq!(fleet.read(0).await.0, 200);
        (fleet.world.redis.cmd::<i64>(&stored).await == 1).then_some(())
    })
    .await;
    let loads = fleet.loads().await;
    fleet.both_say(BYPASSED, 0).await;
    fleet.warm_up().await;
    assert!(fleet.loads().await <= loads + 1, "what one process has loaded serves both");
}

#[tokio::test]
async fn a_stale_sheet_is_served_while_the_database_is_away() {
    let fleet = Fleet::start().await;
    fleet.warm_up().await;
    fleet.database.delay(Duration::from_mins(10)); // it does not answer, nor does it say so
    assert_eq!(fleet.world.redis.cmd::<i64>(&format!("PEXPIRE {} 500000", fleet.sheet_key())).await, 1);
    for api in [0, 1] {
        eventually("a stale answer", TIMEOUT, async || {
            let api = &fleet.apis[api];
            let request = api.client.get(format!("{}{}/questions", api.base, fleet.exam)).bearer_auth(&fleet.student);
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
            (answer.headers()["cache-status"] == "examhall; hit; detail=stale").then_some(())
        })
        .await;
    }
}

/// Gives the exam a window, in minutes from now, of which no process is notified.
async fn set_window(fleet: &Fleet, opens_in: &str, closes_in: u32) {
    let at = |minutes: &str| format!("(extract(epoch from now()) * 1000)::bigint + 60000 * {minutes}");
    let (opens, closes) = (at(opens_in), at(&closes_in.to_string()));
    fleet.sql(&format!("UPDATE exams SET opens_at = {opens}, closes_at = {closes}")).await;
}

/// Waits until exam and sheet are in Redis for more than this many hours.
async fn wait_until_warm(fleet: &Fleet, hours: i64) {
    let (sheet, redis) = (fleet.sheet_key(), &fleet.world.redis);
    for key in [sheet.trim_end_matches(":questions"), &sheet] {
        eventually("both to be in Redis", TIMEOUT, async || {
            (redis.cmd::<i64>(&format!("PTTL {key}")).await > hours * 3_600_000).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_exam_about_to_open_is_loaded_once_by_no_reader() {
    let mut fleet = Fleet::start().await;
    set_window(&fleet, "0.6", 300).await; // by now each exam's part of the spread is over
    wait_until_warm(&fleet, 4).await;
    let looked = async || {
        let stats: String = fleet.world.redis.cmd("INFO commandstats").await;
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_pttl:calls=")).expect("it was asked for");
        line.split(',').next().expect("a number").parse::<u64>().expect("a number")
    };
    let before = looked().await;
    eventually("both to look again", TIMEOUT, async || (looked().await >= before + 6).then_some(())).await;
    let warmed = fleet.both("cache_refreshes_total{result=\"ok\"").await;
    assert_eq!(warmed.iter().sum::<u64>(), 2, "exam and sheet, in all: {warmed:?}");
    assert_eq!(fleet.loads().await, 1);
}

#[tokio::test]
async fn a_changed_open_exam_is_loaded_again_before_readers() {
    let mut fleet = Fleet::start().await;
    set_window(&fleet, "-5", 300).await;
    for (api, version) in [(0, 2), (1, 3)] {
        assert_eq!(fleet.change(api, "Logic").await, 200);
        wait_until_warm(&fleet, 4).await;
        let loads = fleet.loads().await;
        assert_eq!((fleet.read(0).await, fleet.read(1).await), ((200, json!(version)), (200, json!(version))));
        assert_eq!(fleet.loads().await, loads, "it was there");
    }
}

#[tokio::test]
async fn an_older_snapshot_opens_no_closed_exam() {
    let mut fleet = Fleet::start().await;
    fleet.warm_up().await;
    fleet.world.redis.cmd::<String>("SAVE").await;
    assert_eq!(fleet.close(0).await, 200);
    let closed = async || (fleet.read(1).await.0 == 403).then_some(());
    eventually("the other process to close it", LATE, closed).await;
    // An hour ago: nobody remembers it but the outbox, and its row was processed.
    fleet.sql("UPDATE cache_outbox SET created_at = created_at - 3600000, added_at = added_at - 3600000").await;
    eventually("the outbox to be processed", TIMEOUT, async || (fleet.uncleared().await == "0").then_some(())).await;
    fleet.world.redis.kill().await;
    fleet.world.redis.restart().await;
    assert_eq!(fleet.world.redis.cmd::<i64>(&format!("EXISTS {}", fleet.sheet_key())).await, 1, "the open one is back");
    eventually("Redis to be used again", TIMEOUT, async || {
        assert_eq!((fleet.read(0).await.0, fleet.read(1).await.0), (403, 403));
        (fleet.both(BYPASSED).await == [0, 0]).then_some(())
    })
    .await;
    fleet.both_say(LIVE, 1).await;
    assert_eq!((fleet.read(0).await.0, fleet.read(1).await.0), (403, 403));
}

#[tokio::test]
async fn a_redis_that_hangs_up_while_the_database_is_away_is_served() {
    let fleet = Fleet::start().await;
    fleet.warm_up().await;
    fleet.database.sever();
    fleet.world.redis.cmd::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
    let url = format!("{}{}/questions", fleet.apis[0].base, fleet.exam);
    eventually("a stale answer", TIMEOUT, async || {
        let answer = fleet.apis[0].client.get(&url).bearer_auth(&fleet.student).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let status = answer.headers()["cache-status"].to_str().expect("text").to_owned();
        (status == "examhall; hit; detail=stale").then_some(())
    })
    .await;
    fleet.database.accept();
    fleet.both_say(BYPASSED, 0).await;
    assert_eq!(fleet.read(0).await, (200, json!(1)));
}
