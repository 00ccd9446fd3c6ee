//! Job schedulers: S1 to S8.

use std::time::Duration;

use examhall_queue::{Error, JobOptions, ListOrder, NewJob, Repeat, RepeatRule};
use serde_json::{Value, json};

use crate::{
    ours::quick,
    scenario::{PREFIX, Scenario, now_ms},
    scenarios,
    snapshot::Snapshot,
    twins::assert_same,
};

scenarios![
    s1_our_worker_advances_the_schedulers_of_node,
    s2_node_worker_advances_our_schedulers,
    s3_our_schedulers_are_stored_as_those_of_node,
    s4_limit_and_end_stop_a_schedule,
    s5_failed_and_retried_jobs_do_not_disturb_the_schedule,
    s6_stalled_job_of_a_scheduler_runs_again,
    s7_next_job_of_a_scheduler_is_kept,
    s8_repeatable_jobs_of_older_versions_go_on,
    s9_patterns_mean_what_they_mean_to_node,
    s10_repeatable_jobs_with_names_of_five_parts_go_on,
];

/// Far enough from now for a scheduler to do nothing more.
const NEVER: &str = "0 0 1 1 *";

async fn upsert(scenario: &Scenario, id: &str, repeat: Value, template: Value) -> Value {
    scenario.node.queue("upsertJobScheduler", json!([id, repeat, template])).await
}

async fn upsert_ours(scenario: &Scenario, id: &str, repeat: &Repeat) -> Result<String, Error> {
    let template = NewJob::new("tick", json!({"x": 1})).options(JobOptions::default().attempts(2).priority(3));
    scenario.queue.upsert_job_scheduler(id, repeat, &template).await
}

/// Returns the number of jobs that a scheduler has added.
fn iterations(now: &Snapshot, id: &str) -> u64 {
    now.hash(&format!("repeat:{id}")).get("ic").and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// Returns the time of a scheduler's next job, and checks that this is stored as BullMQ would.
fn next_of(now: &Snapshot, id: &str) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a time in ms")]
    let at = now.score("repeat", id).expect("a scheduler") as i64;
    let job = now.hash(&format!("repeat:{id}:{at}"));
    assert_eq!(job.get("rjk").map(String::as_str), Some(id), "the next job of {id}");
    at
}

async fn s1_our_worker_advances_the_schedulers_of_node(scenario: &Scenario) {
    upsert(scenario, "often", json!({"every": 700}), json!({"name": "tick", "data": {"value": 7}})).await;
    upsert(scenario, "seconds", json!({"pattern": "* * * * * *"}), json!({"name": "tock"})).await;
    let yearly = json!({"pattern": NEVER, "tz": "Europe/Berlin", "immediately": true});
    upsert(scenario, "yearly", yearly, json!({"name": "tock", "opts": {"priority": 2, "attempts": 3}})).await;
    let ours = scenario.ours(quick()).await;
    let now = scenario
        .once("all are advanced", |now| {
            iterations(now, "often") >= 4 && iterations(now, "seconds") >= 4 && iterations(now, "yearly") == 2
        })
        .await;
    ours.stop().await;
    let (often, first) = (next_of(&now, "often"), now.hash("repeat:often")["offset"].parse::<i64>().expect("ms"));
    assert_eq!(often % 700, first, "the interval keeps its offset");
    assert_eq!(next_of(&now, "seconds") % 1000, 0);
    let yearly = next_of(&now, "yearly");
    let job = now.hash(&format!("repeat:yearly:{yearly}"));
    assert_eq!((job["priority"].as_str(), job["data"].as_str(), job["name"].as_str()), ("2", "{}", "tock"));
    let opts = now.json(&format!("repeat:yearly:{yearly}"), "opts");
    let expected = json!({
        "attempts": 3, "priority": 2, "repeatJobKey": "yearly", "jobId": format!("repeat:yearly:{yearly}"),
        "prevMillis": yearly, "timestamp": opts["timestamp"], "delay": opts["delay"],
        "repeat": {"pattern": NEVER, "tz": "Europe/Berlin", "count": 2},
    });
    assert_eq!(opts, expected);
    let due = opts["timestamp"].as_i64().unwrap_or_default() + opts["delay"].as_i64().unwrap_or_default();
    assert_eq!(due, yearly);
    // Node reads its own times, and goes on with what our worker has stored.
    let schedulers = scenario.node.queue("getJobSchedulers", json!([])).await;
    assert_eq!(schedulers.as_array().map(Vec::len), Some(3));
    scenario.node.worker("node-1", json!({"drainDelay": 1})).await;
    let before = iterations(&now, "often");
    scenario.once("Node goes on", |now| iterations(now, "often") >= before + 3).await;
    for id in ["often", "seconds", "yearly"] {
        scenario.node.queue("removeJobScheduler", json!([id])).await;
    }
    scenario
        .once("nothing is left to do", |now| now.members("delayed").is_empty() && now.members("active").is_empty())
        .await;
    assert_eq!(scenario.node.messages("worker-error"), Vec::<Value>::new());
}

async fn s2_node_worker_advances_our_schedulers(scenario: &Scenario) {
    let id = upsert_ours(scenario, "often", &Repeat::every(Duration::from_millis(700))).await.expect("added");
    assert!(id.starts_with("repeat:often:"), "{id}");
    upsert_ours(scenario, "seconds", &Repeat::cron("* * * * * *").time_zone("Asia/Kolkata")).await.expect("added");
    scenario.node.worker("node-1", json!({"drainDelay": 1})).await;
    scenario.once("Node advances both", |now| iterations(now, "often") >= 3 && iterations(now, "seconds") >= 3).await;
    let run = scenario.node.runs().remove(0);
    assert_eq!(
        (&run.job["name"], &run.job["data"], &run.job["opts"]["attempts"]),
        (&json!("tick"), &json!({"x": 1}), &json!(2))
    );
    let ours = scenario.ours(quick()).await;
    ours.after_runs(2).await;
    let listed = scenario.queue.job_schedulers(0, 10, ListOrder::OldestFirst).await.expect("listed");
    assert_eq!(listed.len(), 2);
    for id in ["often", "seconds"] {
        assert!(scenario.queue.remove_job_scheduler(id).await.expect("removed"), "{id}");
        assert!(!scenario.queue.remove_job_scheduler(id).await.expect("gone"), "{id}");
    }
    let idle =
        |now: &Snapshot| ["delayed", "active", "prioritized", "repeat"].iter().all(|key| now.members(key).is_empty());
    scenario.once("nothing is left to do", idle).await;
    ours.stop().await;
}

async fn s3_our_schedulers_are_stored_as_those_of_node(theirs: &Scenario) {
    let ours = &Scenario::start(theirs.node.version()).await;
    let start = now_ms() / 3_600_000 * 3_600_000 + 7_200_000; // a full hour
    let template = json!({"name": "tick", "data": {"x": 1}, "opts": {"attempts": 2, "priority": 3}});
    let berlin = || Repeat::cron(NEVER).time_zone("Europe/Berlin");
    let hour = Duration::from_hours(1);
    let cases = [
        ("cron", json!({"pattern": NEVER, "tz": "Europe/Berlin"}), berlin()),
        ("cron", json!({"pattern": NEVER, "tz": "Europe/Berlin"}), berlin()), // again: nothing changes
        (
            "cron",
            json!({"pattern": "0 30 9 * * MON-FRI", "tz": "UTC"}),
            Repeat::cron("0 30 9 * * MON-FRI").time_zone("UTC"),
        ),
        ("limited", json!({"pattern": NEVER, "tz": "UTC", "limit": 3}), Repeat::cron(NEVER).time_zone("UTC").limit(3)),
        (
            "bounded",
            json!({"pattern": "0 * * * *", "tz": "UTC", "startDate": start, "endDate": start + 86_400_000}),
            Repeat::cron("0 * * * *").time_zone("UTC").start(start).end(start + 86_400_000),
        ),
        ("hourly", json!({"every": 3_600_000, "startDate": start}), Repeat::every(hour).start(start)),
        ("hourly", json!({"every": 3_600_000, "startDate": start}), Repeat::every(hour).start(start)),
        ("hourly", json!({"every": 7_200_000, "startDate": start}), Repeat::every(2 * hour).start(start)),
    ];
    for (id, repeat, same) in cases {
        upsert(theirs, id, repeat.clone(), template.clone()).await;
        upsert_ours(ours, id, &same).await.expect("added");
        assert_same(theirs, ours, &format!("{id} {repeat}")).await;
    }
    let found = ours.queue.job_scheduler("bounded").await.expect("read").expect("a scheduler");
    let Some(Repeat { rule: RepeatRule::Cron { pattern, time_zone, .. }, start: Some(starts), end, limit, .. }) =
        found.repeat
    else {
        unreachable!("{found:?}");
    };
    assert_eq!((pattern.as_str(), time_zone.as_deref(), starts, limit), ("0 * * * *", Some("UTC"), start, None));
    assert_eq!((end, found.next, found.iterations), (Some(start + 86_400_000), start + 3_600_000, 1));
    assert_eq!((found.name.as_str(), found.data, found.options.priority), ("tick", json!({"x": 1}), 3));
    assert_eq!(ours.queue.job_scheduler("nobody").await.expect("read"), None);
    assert_eq!(ours.queue.job_scheduler_count().await.expect("counted"), 4);
    for id in ["hourly", "nobody"] {
        theirs.node.queue("removeJobScheduler", json!([id])).await;
        ours.queue.remove_job_scheduler(id).await.expect("removed");
        assert_same(theirs, ours, &format!("{id} removed")).await;
    }
    ours.check().await;
}

async fn s4_limit_and_end_stop_a_schedule(scenario: &Scenario) {
    upsert(scenario, "limited", json!({"every": 300, "limit": 3}), json!({"name": "tick"})).await;
    upsert_ours(scenario, "bounded", &Repeat::cron("* * * * * *").end(now_ms() + 3_000)).await.expect("added");
    let ours = scenario.ours(quick()).await;
    let ended = |now: &Snapshot| {
        now.members("delayed").is_empty()
            && now.members("active").is_empty()
            && now.members("wait").is_empty()
            && now.members("prioritized").is_empty()
            && !now.members("completed").is_empty()
    };
    scenario.once("both schedules end", ended).await;
    let limited = ours.ran().iter().filter(|id| id.starts_with("repeat:limited:")).count();
    assert_eq!(limited, 3);
    ours.stop().await;
    let past = upsert_ours(scenario, "past", &Repeat::every(Duration::from_secs(1)).end(now_ms() - 1)).await;
    assert!(matches!(past, Err(Error::BadSchedule(_))), "{past:?}");
}

async fn s5_failed_and_retried_jobs_do_not_disturb_the_schedule(scenario: &Scenario) {
    let failing = json!({"name": "tick", "data": {"failures": 1}, "opts": {"attempts": 1}});
    upsert(scenario, "failing", json!({"every": 60_000}), failing).await;
    let ours = scenario.ours(quick()).await;
    let now = scenario.once_in("failed", 1).await;
    assert_eq!((iterations(&now, "failing"), now.members("delayed").len()), (2, 1));
    let id = now.members("failed").remove(0);
    scenario.queue.retry(&id, examhall_queue::Attempts::Keep).await.expect("retried");
    let now = scenario.once_in("completed", 1).await;
    assert_eq!((iterations(&now, "failing"), now.members("delayed").len()), (2, 1), "it is advanced once");
    scenario.queue.remove(&id).await.expect("an ended job of a scheduler can be removed");
    ours.stop().await;
}

async fn s6_stalled_job_of_a_scheduler_runs_again(scenario: &Scenario) {
    upsert(scenario, "stalling", json!({"every": 60_000}), json!({"name": "tick", "data": {"hangs": 3}})).await;
    let ours = scenario.ours(quick().concurrency(4).grace(Duration::ZERO)).await;
    for stalls in 1..=3 {
        ours.after_runs(stalls).await;
        let id = ours.ran().remove(0);
        // Its worker forgets it, as one does that dies.
        scenario.redis.command::<i64>(&["DEL", &format!("{PREFIX}{id}:lock")]).await;
        scenario.once("it has stalled", |now| now.hash(&id).get("stc") == Some(&stalls.to_string())).await;
    }
    let now = scenario.once_in("completed", 1).await;
    let id = now.members("completed").remove(0);
    assert!(!now.hash(&id).contains_key("defa"));
    assert_eq!((iterations(&now, "stalling"), now.members("delayed").len()), (2, 1), "it is advanced once");
    ours.stop().await;
}

async fn s7_next_job_of_a_scheduler_is_kept(scenario: &Scenario) {
    let id = upsert_ours(scenario, "kept", &Repeat::cron(NEVER).time_zone("UTC")).await.expect("added");
    let removed = scenario.queue.remove(&id).await;
    assert!(matches!(removed, Err(Error::Foreign(_))), "{removed:?}");
    scenario.queue.clean(examhall_queue::State::Delayed, Duration::ZERO, 10).await.expect("cleaned");
    assert_eq!(scenario.snapshot().await.members("delayed"), [id.as_str()]);
    // An operator may run it early; the schedule goes on.
    scenario.queue.promote(&id).await.expect("promoted");
    let ours = scenario.ours(quick()).await;
    let now = scenario.once_in("completed", 1).await;
    assert_eq!(now.members("completed"), [id.as_str()]);
    assert_eq!((iterations(&now, "kept"), now.members("delayed").len()), (2, 1));
    ours.stop().await;
}

async fn s8_repeatable_jobs_of_older_versions_go_on(scenario: &Scenario) {
    if scenario.node.version() == 6 {
        return; // it cannot add them
    }
    scenario.node.add(json!({"value": 1}), json!({"repeat": {"every": 700}, "attempts": 2})).await;
    scenario.node.add(json!({"value": 2}), json!({"repeat": {"pattern": "* * * * * *"}})).await;
    let ours = scenario.ours(quick()).await;
    ours.after_runs(6).await;
    ours.stop().await;
    let now = scenario.snapshot().await;
    assert_eq!(now.members("repeat").len(), 2);
    let ids: Vec<_> = now.members("delayed").into_iter().chain(now.members("wait")).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    for id in ids {
        assert!(["1", "2"].contains(&now.json(&id, "data")["value"].to_string().as_str()), "{id} keeps its data");
    }
    scenario.node.worker("node-1", json!({"drainDelay": 1})).await;
    scenario.node.after_runs(4).await;
    for key in now.members("repeat") {
        scenario.node.queue("removeRepeatableByKey", json!([key])).await;
    }
    scenario
        .once("nothing is left to do", |now| now.members("delayed").is_empty() && now.members("active").is_empty())
        .await;
}

/// Patterns without seconds, or with fixed ones, so that a moment later they mean the same time.
const PATTERNS: [&str; 62] = [
    "30 9 * * *",
    "0 30 9 * * *",
    "15 30 9 * * *",
    "0 0 1 1 *",
    "0 0 29 2 *",
    "0 12 L * *",
    "0 0 L 2 *",
    "0 9 * * 5L",
    "0 9 * * 1#2",
    "0 9 * * MON#1",
    "0 9 * * 5#5",
    "0 9 * * mon-fri",
    "0 9 * * Mon,WED,fri",
    "0 9 1 JAN *",
    "0 9 1 jan-mar *",
    "0 9 1 feb,DEC *",
    "0 9 * * 0",
    "0 9 * * 7",
    "0 9 * * 0-7",
    "0 9 * * 5-7",
    "0 9 * * SUN",
    "0 9 * * 1-5/2",
    "0 */6 * * *",
    "5/15 3 * * *",
    "0 8-18/5 * * *",
    "10,20,50 4 * * *",
    "0 9 ? * 1",
    "0 9 1 * ?",
    "0 9 13 * 5",
    "0 9 1,15 * 1",
    "00 05 * * *",
    "  0  9\t* * *  ",
    "1 * *",
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@hourly",
    "@midnight",
    "@weekdays",
    "@weekends",
    "@reboot",
    "@DAILY",
    "",
    "5",
    "60 * * * *",
    "0 24 * * *",
    "0 0 0 * *",
    "0 0 32 * *",
    "0 0 * 13 *",
    "0 0 * * 8",
    "*/0 * * * *",
    "50-10 4 * * *",
    "0 22-2 * * *",
    "1,, * * * *",
    "0 0 15W * *",
    "0 0 31 4 *",
    "0 0 * * FRI-MON",
    "0 9 * * L",
    "0 9 * * 1,5L",
    "-1 * * * *",
];

/// Names that BullMQ 5 does not know.
const NEW_NAMES: [&str; 3] = ["@annually", "@weekdays", "@weekends"];

async fn s9_patterns_mean_what_they_mean_to_node(scenario: &Scenario) {
    let next = async |id: &str| -> Option<f64> { scenario.redis.cmd(&format!("ZSCORE {PREFIX}repeat {id}")).await };
    let mut differences = Vec::new();
    for pattern in PATTERNS {
        if scenario.node.version() == 5 && NEW_NAMES.contains(&pattern) {
            continue;
        }
        let request =
            json!({"call": "upsertJobScheduler", "args": ["node", {"pattern": pattern, "tz": "Europe/Berlin"}]});
        let theirs = scenario.node.request("queue", request).await.is_ok().then_some(());
        let ours = upsert_ours(scenario, "ours", &Repeat::cron(pattern).time_zone("Europe/Berlin")).await;
        let (node, own) =
            (next("node").await.filter(|_| theirs.is_some()), next("ours").await.filter(|_| ours.is_ok()));
        if node != own {
            differences.push(format!("{pattern:?}: Node {node:?}, ours {own:?} {ours:?}"));
        }
        for id in ["node", "ours"] {
            scenario.queue.remove_job_scheduler(id).await.expect("removed");
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// As BullMQ stored them before version 5, without a hash of the scheduler, and at first without its name in the job.
async fn s10_repeatable_jobs_with_names_of_five_parts_go_on(scenario: &Scenario) {
    let now = now_ms();
    let jobs = [
        ("tick::::* * * * * *", "repeat:0123abc", json!({"pattern": "* * * * * *", "count": 1}), ""),
        ("tock::::700", "repeat:4567def", json!({"every": 700, "count": 1}), "tock::::700"),
        ("old:::UTC:* * * * * *", "repeat:89abcde", json!({"cron": "* * * * * *", "tz": "UTC", "count": 1}), ""),
    ];
    for (member, prefix, repeat, rjk) in &jobs {
        let (id, name) = (format!("{prefix}:{now}"), member.split(':').next().unwrap_or_default());
        let opts = json!({"attempts": 2, "repeat": repeat, "jobId": id, "delay": 0, "prevMillis": now}).to_string();
        let (key, at) = (format!("{PREFIX}{id}"), now.to_string());
        let fields =
            ["name", name, "data", r#"{"x":1}"#, "opts", &opts, "timestamp", &at, "delay", "0", "priority", "0"];
        let words: Vec<&str> = ["HSET", &key].into_iter().chain(fields).collect();
        scenario.redis.command::<i64>(&words).await;
        if !rjk.is_empty() {
            scenario.redis.command::<i64>(&["HSET", &key, "rjk", rjk]).await;
        }
        scenario.redis.command::<i64>(&["ZADD", &format!("{PREFIX}repeat"), &at, member]).await;
        scenario.redis.command::<i64>(&["LPUSH", &format!("{PREFIX}wait"), &id]).await;
    }
    let ours = scenario.ours(quick()).await;
    let ran = ours.after_runs(9).await;
    ours.stop().await;
    let now = scenario.snapshot().await;
    for (member, prefix, ..) in &jobs {
        let runs = ran.iter().filter(|run| run.id.starts_with(prefix)).count();
        assert!(runs >= 2, "{member} ran {runs} times");
        let waiting: Vec<_> = ["delayed", "wait"].into_iter().flat_map(|state| now.members(state)).collect();
        assert_eq!(waiting.iter().filter(|id| id.starts_with(prefix)).count(), 1, "{member}: {waiting:?}");
        assert!(now.hash(&format!("repeat:{member}")).is_empty(), "{member} has no hash");
    }
    if scenario.node.version() == 5 {
        scenario.node.worker("node-1", json!({"drainDelay": 1})).await;
        scenario.node.after_runs(6).await;
        assert_eq!(scenario.node.messages("worker-error"), Vec::<Value>::new());
    }
    for (member, ..) in &jobs {
        scenario.redis.command::<i64>(&["ZREM", &format!("{PREFIX}repeat"), member]).await;
    }
}
