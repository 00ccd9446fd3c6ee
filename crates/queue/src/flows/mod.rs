//! Flows: trees of jobs whose parents run after their children.
//!
//! ```text
//!   parent ── waiting-children ──────────────> wait, prioritized, delayed ──> active ...
//!                 │  ^                               ^
//!     depends on  │  └── a child ends: its value or reason is stored with the parent
//!                 v                                  │
//!   children ── wait ... active ── the last one ends ┘
//! ```
//! The jobs of a flow may be in several queues, also under several prefixes; on a cluster all of them share one hash tag.
//! What a failed child means for its parent is a policy of the child ([`ChildFailure`]).

mod get;
mod producer;
mod read;
mod tree;

pub use self::{
    get::FlowNode,
    producer::FlowProducer,
    read::{Dependencies, DependencyCounts},
    tree::{AddedFlow, ChildFailure, FlowJob, JobKey},
};
