//! GIFT, Moodle's text format.

mod answers;
mod blocks;
mod numbers;
mod read;
mod tokens;
mod write;

pub use read::read;
pub use write::write;
