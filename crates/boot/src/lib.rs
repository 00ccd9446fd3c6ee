//! What both Examhall binaries need to start, to be watched and to stop.
//!
//! ```text
//!   start    command line -> settings -> logging -> metrics
//!   check    what an operator tries first: names, ports, clocks, disks; each binary adds its own rows
//!   run      health: what each dependency last said   ops: /healthz /readyz /metrics on a port of their own
//!            liveness: do the loops turn?            supervisor: systemd hears of start, stop and liveness
//!   stop     shutdown: one token, cancelled by SIGTERM or SIGINT
//!   traces   one from a request to every attempt at the mail it caused, where a collector is named
//! ```
//!
//! It must never know an exam, a mail, SQL or Redis: a dependency is a name here, and whether it answers.

pub mod check;
pub mod exit;
pub mod health;
pub mod liveness;
pub mod logging;
pub mod metrics;
pub mod ops;
pub mod settings;
pub mod shutdown;
pub mod supervisor;
pub mod terminal;
pub mod traces;
