//! Settings: where they come from, what they may be, and what is refused.
//!
//! Sources, later wins: built-in defaults, `--config FILE` (TOML), `.env` in the working folder, the environment,
//! `--set NAME=VALUE`. A secret `X` can be given as `X_FILE`, the path of a file that holds it. Everything that is
//! unknown, malformed or contradictory is refused with a sentence that names the setting and never shows a secret.

mod auth_secret;
mod dotenv;
mod error;
mod example;
mod known;
mod parse;
mod source;
mod typed;

pub use error::SettingsError;
pub use example::env_example;
pub use source::{SettingsArgs, Values};
pub use typed::{ApiSettings, AppEnv, DkimSettings, LogFormat, LogSettings, MailerSettings, QueueSettings};
