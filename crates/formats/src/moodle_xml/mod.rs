//! Moodle XML.

mod answers;
mod read;
mod tree;
mod write;

pub use read::read;
pub use write::write;
