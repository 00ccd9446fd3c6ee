//! A look at a value without a script, which most reads need: Redis hashes every string that a script sees, and fred sends
//! each script alone, but plain commands of many readers together.

use bytes::Bytes;
use examhall_redis::Connection;
use futures_util::future::{join, try_join, try_join_all};

use super::Redis;
use crate::{
    Error,
    acquire::Acquired,
    connection::{is_absence, measured},
    entry::generations,
    keys::RedisKeys,
};

/// Longer values are left to the script, which has them read on another connection; in bytes.
const SHORT: usize = 64 * 1024;
/// Answer of `PTTL`: there is no such key.
const ABSENT: i64 = -2;

/// What Redis answered.
struct Look {
    ttl: i64,
    value: Bytes,
    /// Generations of the key's groups, as a value names those that it was loaded under.
    generations: String,
}

impl Redis {
    /// Returns the value if it is short and current; `None` if the script is to decide.
    ///
    /// Its commands are no atomic step, and need not be. No generation comes again: a value that was loaded under those
    /// that its groups have was current when it was read. The time to live is asked for first: of a value that is
    /// replaced meanwhile it is too short at most, and the script is asked again if that matters.
    pub(super) async fn glance(&self, keys: &RedisKeys) -> Result<Option<Acquired>, Error> {
        let _turn = self.turns.acquire().await;
        let look = measured("glance", self.health.settings.bulk_timeout, look(&self.commands, keys));
        match self.guarded(look).await {
            Ok(look) => Ok(look.is_usable().then(|| Acquired::found(look.value, look.ttl, keys.space))),
            Err(error) if matches!(error, Error::Bypassed) || is_absence(&error) => Err(error),
            Err(_) => Ok(None), // it is no string, or its slot moves
        }
    }
}

async fn look(redis: &Connection, keys: &RedisKeys) -> Result<Look, examhall_redis::Error> {
    let name = &keys.names[0];
    let value = try_join(redis.pttl(name), redis.beginning(name, SHORT));
    let (value, generations) = join(value, try_join_all(keys.generations().map(|name| redis.get(name)))).await;
    let ((ttl, value), generations) = (value?, generations?);
    let generations: Vec<_> = generations.into_iter().map(Option::unwrap_or_default).collect();
    Ok(Look { ttl, value, generations: generations.join(",") })
}

impl Look {
    fn is_usable(&self) -> bool {
        let is_whole = self.ttl != ABSENT && self.value.len() < SHORT;
        is_whole && generations(&self.value) == Some(&self.generations)
    }
}
