//! Files as people and Moodle write them, and files of ours that are read again.

mod gift;
mod moodle_xml;
mod questions;
