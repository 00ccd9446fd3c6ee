//! The `mailer` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    match examhall_boot::exit::parse_args() {
        Ok(args) => examhall_mailer::cli::run(&args),
        Err(code) => code,
    }
}
