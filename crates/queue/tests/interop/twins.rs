//! Compares what Node does to a queue with what we do to another one.

use std::collections::BTreeMap;

use crate::{
    scenario::Scenario,
    snapshot::{Snapshot, Stored},
};

/// Fields with the time of a call.
const TIMES: &[&str] = &["timestamp", "processedOn", "finishedOn", "retriedOn", "prevTS"];

/// Panics if the queues differ in more than times.
pub(crate) async fn assert_same(theirs: &Scenario, ours: &Scenario, what: &str) {
    let (theirs, ours) = (normal(&theirs.snapshot().await), normal(&ours.snapshot().await));
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
        other => format!("{other:?}"),
    }
}
