//! A read-through cache over Redis: one load per key for all processes, and no value older than the last change.
//!
//! ```
//! # use std::convert::Infallible;
//! use examhall_cache::{Cache, CacheKey, Fresh, Life};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Product {
//!     name: String,
//! }
//!
//! #[derive(Clone, PartialEq)]
//! struct ProductKey(u64);
//!
//! impl CacheKey for ProductKey {
//!     type Value = Product;
//!     type Head = ();
//!     const LIFE: Life = Life::hours(1);
//!
//!     fn redis_key(&self) -> String {
//!         format!("product:{}", self.0)
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = Cache::builder(["product:"]).local_only()?; // or .open("redis://127.0.0.1:6379")?
//! let key = ProductKey(7);
//! let from_database = || async {
//!     let value = Product { name: "Lamp".into() };
//!     Ok::<_, Infallible>(Some(Fresh::new(1, (), value)))
//! };
//!
//! let (product, source) = cache.get_or_load(&key, from_database).await?;
//! assert!(!source.is_hit());
//! assert_eq!(product.expect("there is one").body(), r#"{"name":"Lamp"}"#);
//! assert!(cache.get_or_load(&key, from_database).await?.1.is_hit());
//!
//! let nothing_more = |keys: Vec<ProductKey>| async move {
//!     assert!(keys.is_empty(), "called only for keys that are not cached");
//!     Ok::<_, Infallible>(Vec::new())
//! };
//! assert_eq!(cache.get_many_or_load(&[ProductKey(7)], nothing_more).await?.len(), 1);
//!
//! let change = cache.invalidation(&[key.clone()]).await?; // just before the commit
//! change.committed().await;
//! assert!(cache.get(&key).await.is_none());
//! cache.delete(&key).await?; // without a transaction; delete_many for several, delete_group for a group
//!
//! cache.reload(&key, from_database).await?; // loads now, whatever is cached
//! assert_eq!(cache.get(&key).await.expect("loaded").value()?.name, "Lamp");
//! # Ok(())
//! # }
//! ```
//!
//! # Two levels
//!
//! ```text
//!   get_or_load ── memory ── hit, while the link is proven ───────────────────────────────> l1
//!        │ one flight per key and process (single flight); other readers join it
//!        ├─ plain reads ── short, current value ──────────────────────────────────────────> l2
//!        └─ acquire.lua ── value ─────────────────────────────────────────────────────────> l2
//!                     ├─── lease granted ── load, renewing it ── fill.lua: if still valid > loaded
//!                     ├─── busy: another process loads ── wait for its message, or poll ── acquire.lua
//!                     ├─── marked: a change is being committed ── load, store nothing ────> bypass
//!                     └─── Redis does not answer ── load, keep it 2 s in memory ──────────> bypass
//!
//!   a change:  invalidation ─ mark ──  COMMIT  ── committed ─ clear ── every process is notified of both
//! ```
//!
//! | Redis key | holds |
//! |---|---|
//! | the key | the entry: version, head, value, gzip of it |
//! | `{group}:*` | generation of a group: a token that its next invalidation removes |
//! | `cl:{key}` | the lease: the fencing token of the process that may fill, for 1 s unless renewed; or that its value is too large for Redis |
//! | `cm:{key}` | marks: commits in progress, by the end of their 10 s on Redis's clock; those cleared in the last 2 min |
//! | `cc:{..}` | canary of a process: if it is gone, Redis was flushed; it shows where the process's heartbeats arrive |
//! | `cc:{none}` | nothing: it is deleted to find out whether Redis takes writes |
//!
//! # Why no stale value stays
//!
//! **In Redis** (lease with fencing token). Every write of a value is a fill. A fill succeeds only while the lease holds
//! its token; a token is drawn for one acquisition and never used again after one without an answer. Every invalidation
//! deletes the lease. So if a fill succeeds, no invalidation came between its acquisition and itself, and the database was
//! read after the acquisition. The clear of a change comes after its commit. A fill after the clear has its acquisition
//! after the clear, so it read the change. A fill before the clear is removed by it. If a lease is lost (it expired, Redis
//! was flushed or restarted), the fill is refused: the safe side.
//!
//! **In groups** (generations). The generation of a group is a token that is drawn when a lease is granted and there is none;
//! an invalidation of the group removes it, and it never comes again. A lease names the generations of its key's groups, and
//! so does the value that is filled under it: a fill succeeds only while they are those of Redis, and a value is served only
//! while they are. Granting and filling compare them in the script that does it, in one step. So do reads of large values;
//! of others value and generations are read by commands of their own, which is as good: since no generation comes again, a
//! value whose generations are those of its groups was current at the earlier of both moments, or when it was filled between
//! them. So if a value is served, none of its groups had been invalidated when it was asked for, and the argument for keys
//! holds for groups. A generation that Redis has lost is as one that was invalidated: the safe side. A group has marks as a key has, and may be in
//! the journal as a key may. That the groups follow from the key is needed here: the generations are read before the
//! database is.
//!
//! **If the writer dies after the commit.** Its mark came before the commit, removed the value, and prevents leases until
//! it expires, after any commit that it may precede. A later acquisition reads the change. For longer outages the caller
//! keeps a list (a transactional outbox) and passes it to [`Cache::replay`].
//!
//! **If Redis forgets** (it returns to an earlier state, there are two masters, a message is lost). All of the above holds
//! while Redis remembers. What it forgets is bounded by the outbox as a journal that every process follows
//! ([`Cache::follow`]): it reads new rows once a second, and before it reads from a Redis to which it has connected again.
//! An entry names what its load includes: all changes up to a number of the journal, and the later ones that Redis had been
//! notified of when it granted the lease (their commits ended before the load began). An entry that lacks a change of its key
//! is not served, and loaded again under the lease. So no value stays old for longer than the journal is unread.
//!
//! **In memory** (coherence by `CLIENT TRACKING` in broadcast mode). Redis reports every write and deletion under the
//! cache's keys; an invalidation writes and deletes even a missing key, so it is always reported. A value that a flight
//! reads is kept only if the flight was listed before it asked and still is, and no message about its key came since. That
//! is checked under the lock of the list, so no message comes between the check and the insertion. So a kept value was
//! read after all earlier messages, and is removed by a later one. A message also removes the flight from the list: later
//! readers do not join it. A message about a group does both for its keys: under the same lock a value that is kept joins its
//! groups, and a message ends the membership of all that have joined before. Heartbeats on the same connection prove twice a second that no message was missed: messages
//! sent before the answer arrive before it, a new connection is not tracking yet, and a flush deletes the canary. Without
//! proof memory stops answering after 2 s; a new connection, a flush or an overflow begins a new epoch, in which older
//! entries do not count.
//!
//! The test `model` walks through all interleavings of two flights, a writer, their deaths, late fills and a reader that
//! comes after the change: 530,473 states. An invalidation in it is that of a key or of a group: to each script a value or a
//! lease of another generation is one that is not there. It shows that without any one of the fence, the mark, the taint, the removal
//! from the list, the lock or the writer's removal from its own memory a stale value stays or is served. The test `world`
//! does so with what goes wrong around the protocol, 3,639,036 states: without the journal, the check of the link or the
//! shape numbers an old value, or one of another release, is served.
//!
//! # In a Redis Cluster
//!
//! Each master is a server of its own, as if it were the only one: with its connections, link, heartbeats, circuit and trust,
//! and a canary in one of its slots. All of the above holds for each of them, and one that is away costs its own keys only.
//! What remains to be shown is that memory listens to the master at which a key is written.
//!
//! **A slot is owned by the node that claims it.** With each heartbeat a link asks its node for the slots that it owns
//! (`CLUSTER NODES`). Memory answers for a key if its slot's owner claimed it in a heartbeat that was sent 2 s ago at most,
//! tracked the cache's keys, and took writes. So no other node took a write before that (but on the other side of a split,
//! which the journal bounds), and memory is 2 s old at most, as with one server. Mostly it is not old at all: messages of the
//! other masters count, too. If two nodes claim a slot, the greater configuration epoch owns it, as in Redis.
//!
//! **A slot that changes its owner begins a new epoch, for its keys only.** A value that was read under an earlier owner, or
//! from a node before it has claimed the slot, does not count. A node that took slots back which another one had in between
//! two heartbeats has a new configuration epoch: all of its slots begin a new one of memory.
//!
//! **A slot that is being moved has no owner.** Its keys may be on either node (`ASK`, `TRYAGAIN`), so they are loaded, and
//! kept for 2 s at most. Invalidations that are refused meanwhile are unconfirmed and retried, as when Redis is away.
//!
//! **A replica that was promoted is a new server.** It may lack what its master had not replicated, so it is not trusted until
//! recent invalidations were repeated to it and the journal was read.
//!
//! Masters come and go with what nodes report of each other; a redirection (`MOVED`) is followed at once. Memory of another
//! slot than those that have moved is left alone, unless the slot of the canary moves: then it is unknown whether the node was
//! flushed meanwhile.
//!
//! # Failures
//!
//! | failure | consequence |
//! |---|---|
//! | the process that loads dies | its lease ends within 1 s, the next process loads |
//! | the caller is cancelled | the load goes on |
//! | the load fails | one error for all waiters and for readers within 250 ms; a stale value if the key allows it |
//! | Redis is down | none for readers; each process loads once in 2 s per key |
//! | a loader asks for its own key | an error at once, also through other loaders and for a key of its batch |
//! | Redis is silent | the first reader waits 50 ms, then the circuit opens, as if Redis were down; it closes with the next heartbeat that is answered, within 2 s of Redis's return |
//! | Redis is slow for some | they wait 250 ms while it answers others; so do readers who know of a load elsewhere |
//! | Redis takes no writes | it is not read until it does and the journal was read |
//! | Redis is full | hits and invalidations work, nothing is stored |
//! | an entry is damaged, or of an older release | one process loads and replaces it |
//! | an entry is of a newer release | it is left alone; this process loads, and keeps the value in its own memory |
//! | Redis comes back, maybe older | the journal is read before it is read; entries that lack a change are loaded again |
//! | the journal cannot be read then | entries are served as stale where their keys allow it and the load fails |
//! | a slot of a cluster moves, or its master fails over | its keys are loaded meanwhile, and begin a new epoch; other keys are not affected |
//! | the link is with another server than the commands | memory does not answer, and all connect again |
//! | the database comes back older | entries of the lost time stay until they expire: delete them |
//!
//! # Threads
//!
//! With Redis the cache has its own thread, `cache`, for connections, leases and the link: ten thousand readers that keep
//! the program's threads busy cannot make it lose a lease or miss a message. Loads run as tasks of the program, on the
//! runtime in which the cache was opened.
//!
//! The crate knows no SQL and no HTTP: a loader is a closure, and a value is bytes to send.

mod acquire;
mod breaker;
mod builder;
mod cache;
mod changes;
mod commit;
mod connection;
mod counters;
mod entry;
mod error;
mod events;
mod flight;
mod follow;
mod fresh;
mod gather;
mod group;
mod health;
mod inspect;
mod invalidate;
mod journal;
mod key;
mod keys;
mod link;
mod load;
mod local;
mod many;
mod members;
mod metric_names;
mod nested;
mod nodes;
mod options;
mod pending;
mod permits;
mod pressure;
mod read;
mod redis;
mod reload;
mod request;
mod retention;
mod runtime;
mod script;
mod servers;
mod settings;
mod slot_table;
mod source;
mod spaces;
mod stats;
mod trust;
mod value;
mod warm;

pub use builder::Builder;
pub use cache::Cache;
pub use changes::JournalEntry;
pub use commit::Invalidation;
pub use entry::{Cached, Coding};
pub use error::{Error, ReadError};
pub use events::{Event, Events, Rejection};
pub use fresh::Fresh;
pub use group::Group;
pub use inspect::{Location, Remaining, ServerStatus, Status};
pub use key::{CacheKey, KeyName, Life};
pub use local::Epoch;
pub use options::ReadOptions;
pub use settings::OptionError;
pub use source::Source;
pub use spaces::{KeyError, SpaceError};
pub use stats::Stats;
pub use trust::Trust;
pub use value::{CacheValue, ValueError};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
