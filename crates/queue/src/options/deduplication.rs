//! Deduplication of adds.

use std::time::Duration;

use serde_json::{Map, Value};

use super::duration;
use crate::clock::millis;

/// Makes adds idempotent: of several jobs with the same deduplication id only the first is added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deduplication {
    /// Id that the jobs have in common.
    pub id: String,
    /// For how long after the first add; if absent, until the first job has ended.
    pub ttl: Option<Duration>,
}

impl Deduplication {
    /// Deduplication until the first job has ended.
    pub fn simple(id: impl Into<String>) -> Self {
        Self { id: id.into(), ttl: None }
    }

    /// Deduplication for `ttl` from the first add.
    pub fn ttl(id: impl Into<String>, ttl: Duration) -> Self {
        Self { id: id.into(), ttl: Some(ttl) }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("id".into(), self.id.as_str().into());
        json.extend(self.ttl.map(|ttl| ("ttl".into(), millis(ttl).into())));
        json.into()
    }

    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let id = value.get("id")?.as_str()?.to_owned();
        Some(Self { id, ttl: value.get("ttl").and_then(duration).filter(|ttl| !ttl.is_zero()) })
    }
}
