//! Options of single reads.

use std::time::Duration;

use crate::{Life, Source, entry::Entry, settings::Settings};

/// What a read asks for beyond its key; see [`Cache::with`](crate::Cache::with).
///
/// ```
/// # use std::{convert::Infallible, time::Duration};
/// # use examhall_cache::{Cache, CacheKey, Fresh, Life, ReadOptions};
/// # #[derive(Clone)]
/// # struct RateKey;
/// # impl CacheKey for RateKey {
/// #     type Value = f64;
/// #     type Head = ();
/// #     const LIFE: Life = Life::hours(1);
/// #     fn redis_key(&self) -> String {
/// #         "rate:eur".into()
/// #     }
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = Cache::builder(["rate:"]).local_only()?;
/// # let ask_the_bank = || async { Ok::<_, Infallible>(Some(Fresh::of(1.17))) };
/// let to_pay = cache.with(ReadOptions::new().max_age(Duration::from_secs(5)).no_stale());
/// let (rate, _) = to_pay.get_or_load(&RateKey, ask_the_bank).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ReadOptions {
    pub(crate) skips_memory: bool,
    pub(crate) refuses_stale: bool,
    max_age: Option<Duration>,
    soft_load_limit: Option<Duration>,
    hard_load_limit: Option<Duration>,
    life: Option<Life>,
}

impl ReadOptions {
    /// Returns the options of a plain read.
    pub const fn new() -> Self {
        Self {
            skips_memory: false,
            refuses_stale: false,
            max_age: None,
            soft_load_limit: None,
            hard_load_limit: None,
            life: None,
        }
    }

    /// Asks Redis, whatever the process's own memory holds. What it answers is kept in memory.
    pub const fn skip_memory(mut self) -> Self {
        self.skips_memory = true;
        self
    }

    /// Takes no value whose load began longer ago than this; an older one is loaded again, and replaced for all readers.
    /// A stale value is older than its life, so [`no_stale`](Self::no_stale) is usually meant, too.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Takes no stale value: if the load fails or is slow, the read fails or waits.
    pub const fn no_stale(mut self) -> Self {
        self.refuses_stale = true;
        self
    }

    /// Sets the time after which a stale value is served while its load goes on. As the other limits and lives, it counts
    /// if this read begins the load; one that joins another reader's load waits for that.
    pub const fn soft_load_limit(mut self, limit: Duration) -> Self {
        self.soft_load_limit = Some(limit);
        self
    }

    /// Sets the time after which a load without a stale value fails.
    pub const fn hard_load_limit(mut self, limit: Duration) -> Self {
        self.hard_load_limit = Some(limit);
        self
    }

    /// Sets how long the value may be served that this read loads, in place of [`CacheKey::LIFE`](crate::CacheKey::LIFE).
    pub const fn life(mut self, life: Life) -> Self {
        self.life = Some(life);
        self
    }

    /// Returns the limits of a load, soft and hard.
    pub(crate) fn load_limits(&self, settings: &Settings) -> (Duration, Duration) {
        (
            self.soft_load_limit.unwrap_or(settings.soft_load_limit),
            self.hard_load_limit.unwrap_or(settings.hard_load_limit),
        )
    }

    pub(crate) fn life_or(&self, of_key: Life) -> Life {
        self.life.unwrap_or(of_key)
    }

    /// Returns whether an entry is young enough.
    pub(crate) fn takes(&self, entry: &Entry) -> bool {
        self.max_age.is_none_or(|max| entry.age() <= max)
    }

    /// Returns whether it takes what any other reader takes.
    pub(crate) fn takes_all(&self) -> bool {
        self.max_age.is_none() && !self.refuses_stale
    }

    /// Returns whether this may be the answer if another reader has asked for it.
    pub(crate) fn takes_joined(&self, entry: &Entry, source: Source) -> bool {
        match source {
            Source::Stale => !self.refuses_stale && self.max_age.is_none(),
            _ => self.takes(entry),
        }
    }
}
