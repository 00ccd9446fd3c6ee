//! `APP_ENV`: which defaults hold, and what is refused.

use super::{SettingsError, Values};

/// Environment in which the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppEnv {
    /// A developer's machine: convenient defaults.
    Development,
    /// Real users: insecure defaults are refused.
    Production,
}

impl AppEnv {
    pub(super) fn checked(values: &Values) -> Result<Self, SettingsError> {
        match values.text("APP_ENV") {
            "development" => Ok(Self::Development),
            "production" => Ok(Self::Production),
            _ => Err(values.malformed("APP_ENV", "development or production")),
        }
    }
}
