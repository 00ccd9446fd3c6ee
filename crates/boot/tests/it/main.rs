//! Tests of the crate's public face.

mod health;
mod ops;
mod settings;
