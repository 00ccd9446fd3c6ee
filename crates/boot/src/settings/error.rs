//! Errors of settings.

use std::path::PathBuf;

/// Rejected setting. Its text is for the operator; no variant holds a secret's value.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No setting has this name.
    #[error("{name} ({origin}) is not a setting{}", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// As it was given.
        name: String,
        /// Where it was given.
        origin: String,
        /// A setting with a similar name.
        nearest: Option<String>,
    },
    /// The value does not fit the setting.
    #[error("{name} {problem}")]
    Malformed {
        /// The setting.
        name: &'static str,
        /// What it must be and, unless it is a secret, what it was.
        problem: String,
    },
    /// A secret was given twice in one place.
    #[error("{name} and {name}_FILE are both given ({origin}): keep one of them")]
    GivenTwice {
        /// The setting.
        name: &'static str,
        /// Where.
        origin: String,
    },
    /// A secret was given on the command line, where other users of the machine can read it.
    #[error("{name} is a secret and cannot be given with --set: put it into a file and set {name}_FILE to its path")]
    SecretOnCommandLine {
        /// The setting.
        name: &'static str,
    },
    /// `--set` was given something that is not `NAME=VALUE`.
    #[error("--set takes NAME=VALUE, for example --set LOG_FORMAT=json, not {0:?}")]
    BadFlag(String),
    /// A file cannot be read.
    #[error("{what} {}: {source}", .path.display())]
    File {
        /// Purpose of the file.
        what: String,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file cannot be parsed.
    #[error("{} cannot be read as settings: {reason}", .path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, with the line where known.
        reason: String,
    },
    /// Two settings contradict each other, or `APP_ENV=production` forbids one.
    #[error("{0}")]
    Contradiction(String),
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(|| "; .env.example lists them all".to_owned(), |name| format!("; did you mean {name}?"))
}
