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

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

/// What settings are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run the program: everything must be there.
    Run,
    /// To check its dependencies, which changes nothing: what is not given is not made, and reported.
    Check,
}
