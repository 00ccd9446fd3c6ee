//! Settings: their sources, types and validation.
//!
//! Sources; a later one wins: built-in defaults, `--config FILE` (TOML), `.env` in the working folder, the environment,
//! `--set NAME=VALUE`. A secret `X` can be given as `X_FILE`, the path of a file that holds it. Unknown,
//! malformed or contradictory settings are rejected with an error that names the setting and never shows a secret.

mod app_env;
mod auth_secret;
mod brand;
mod dotenv;
mod error;
mod example;
mod hooks;
mod known;
mod parse;
mod source;
mod typed;

pub use app_env::{AppEnv, Purpose};
pub use auth_secret::AuthSecrets;
pub use brand::BrandSettings;
pub use error::SettingsError;
pub use example::env_example;
pub use hooks::{HookSettings, SecretKey, SuppressionSettings};
pub use source::{SettingsArgs, Values};
pub use typed::{ApiSettings, DkimSettings, LogFormat, LogSettings, MailerSettings, QueueSettings};
