use serde_json::json;

use super::*;

const NOW: i64 = 1_790_000_000_000; // 2026-09-21T14:13:20Z

fn to_map(json: Value) -> Map<String, Value> {
    serde_json::from_value(json).expect("an object")
}

fn next(opts: Value) -> Successor {
    successor(&to_map(opts), NOW).expect("a schedule")
}

fn job(at: Option<i64>, repeat: Value) -> Successor {
    Successor::Job { at, repeat: to_map(repeat) }
}

#[test]
fn successors_are_those_of_bullmq() {
    let minute = |count: u64| json!({"pattern": "* * * * *", "tz": "UTC", "count": count});
    assert_eq!(next(json!({"repeat": {"every": 5, "count": 3}})), job(None, json!({"every": 5, "count": 4})));
    assert_eq!(next(json!({"repeat": minute(1)})), job(Some(NOW + 40_000), minute(2)));
    let prev = NOW + 40_000;
    assert_eq!(next(json!({"prevMillis": prev, "repeat": minute(1)})), job(Some(prev + 60_000), minute(2)));
    let limited = |count: u64| json!({"repeat": {"every": 5, "limit": 3, "count": count}});
    assert_eq!(next(limited(2)), job(None, json!({"every": 5, "limit": 3, "count": 3})));
    assert_eq!(next(limited(3)), Successor::None);
    assert_eq!(next(json!({"repeat": {"every": 5, "count": 1, "endDate": NOW - 1}})), Successor::None);
    let ends = json!({"pattern": "* * * * *", "tz": "UTC", "endDate": NOW + 39_999});
    assert_eq!(next(json!({"repeat": ends})), Successor::None);
    let starts = json!({"pattern": "* * * * *", "tz": "UTC", "startDate": "2026-09-21T15:00:30Z"});
    let start = 1_790_002_830_000_i64;
    let repeat = json!({"pattern": "* * * * *", "tz": "UTC", "startDate": start, "count": 1});
    assert_eq!(next(json!({"repeat": starts})), job(Some(start + 30_000), repeat));
    assert!(successor(&to_map(json!({"repeat": {"pattern": "nonsense"}})), NOW).is_err());
}

#[test]
fn schedules_without_a_job_are_rejected() {
    let second = Duration::from_secs(1);
    for (name, repeat) in [
        ("no interval", Repeat::every(Duration::from_micros(999))),
        ("an interval too long", Repeat::every(Duration::MAX)),
        ("an offset too long", Repeat::every(second).offset(second)),
        ("no job", Repeat::every(second).limit(0)),
        ("an end in the past", Repeat::every(second).end(NOW - 1)),
        ("a start too late", Repeat::every(second).start(i64::MAX)),
        ("a negative start", Repeat::every(second).start(-1)),
        ("start and immediately", Repeat::cron("* * * * *").immediately().start(NOW)),
        ("a broken pattern", Repeat::cron("61 * * * *")),
        ("an unknown time zone", Repeat::cron("* * * * *").time_zone("Mars")),
    ] {
        assert!(matches!(repeat.check(NOW), Err(Error::BadSchedule(_))), "{name}");
    }
    let never = Repeat::cron("0 0 30 2 *").time_zone("UTC");
    assert!(never.check(NOW).is_ok() && never.first(NOW).is_err(), "there is no 30 February");
}
