//! Our producer and worker with those of Node.js on one queue: scenarios A1 to A30, each against BullMQ 5 and 6.
//!
//! ```text
//!   Scenario ── Redis      a redis-server of its own
//!        ├── Node       BullMQ and Bull Board in a child process, driven over stdin and stdout (`node/`)
//!        ├── Queue      our producer
//!        └── Ours       our worker
//! ```
//! A scenario ends with a check of every key of its queue.
#![expect(clippy::incompatible_msrv, reason = "tests are built with the Rust of the workspace, not with the oldest")]

mod board;
mod dedup;
mod events;
mod fleet;
mod flow_changes;
mod flows;
mod layout;
mod limits;
mod lock;
mod manual;
mod node;
mod ours;
mod pause;
mod poison;
mod process;
mod producer;
mod retry;
mod runs;
mod scenario;
mod schedulers;
mod snapshot;
mod stalled;
mod twins;
mod verbs;
mod worker;

use scenario::Scenario;

/// Number of rounds of each scenario, all of which must pass.
fn rounds() -> u32 {
    if std::env::var_os("EXAMHALL_LONG").is_some() { 5 } else { 1 }
}

async fn run(version: u8, test: impl AsyncFn(&Scenario)) {
    for _ in 0..rounds() {
        let scenario = Scenario::start(version).await;
        test(&scenario).await;
        scenario.check().await;
    }
}

/// Defines for each scenario a test with BullMQ 5 and one with BullMQ 6.
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn with_bullmq_5() {
                crate::run(5, super::$name).await;
            }

            #[tokio::test]
            async fn with_bullmq_6() {
                crate::run(6, super::$name).await;
            }
        }
    )*};
}
use scenarios;
