//! Start, monitoring and shutdown of both Examhall binaries.
//!
//! ```text
//!   start    command line -> settings -> logs -> traces -> TLS -> tokio: the same steps for both
//!   check    what an operator tries first: names, ports, clocks, disks; each binary adds its own checks
//!   live     the health check of a container
//!   run      health: last answer of each dependency   ops: /healthz /readyz /metrics on a separate port
//!            liveness: heartbeats of the loops       supervisor: notifies systemd of start, stop, liveness
//!   stop     shutdown: one token, cancelled by SIGTERM or SIGINT
//!   traces   one from a request to every attempt at its mail, if a collector is set
//! ```
//!
//! The crate knows no exam, mail, SQL or Redis: here a dependency is a name and whether it answers.

pub mod check;
pub mod exit;
pub mod health;
pub mod live;
pub mod liveness;
pub mod logging;
pub mod metrics;
pub mod ops;
pub mod settings;
pub mod shutdown;
pub mod start;
pub mod supervisor;
pub mod terminal;
pub mod traces;
