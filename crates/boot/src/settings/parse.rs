//! Parses settings, with errors that say what a value must be.

use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

use secrecy::SecretString;
use url::Url;

use super::{AppEnv, SettingsError, Values, known};

impl Values {
    /// Returns the value of a setting with a default.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub(super) fn secret(&self, name: &str) -> SecretString {
        SecretString::from(self.text(name))
    }

    pub(crate) fn address(&self, name: &'static str) -> Result<SocketAddr, SettingsError> {
        self.text(name).parse().map_err(|_| self.malformed(name, "an address and port like 127.0.0.1:8000"))
    }

    pub(super) fn http_url(&self, name: &'static str) -> Result<Url, SettingsError> {
        Url::parse(self.text(name))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .filter(|url| url.query().is_none() && url.fragment().is_none() && !url.path().contains("//"))
            .ok_or_else(|| {
                self.malformed(name, "a URL like https://exams.example.com, without ?, # and // in its path")
            })
    }

    /// An address of the web; in production mail programs and browsers load it by TLS.
    pub(super) fn image_url(&self, name: &'static str, env: AppEnv) -> Result<Url, SettingsError> {
        let (schemes, expected): (&[_], _) = match env {
            AppEnv::Development => (&["http", "https"], "a URL like https://example.com/logo.png"),
            AppEnv::Production => (&["https"], "a URL that begins with https://, as APP_ENV is production"),
        };
        let url = Url::parse(self.text(name)).ok().filter(|url| schemes.contains(&url.scheme()) && url.has_host());
        url.ok_or_else(|| self.malformed(name, expected))
    }

    pub(super) fn switch(&self, name: &'static str, default: bool) -> Result<bool, SettingsError> {
        match self.get(name) {
            None => Ok(default),
            Some("true" | "1" | "yes" | "on") => Ok(true),
            Some("false" | "0" | "no" | "off") => Ok(false),
            Some(_) => Err(self.malformed(name, "true or false")),
        }
    }

    pub(super) fn number(&self, name: &'static str, range: RangeInclusive<u64>) -> Result<u64, SettingsError> {
        self.text(name)
            .parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| self.malformed(name, &format!("a whole number from {} to {}", range.start(), range.end())))
    }

    pub(super) fn millis(&self, name: &'static str, range: RangeInclusive<u64>) -> Result<Duration, SettingsError> {
        self.number(name, range).map(Duration::from_millis)
    }

    /// Parses comma-separated items; an empty value has none.
    pub(super) fn list<T>(
        &self,
        name: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, SettingsError> {
        let items = self.text(name).split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| parse(item).ok_or_else(|| self.malformed(name, expected))).collect()
    }

    /// Returns an error that says what the value must be and, unless it is a secret, what it is.
    pub(super) fn malformed(&self, name: &'static str, expected: &str) -> SettingsError {
        let shown = self.get(name).filter(|_| known::find(name).is_some_and(|setting| !setting.secret));
        let problem = match shown {
            Some(given) => format!("must be {expected}, not {given:?}"),
            None => format!("must be {expected}"),
        };
        SettingsError::Malformed { name, problem }
    }
}
