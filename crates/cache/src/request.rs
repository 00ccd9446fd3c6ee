//! What a read of one key needs: its name, its life, its type and its loader.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    CacheKey, Fresh, Life, ReadError, ReadOptions,
    entry::{Decoded, Entry, Span},
    flight::Flight,
    gather::GatherSlot,
    keys::KeyNames,
    permits::{Permit, Permits},
};

/// A loader with its type erased.
pub(crate) type Load = Pin<Box<dyn Future<Output = Result<Entry, ReadError>> + Send>>;

/// Reads an entry.
pub(crate) type Decode = fn(&Bytes) -> Decoded;

/// A read of one key, with its type erased.
pub(crate) struct ReadRequest {
    pub(crate) key: KeyNames,
    pub(crate) options: ReadOptions,
    pub(crate) life: Life,
    pub(crate) shape: u32,
    pub(crate) decode: Decode,
    pub(crate) load: Load,
    /// For a key that is read together with others.
    pub(crate) gathered: Option<GatherSlot>,
    /// Whether its loader loads other keys, too, and limits itself.
    pub(crate) is_one_of_many: bool,
}

impl ReadRequest {
    pub(crate) fn of<K: CacheKey>(
        key: &KeyNames,
        options: ReadOptions,
        load: impl Future<Output = Result<Option<Fresh<K>>, ReadError>> + Send + 'static,
    ) -> Self {
        let life = options.life_or(K::LIFE);
        Self {
            key: key.clone(),
            options,
            life,
            shape: K::SHAPE,
            decode: Entry::decode::<K>,
            load: to_load(life, load),
            gathered: None,
            is_one_of_many: false,
        }
    }

    /// Reads it together with other keys.
    pub(crate) fn with(mut self, gathered: GatherSlot) -> Self {
        (self.gathered, self.is_one_of_many) = (Some(gathered), true);
        self
    }

    /// Returns a permit to load, if there is one.
    pub(crate) fn own_permit(&self, flight: &Flight, permits: &Permits) -> Option<Permit> {
        if self.is_one_of_many { Some(Permit::of_many()) } else { permits.free(flight) }
    }

    /// Returns whether to refresh the entry early (XFetch): the slower its load and the nearer its end, the likelier
    /// (Vattani, Chierichetti, Lowenstein: "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015).
    pub(crate) fn is_refresh_due(&self, entry: &Entry, ttl: Duration) -> bool {
        let until_soft = match (entry.span, self.life.soft) {
            (Span::OfKey, Some(soft)) => ttl.as_secs_f64() + soft.as_secs_f64() - self.life.hard.as_secs_f64(),
            (Span::AtMost(_), Some(_)) => ttl.as_secs_f64(),
            (Span::AtLeast(_), _) | (_, None) => return false,
        };
        -entry.took.as_secs_f64() * fastrand::f64().max(f64::MIN_POSITIVE).ln() >= until_soft
    }
}

/// Erases the type of a loader.
fn to_load<K: CacheKey>(
    life: Life,
    load: impl Future<Output = Result<Option<Fresh<K>>, ReadError>> + Send + 'static,
) -> Load {
    Box::pin(async move {
        let began = Instant::now();
        match load.await? {
            Some(fresh) => Entry::of_fresh(fresh, began.elapsed(), life),
            None => Ok(Entry::nothing::<K>(began.elapsed())),
        }
    })
}
