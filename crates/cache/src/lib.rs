//! A read-through cache over Redis: one load per key for the whole fleet, and nothing older than the last change.
//!
//! ```
//! # use std::{convert::Infallible, time::Duration};
//! use examhall_cache::{Cache, Fresh};
//! use examhall_core::{KEY_SPACES, Profile, ProfileKey, Role, UserId};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = Cache::builder(KEY_SPACES).local_only(); // or Cache::builder(KEY_SPACES).open("redis://127.0.0.1:6379")?
//! let key = ProfileKey(UserId("018f4e3a-0000-7000-8000-000000000001".parse()?));
//! let from_database = move || async move {
//!     let value = Profile { id: key.0, name: "Ada".into(), role: Role::Student };
//!     Ok::<_, Infallible>(Some(Fresh { version: 1, head: (), value, pin: None }))
//! };
//!
//! let (profile, source) = cache.get_or_load(&key, from_database).await?;
//! assert!(!source.is_hit());
//! assert_eq!(profile.expect("there is one").body(), r#"{"id":"018f4e3a-0000-7000-8000-000000000001","name":"Ada","role":"student"}"#);
//! assert!(cache.get_or_load(&key, from_database).await?.1.is_hit());
//!
//! let nothing_more = |keys: Vec<ProfileKey>| async move {
//!     assert!(keys.is_empty(), "asked only for what is not cached");
//!     Ok::<_, Infallible>(Vec::new())
//! };
//! assert_eq!(cache.get_many_or_load(&[key], nothing_more).await?.len(), 1);
//!
//! cache.delete(&key).await?; // delete_many for several
//! assert!(cache.get(&key).await.is_none());
//! let value = Profile { id: key.0, name: "Bob".into(), role: Role::Student };
//! cache.set(&key, Fresh { version: 2, head: (), value, pin: None }, Duration::from_secs(60)).await?;
//! assert_eq!(cache.get(&key).await.expect("set").value()?.name, "Bob");
//! # Ok(())
//! # }
//! ```
//!
//! # Two levels
//!
//! ```text
//!   get_or_load ── memory ── hit, while its link is proven ───────────────────────────────> l1
//!        │ one flight per key and process; others join it
//!        └─ acquire.lua ── value ─────────────────────────────────────────────────────────> l2
//!                     ├─── lease is ours ── load, renewing it ── fill.lua: if it still is ─> loaded
//!                     ├─── somebody loads ── wait for its push, or ask again ── acquire.lua
//!                     ├─── marked: a change is being committed ── load, store nothing ────> bypass
//!                     └─── Redis does not answer ── load, keep it 2 s in memory ──────────> bypass
//!
//!   a change:  before_commit ─ mark ──  COMMIT  ── after_commit ─ clear ── every process hears of both
//! ```
//!
//! | Redis key | holds |
//! |---|---|
//! | the key | the entry: version, head, JSON, gzip of it |
//! | `cl:{key}` | the lease: the token of whoever may fill, for 1 s unless renewed |
//! | `cm:{key}` | marks: commits under way, by the end of their 10 s on Redis's clock |
//! | `cc:{..}` | canary of a process: where it is gone, Redis was flushed |
//! | `cc:none` | nothing: it is taken away to see whether Redis takes writes |
//!
//! # Why nothing old stays
//!
//! **In Redis.** Every write of a value is a fill. A fill counts only while the lease has its token; a token is drawn for
//! one acquisition and never used again where that had no answer. Every invalidation takes the lease away. So if a fill
//! counts, no invalidation came between its acquisition and itself. The database was read after the acquisition. Let a
//! change be committed: its clear comes after the commit. A fill after the clear has its acquisition after the clear, so
//! it read the change. A fill before the clear is taken away by it. Where a lease is lost (it ended, Redis was flushed or
//! restarted) a fill is refused: the safe side.
//!
//! **Where the writer dies after the commit.** Its mark came before the commit, took the value away, and bars leases
//! until it ends, after any commit that it may precede. What is acquired later reads the change. Beyond that, whoever
//! commits keeps a list (an outbox) and gives it to [`Cache::replay`] and [`Cache::ask_for_recent_keys`].
//!
//! **In memory.** Redis tells, by `CLIENT TRACKING` in broadcast mode, of every write and deletion under the cache's keys;
//! an invalidation writes and deletes even what is not there, so it is always told. What a flight reads may be kept only
//! if the flight was listed before it asked and is still, and nothing was told of its key since: under the lock of the
//! list, so that nothing is told between the look and the insertion. So what is kept was read after all that was told
//! before, and is removed by what is told later. What was told of also strikes the flight off the list: whoever comes
//! afterwards does not join it. That nothing is missed is proven twice a second on the same connection: what was told
//! before the answer has arrived before it, a new connection says that it tells nothing yet, and a flush has taken the
//! canary. Without proof memory falls silent after 2 s; a new connection, a flush, an overflow begin a new epoch, in which
//! what was kept before does not count.
//!
//! The test `model` walks through all interleavings of two flights, a writer, their deaths, late fills and a caller who
//! comes after the change: 406,351 states. It shows that without any one of the fence, the mark, the taint, the striking
//! off, the lock or the writer's emptying of its own memory an old value stays or is served.
//!
//! # What it costs where something fails
//!
//! | what | then |
//! |---|---|
//! | whoever loads dies | its lease ends within 1 s, the next one loads |
//! | whoever asked goes away | the load goes on |
//! | the load fails | one error for all who wait, and for whoever comes within 250 ms; an aged value where the key allows it |
//! | Redis is gone | nothing; each process loads once in 2 s per key |
//! | Redis is silent | a quarter of a second for who waits when it begins, then nothing, as if it were gone |
//! | Redis takes no writes | it is not read until it has been told what has changed |
//! | Redis is full | hits and invalidations go on, nothing is stored |
//! | Redis comes back, maybe older | it is told all changes of the last minute before it is read |
//!
//! # Where it runs
//!
//! With Redis the cache has a thread of its own, `cache`: connections, leases and the link live there, so that ten thousand
//! readers who keep the program's threads busy cannot make it lose a lease or miss a change. Loads run among the program's
//! own tasks, on the runtime in which the cache was opened.
//!
//! In a Redis Cluster there is no link, since nodes tell only of their own keys: memory holds everything for 2 s at most.
//!
//! It must never know SQL or HTTP: what to load is a closure, what to send are bytes.

mod breaker;
mod builder;
mod cache;
mod connection;
mod entry;
mod error;
mod flight;
mod invalidate;
mod link;
mod load;
mod local;
mod many;
mod names;
mod redis;
mod script;
mod verbs;
mod warm;

pub use builder::Builder;
pub use cache::Cache;
pub use entry::{Cached, Coding, Fresh};
pub use error::{Error, ReadError};
pub use examhall_core::{CacheKey, Life};
pub use verbs::Source;
