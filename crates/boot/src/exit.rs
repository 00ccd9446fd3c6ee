//! Exit codes for scripts (BSD's `sysexits.h`), and command lines.

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};

/// The command line is invalid.
pub const USAGE: u8 = 64;
/// A required service refuses or is down.
pub const UNAVAILABLE: u8 = 69;
/// Stopped early, with work left: retry.
pub const TEMPFAIL: u8 = 75;
/// The settings are rejected.
pub const CONFIG: u8 = 78;

/// Parses the command line.
///
/// # Errors
/// Returns the exit code after help, version or the error has been printed: 0 for the first two, else [`USAGE`].
pub fn parse_args<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        let _ = error.print(); // the terminal is gone
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
            _ => ExitCode::from(USAGE),
        }
    })
}
