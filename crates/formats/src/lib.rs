//! Questions in the formats of other programs.
//!
//! ```text
//!   a file                     questions                     a file
//!   gift::read        --->     Question, with     --->       gift::write
//!   moodle_xml::read           Notes by line                 moodle_xml::write
//! ```
//!
//! Nothing here does I/O: ids are an argument. Whatever a file says that a [`Question`] cannot hold is a [`Note`] with its
//! line; whatever a question has that a format cannot hold stands in the written file as a comment, with its JSON Pointer.
//! Formats are read as Moodle reads them, but where Moodle guesses, a file is refused.
//!
//! [`Question`]: examhall_core::Question

mod answer_key;
mod found;
pub mod gift;
mod html;
pub mod moodle_xml;
mod note;
mod omitted;
mod rich_text;

pub use found::Found;
pub use note::Note;
