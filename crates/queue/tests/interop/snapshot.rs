//! A consistent snapshot of a queue's keys.

use std::collections::BTreeMap;

use examhall_testkit::Redis;
use serde::Deserialize;
use serde_json::Value;

use crate::scenario::PREFIX;

/// The keys of the queue, without its prefix.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Snapshot {
    pub(crate) keys: BTreeMap<String, Stored>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "lowercase")]
pub(crate) enum Stored {
    String(String),
    Hash(BTreeMap<String, String>),
    List(Vec<String>),
    Set(Vec<String>),
    Zset(Vec<(String, String)>),
    Stream(Vec<(String, Vec<String>)>),
}

/// An entry of the queue's stream of events.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    /// When Redis wrote it, in ms since 1970.
    pub(crate) at: i64,
    pub(crate) fields: BTreeMap<String, String>,
}

impl Snapshot {
    pub(crate) async fn take(redis: &Redis) -> Self {
        Self::of(redis, PREFIX).await
    }

    /// Takes one of the queue whose keys have this prefix.
    pub(crate) async fn of(redis: &Redis, prefix: &str) -> Self {
        let json: String = redis.command(&["EVAL", include_str!("snapshot.lua"), "0", prefix]).await;
        let mut snapshot: Self = serde_json::from_str(&json).expect("the script writes this form");
        snapshot.keys.remove("");
        snapshot
    }

    /// Returns a text, or an empty one.
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.keys.get(name) {
            Some(Stored::String(text)) => text,
            _ => "",
        }
    }

    /// Returns a hash, or an empty one.
    pub(crate) fn hash(&self, name: &str) -> BTreeMap<String, String> {
        match self.keys.get(name) {
            Some(Stored::Hash(fields)) => fields.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// Returns the members of a list, set or sorted set in order.
    pub(crate) fn members(&self, name: &str) -> Vec<String> {
        match self.keys.get(name) {
            Some(Stored::List(members) | Stored::Set(members)) => members.clone(),
            Some(Stored::Zset(members)) => members.iter().map(|(member, _)| member.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Returns a member's score.
    pub(crate) fn score(&self, name: &str, wanted: &str) -> Option<f64> {
        let Stored::Zset(members) = self.keys.get(name)? else { return None };
        members.iter().find(|(member, _)| member == wanted).and_then(|(_, score)| score.parse().ok())
    }

    pub(crate) fn json(&self, id: &str, field: &str) -> Value {
        let text = self.hash(id).remove(field).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Returns all events, oldest first.
    pub(crate) fn events(&self) -> Vec<Event> {
        let Some(Stored::Stream(entries)) = self.keys.get("events") else { return Vec::new() };
        entries.iter().map(|(id, fields)| Event::read(id, fields)).collect()
    }

    /// Returns the events of one job, oldest first.
    pub(crate) fn events_of(&self, job: &str) -> Vec<Event> {
        self.events().into_iter().filter(|event| event.field("jobId") == job).collect()
    }

    /// Returns the names of one job's events, with `prev` if they have it: `waiting<active`.
    pub(crate) fn history_of(&self, job: &str) -> Vec<String> {
        let name = |event: Event| match event.fields.get("prev") {
            Some(prev) => format!("{}<{prev}", event.name),
            None => event.name,
        };
        self.events_of(job).into_iter().map(name).collect()
    }
}

impl Event {
    fn read(id: &str, flat: &[String]) -> Self {
        let mut fields: BTreeMap<_, _> = flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let at = id.split_once('-').and_then(|(ms, _)| ms.parse().ok()).unwrap_or_default();
        Self { name: fields.remove("event").unwrap_or_default(), at, fields }
    }

    /// Returns a field, or an empty text.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}
