//! Exit codes (BSD's `sysexits.h`), so that a script can tell what happened, and the reading of command lines.

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};

/// Bad usage: the command line cannot be understood.
pub const USAGE: u8 = 64;
/// A service that is needed refuses or is down.
pub const UNAVAILABLE: u8 = 69;
/// Stopped early, with work left: try again.
pub const TEMPFAIL: u8 = 75;
/// Settings are refused.
pub const CONFIG: u8 = 78;

/// Reads the command line.
///
/// # Errors
/// The exit code, once help, version or the mistake has been printed: 0 for the first two, else [`USAGE`].
pub fn parse_args<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        let _ = error.print(); // nobody is left to tell where the terminal is gone
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
            _ => ExitCode::from(USAGE),
        }
    })
}
