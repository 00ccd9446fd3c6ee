//! Tests of the public API.

mod health;
mod ops;
mod settings;
