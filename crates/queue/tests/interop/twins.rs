//! Compares what Node does to a queue with what we do to another one.

use std::collections::BTreeMap;

use crate::{
    scenario::{PREFIX, Scenario},
    snapshot::{Snapshot, Stored},
};

/// Fields with the time of a call.
const TIMES: &[&str] = &["timestamp", "processedOn", "finishedOn", "retriedOn", "prevTS"];

/// Panics if the queues differ in more than times.
pub(crate) async fn assert_same(theirs: &Scenario, ours: &Scenario, what: &str) {
    assert_same_in(theirs, ours, PREFIX, what).await;
}

/// Panics if the queues with keys of this prefix differ in more than times.
pub(crate) async fn assert_same_in(theirs: &Scenario, ours: &Scenario, prefix: &str, what: &str) {
    let of = async |scenario: &Scenario| normal(&Snapshot::of(&scenario.redis, prefix).await);
    let (theirs, ours) = (of(theirs).await, of(ours).await);
    for key in theirs.keys().chain(ours.keys()) {
        assert_eq!(ours.get(key), theirs.get(key), "{what}: key {key}, ours on the left, Node's on the right");
    }
}

/// Returns each key's value as text, without times.
fn normal(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let keys = snapshot.keys.iter().filter(|(name, _)| *name != "stalled-check");
    keys.map(|(name, stored)| (name.clone(), text(name, stored))).collect()
}

fn text(name: &str, stored: &Stored) -> String {
    match stored {
        Stored::Hash(fields) => {
            let mut fields = fields.clone();
            fields.retain(|field, _| !TIMES.contains(&field.as_str()));
            // A trace is the language's: only the reason in its first line is the failure's, after the error's name.
            if let Some(trace) = fields.get_mut("stacktrace") {
                let traces: Vec<String> = serde_json::from_str(trace).unwrap_or_default();
                let reason =
                    |trace: &String| trace.lines().next().and_then(|line| Some(line.split_once(": ")?.1.to_owned()));
                *trace = format!("{:?}", traces.iter().map(reason).collect::<Vec<_>>());
            }
            // Scripts of BullMQ write options in any order.
            let opts = fields.get("opts").and_then(|opts| serde_json::from_str::<serde_json::Value>(opts).ok());
            if let Some(mut opts) = opts {
                // The next job of a scheduler runs at a given time, not after a given delay.
                if fields.contains_key("rjk") {
                    fields.remove("delay");
                    opts["delay"].take();
                    opts["timestamp"].take();
                }
                fields.insert("opts".to_owned(), opts.to_string());
            }
            let parent = fields.get("parent").and_then(|parent| serde_json::from_str::<serde_json::Value>(parent).ok());
            fields.extend(parent.map(|parent| ("parent".to_owned(), parent.to_string())));
            if name == "meta" {
                fields.remove("version"); // only a `Queue` of Node writes it
            }
            format!("{fields:?}")
        }
        Stored::Zset(members) if name == "prioritized" => format!("{members:?}"),
        Stored::Zset(members) => format!("{:?}", members.iter().map(|(member, _)| member).collect::<Vec<_>>()),
        Stored::Stream(entries) => {
            let event = |fields: &[String]| {
                let mut pairs: Vec<_> = fields.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
                pairs.retain(|(field, _)| field != "delay");
                pairs.sort();
                // Only BullMQ 5 writes it, together with `deduplicated`.
                Some(pairs).filter(|pairs| !pairs.iter().any(|(_, value)| value == "debounced"))
            };
            let events: Vec<_> = entries.iter().filter_map(|(_, fields)| event(fields)).collect();
            format!("{events:#?}")
        }
        Stored::Set(members) => format!("{:?}", members.iter().collect::<std::collections::BTreeSet<_>>()),
        other => format!("{other:?}"),
    }
}
