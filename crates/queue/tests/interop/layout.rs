//! Invariants of a queue's keys, for clients of all kinds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::snapshot::{Snapshot, Stored};

const STATES: &[&str] =
    &["wait", "paused", "active", "prioritized", "delayed", "waiting-children", "completed", "failed"];

/// Keys of a queue that belong to no job.
const OF_QUEUE: &[&str] = &["pc", "marker", "id", "meta", "events", "stalled", "stalled-check", "limiter", "repeat"];

/// Suffixes of a job's keys.
const OF_JOB: &[&str] = &["lock", "logs", "dependencies", "processed", "failed", "unsuccessful"];

/// Panics if an invariant is broken.
pub(crate) fn check(snapshot: &Snapshot) {
    let states = states(snapshot);
    for (id, state) in &states {
        let fields = snapshot.hash(id);
        for field in ["name", "data", "opts", "timestamp"] {
            assert!(fields.contains_key(field), "job {id} in {state} has no {field}: {fields:?}");
        }
        for field in ["data", "opts", "progress", "returnvalue", "stacktrace"] {
            let Some(text) = fields.get(field) else { continue };
            let json = serde_json::from_str::<Value>(text);
            assert!(json.is_ok(), "job {id}'s {field} is no JSON: {text}");
            assert!(field != "opts" || !holds_null(&json.unwrap_or_default()), "job {id}'s options hold null: {text}");
        }
        let is_locked = snapshot.keys.contains_key(&format!("{id}:lock"));
        assert_eq!(is_locked, *state == "active", "job {id} is in {state}, locked: {is_locked}");
    }
    for id in snapshot.members("stalled") {
        let state = states.get(&id).copied();
        assert!(!matches!(state, Some("completed" | "failed")), "{id} is {state:?} and suspected of stalling");
    }
    let markers = snapshot.members("marker");
    assert!(markers.iter().all(|member| ["0", "1"].contains(&member.as_str())), "marker holds {markers:?}");
    let longest = snapshot.hash("meta").get("opts.maxLenEvents").and_then(|max| max.parse::<usize>().ok());
    let events = snapshot.events().len();
    assert!(events <= longest.unwrap_or(10_000) + 100, "{events} events are kept");
    check_layout(snapshot, &states);
}

/// Returns each job's state, of which it has one.
fn states(snapshot: &Snapshot) -> BTreeMap<String, &'static str> {
    let mut states = BTreeMap::new();
    for state in STATES {
        for id in snapshot.members(state) {
            let before = states.insert(id.clone(), *state);
            assert_eq!(before, None, "job {id} is in two places, one of them {state}");
        }
    }
    states
}

/// Panics for a key that BullMQ does not know, and for one of a job in no state.
fn check_layout(snapshot: &Snapshot, states: &BTreeMap<String, &str>) {
    let of_queue: BTreeSet<_> = OF_QUEUE.iter().chain(STATES).copied().collect();
    for (name, stored) in &snapshot.keys {
        let (id, part) = name.split_once(':').unwrap_or((name, ""));
        let is_known = match part {
            "" => of_queue.contains(id) || (states.contains_key(id) && matches!(stored, Stored::Hash(_))),
            part => {
                (states.contains_key(id) && OF_JOB.contains(&part)) || ["de", "dn", "metrics", "repeat"].contains(&id)
            }
        };
        assert!(is_known, "{name} is no key of a queue, or belongs to a job in no state");
    }
}

fn holds_null(json: &Value) -> bool {
    match json {
        Value::Null => true,
        Value::Array(items) => items.iter().any(holds_null),
        Value::Object(fields) => fields.values().any(holds_null),
        _ => false,
    }
}
