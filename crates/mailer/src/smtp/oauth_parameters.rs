//! Parameters of `SMTP_URL` for the login by access tokens: `auth=xoauth2` and what belongs to it.

use std::{collections::BTreeMap, fs, path::PathBuf};

use oauth2::TokenUrl;
use secrecy::SecretString;
use url::{Host, Url};

use super::{
    oauth::{RefreshToken, TokenOptions, TokenSource},
    tls::{BadTls, connector},
};

/// The parameters.
const NAMES: [&str; 9] = [
    "auth",
    "client_id",
    "client_secret",
    "client_secret_file",
    "refresh_token",
    "refresh_token_file",
    "scope",
    "tenant",
    "token_url",
];

/// Why the parameters are invalid. Contains no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadOAuth {
    /// The value of `auth` is unknown.
    #[error("auth must be password or xoauth2")]
    Auth,
    /// A parameter has no effect.
    #[error("{0} is used with auth=xoauth2 only")]
    Unused(&'static str),
    /// A parameter is missing.
    #[error("auth=xoauth2 needs {0}")]
    Missing(&'static str),
    /// A secret is given twice.
    #[error("{0} and {0}_file are both given: keep one of them")]
    GivenTwice(&'static str),
    /// A file cannot be read, or is empty.
    #[error("{name}={path}: {reason}")]
    File {
        /// The parameter.
        name: &'static str,
        /// Its value.
        path: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// The token server's address is no URL, or would be sent the secret in plaintext.
    #[error("token_url must be an https:// URL (http:// only for a server on this machine)")]
    TokenUrl,
    /// The tenant is no id or domain.
    #[error("tenant must be the directory's id or domain")]
    Tenant,
    /// TLS to the token server cannot be set up.
    #[error(transparent)]
    Tls(#[from] BadTls),
}

/// The parameters that a URL has.
#[derive(Default)]
pub(super) struct OAuthParameters(BTreeMap<&'static str, String>);

impl OAuthParameters {
    /// Takes a parameter; returns whether it is one of these.
    pub(super) fn take(&mut self, name: &str, value: &str) -> bool {
        let known = NAMES.into_iter().find(|known| *known == name);
        known.map(|name| self.0.insert(name, value.to_owned())).is_some()
    }

    /// Returns where the tokens for this server come from; `None` if the login is by password.
    pub(super) fn token_source(self, host: &str) -> Result<Option<TokenSource>, BadOAuth> {
        match self.0.get("auth").map(String::as_str) {
            Some("xoauth2") => Ok(Some(TokenSource::new(self.options(host)?))),
            None | Some("password") => match self.0.into_keys().find(|name| *name != "auth") {
                Some(name) => Err(BadOAuth::Unused(name)),
                None => Ok(None),
            },
            Some(_) => Err(BadOAuth::Auth),
        }
    }

    fn options(&self, host: &str) -> Result<TokenOptions, BadOAuth> {
        let provider = Provider::of(host);
        let client_secret = self.secret("client_secret", "client_secret_file")?;
        let refresh_token = self.secret("refresh_token", "refresh_token_file")?;
        if refresh_token.is_none() {
            match provider {
                Some(Provider::Google) => {
                    return Err(BadOAuth::Missing("refresh_token or refresh_token_file at Google"));
                }
                _ if client_secret.is_none() => {
                    return Err(BadOAuth::Missing(
                        "client_secret or client_secret_file, unless there is a refresh_token",
                    ));
                }
                _ => {}
            }
        }
        let url = self.token_url(provider)?;
        let tls = if url.url().scheme() == "https" { Some(connector(None)?) } else { None };
        let scopes = match (self.0.get("scope").map(String::as_str), provider) {
            (Some(given), _) => given,
            (None, Some(Provider::Microsoft)) if refresh_token.is_some() => {
                "https://outlook.office.com/SMTP.Send offline_access"
            }
            (None, Some(Provider::Microsoft)) => "https://outlook.office365.com/.default",
            (None, _) => "",
        };
        let file = self.0.get("refresh_token_file").map(PathBuf::from);
        Ok(TokenOptions {
            url,
            tls,
            client_id: self.0.get("client_id").cloned().ok_or(BadOAuth::Missing("client_id"))?,
            client_secret,
            refresh_token: refresh_token.map(|token| RefreshToken::new(token, file)),
            scopes: scopes.split_whitespace().map(ToOwned::to_owned).collect(),
        })
    }

    fn token_url(&self, provider: Option<Provider>) -> Result<TokenUrl, BadOAuth> {
        let text = match (self.0.get("token_url"), self.0.get("tenant"), provider) {
            (Some(given), None, _) => given.clone(),
            (Some(_), Some(_), _) | (None, Some(_), None | Some(Provider::Google)) => return Err(BadOAuth::Tenant),
            (None, Some(tenant), Some(Provider::Microsoft)) => {
                let is_name = !tenant.is_empty()
                    && tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
                let is_name = is_name.then_some(tenant).ok_or(BadOAuth::Tenant)?;
                format!("https://login.microsoftonline.com/{is_name}/oauth2/v2.0/token")
            }
            (None, None, Some(Provider::Google)) => "https://oauth2.googleapis.com/token".to_owned(),
            (None, None, Some(Provider::Microsoft)) => return Err(BadOAuth::Missing("tenant, or token_url")),
            (None, None, None) => return Err(BadOAuth::Missing("token_url")),
        };
        let url = Url::parse(&text).ok().filter(is_safe).ok_or(BadOAuth::TokenUrl)?;
        Ok(TokenUrl::from_url(url))
    }

    /// A secret that is given as it is, or in a file.
    fn secret(&self, name: &'static str, in_file: &'static str) -> Result<Option<SecretString>, BadOAuth> {
        match (self.0.get(name), self.0.get(in_file)) {
            (Some(_), Some(_)) => Err(BadOAuth::GivenTwice(name)),
            (Some(given), None) => Ok(Some(SecretString::from(given.as_str()))),
            (None, Some(path)) => {
                let bad = |reason: String| BadOAuth::File { name: in_file, path: path.clone(), reason };
                let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
                let text = text.trim();
                if text.is_empty() { Err(bad("it is empty".to_owned())) } else { Ok(Some(SecretString::from(text))) }
            }
            (None, None) => Ok(None),
        }
    }
}

/// Providers whose token servers are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Provider {
    Microsoft,
    Google,
}

impl Provider {
    fn of(host: &str) -> Option<Self> {
        match host {
            "smtp.office365.com" | "smtp-mail.outlook.com" => Some(Self::Microsoft),
            "smtp.gmail.com" | "smtp-relay.gmail.com" => Some(Self::Google),
            _ => None,
        }
    }
}

/// Returns whether a secret may be sent there.
fn is_safe(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_here)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(host: &str, query: &str) -> Result<TokenOptions, String> {
        let mut parameters = OAuthParameters::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            assert!(parameters.take(&name, &value), "{name}");
        }
        parameters.options(host).map_err(|error| error.to_string())
    }

    #[test]
    fn token_servers_of_microsoft_and_google_are_known() {
        let secret = "client_id=app&client_secret=hunter2";
        let microsoft = options("smtp.office365.com", &format!("{secret}&tenant=school.example")).expect("options");
        assert_eq!(microsoft.url.as_str(), "https://login.microsoftonline.com/school.example/oauth2/v2.0/token");
        assert_eq!(microsoft.scopes, ["https://outlook.office365.com/.default"]);
        assert!(microsoft.refresh_token.is_none() && microsoft.tls.is_some());
        let delegated = format!("{secret}&tenant=t&refresh_token=r");
        let delegated = options("smtp.office365.com", &delegated).expect("options");
        assert_eq!(delegated.scopes, ["https://outlook.office.com/SMTP.Send", "offline_access"]);
        let google = options("smtp.gmail.com", &format!("{secret}&refresh_token=r")).expect("options");
        assert_eq!((google.url.as_str(), google.scopes.len()), ("https://oauth2.googleapis.com/token", 0));
        let own =
            options("mail.example", &format!("{secret}&token_url=http://[::1]:8080/t&scope=a+b")).expect("options");
        assert!(own.tls.is_none() && own.scopes == ["a", "b"]);
    }

    #[test]
    fn invalid_parameters_are_refused_by_name() {
        let empty = tempfile::NamedTempFile::new().expect("a file");
        let empty = format!("client_id=a&token_url=https://t.example&client_secret_file={}", empty.path().display());
        for (host, query, expected) in [
            ("smtp.office365.com", "client_id=a&client_secret=hunter2", "needs tenant, or token_url"),
            ("smtp.office365.com", "client_id=a&client_secret=hunter2&tenant=a/b", "tenant must be"),
            ("smtp.office365.com", "client_secret=hunter2&tenant=a", "needs client_id"),
            ("smtp.office365.com", "client_id=a&tenant=a", "client_secret or client_secret_file"),
            ("smtp.gmail.com", "client_id=a&client_secret=hunter2", "refresh_token or refresh_token_file at Google"),
            ("mail.example", "client_id=a&client_secret=hunter2", "needs token_url"),
            ("mail.example", "client_id=a&client_secret=hunter2&tenant=a", "tenant must be"),
            ("mail.example", "client_id=a&client_secret=hunter2&token_url=http://t.example/", "https://"),
            ("mail.example", "client_id=a&client_secret=hunter2&token_url=t.example", "https://"),
            ("mail.example", "client_secret=hunter2&client_secret_file=/x", "client_secret and client_secret_file"),
            ("mail.example", "client_secret_file=/nowhere/secret", "client_secret_file=/nowhere/secret: "),
            ("mail.example", "refresh_token_file=/nowhere/token", "refresh_token_file=/nowhere/token: "),
            ("mail.example", &empty, "it is empty"),
        ] {
            let refused = options(host, query).err().expect("must be refused");
            assert!(refused.contains(expected) && !refused.contains("hunter2"), "{query}: {refused}");
        }
        let refused = |pairs: &[(&str, &str)]| {
            let mut parameters = OAuthParameters::default();
            for (name, value) in pairs {
                assert!(parameters.take(name, value));
            }
            parameters.token_source("mail.example").err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(refused(&[("auth", "xoauth")]).contains("password or xoauth2"));
        assert!(refused(&[("client_id", "a")]).contains("client_id is used with auth=xoauth2 only"));
        assert_eq!(refused(&[("auth", "password")]), "");
        assert!(!OAuthParameters::default().take("rate", "1"));
    }
}
