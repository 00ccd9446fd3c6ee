//! Output of a command: its answer on stdout, its errors on stderr.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use examhall_boot::terminal;
use serde_json::Value;

/// The answer of a command: as lines, and as JSON.
pub(super) struct Answer {
    pub(super) lines: Vec<String>,
    pub(super) json: Value,
}

/// Prints one line of the command's answer.
pub(super) fn answer(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{}", terminal::line(line)).context("stdout")
}

/// Prints the command's answer as JSON.
pub(super) fn answer_json(json: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{}", terminal::json(json)).context("stdout")
}

/// Prints an error and returns the exit code.
pub(super) fn fail(code: u8, error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "mailer: {}", terminal::line(&format!("{error:#}"))); // stderr may be closed
    ExitCode::from(code)
}
