//! For tests only: a [`World`] per test, with servers of its own, so that tests run side by side and may break things.
//!
//! ```text
//!   World ── Redis        a real redis-server: own port, own folder; kill, freeze, restart
//!        ├── Database     an SQLite file, or a real PostgreSQL server
//!        ├── SmtpServer   in process: speaks the dialogue, keeps what it accepted, misbehaves on request
//!        ├── TokenServer  in process: issues access tokens for a login by OAuth 2.0
//!        ├── Proxy        before any of them: delays, holds back, cuts
//!        └── Process      `api` or `mailer` as a child: its log, its exit status, signals
//! ```
//!
//! Nothing is skipped where a server is missing: the test fails and says what to install. Nothing sleeps to wait for
//! something: [`eventually`] asks until the answer is there, with a deadline. It must never be a dependency of what is
//! shipped.
#![expect(clippy::panic, clippy::missing_panics_doc, reason = "a panic is how a test fails")]

mod cache_entry;
mod cluster;
mod database;
mod net;
mod pgbouncer;
mod postfix;
mod postgres;
mod process;
mod proxy;
mod redis;
mod sentinel;
mod smtp;
mod token_server;
mod wait;
mod world;

pub use cache_entry::CacheEntry;
pub use cluster::RedisCluster;
pub use database::{Database, DatabaseKind};
pub use net::free_port;
pub use pgbouncer::PgBouncer;
pub use postfix::Postfix;
pub use postgres::Postgres;
pub use process::{Process, alone, binary, example};
pub use proxy::Proxy;
pub use redis::{Redis, RedisOptions, redis_server};
pub use sentinel::Sentinel;
pub use smtp::{Action, Encryption, Phase, Received, SmtpOptions, SmtpServer};
pub use token_server::{TokenAnswer, TokenServer};
pub use wait::eventually;
pub use world::World;
