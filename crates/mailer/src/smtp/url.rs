//! `SMTP_URL`.

use std::{path::PathBuf, time::Duration};

use examhall_delivery::Rate;
use lettre::transport::smtp::authentication::Credentials;
use percent_encoding::percent_decode_str;
use tokio_rustls::TlsConnector;
use url::Url;

use super::tls::{BadTls, connector};

/// Where mails go, by one URL.
pub(super) enum Endpoint {
    Server(Server),
    Folder(PathBuf),
}

/// An SMTP server and how it is talked to.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) credentials: Option<Credentials>,
    /// Most mails, over all processes.
    pub(super) rate: Option<Rate>,
    /// Most connections, over all processes.
    pub(super) connections: Option<u32>,
}

/// How a connection is kept from being read by others.
pub(super) enum Security {
    /// Not at all.
    None,
    /// By STARTTLS (RFC 3207), without which nothing is sent.
    StartTls(TlsConnector),
    /// From the first byte on (RFC 8314).
    Implicit(TlsConnector),
}

/// Why `SMTP_URL` is refused. Shows no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadSmtpUrl {
    /// It begins with none of the known words.
    #[error("it must begin with smtp://, smtps:// or file:")]
    Scheme,
    /// It is no URL.
    #[error("it is no URL: {0}")]
    Syntax(#[from] url::ParseError),
    /// It names no server.
    #[error("it names no host")]
    NoHost,
    /// It has a `tls` that is not known.
    #[error("tls must be required or none")]
    Tls,
    /// It has a parameter that is not known.
    #[error("{0:?} is not a parameter; there are tls, ca, rate and connections")]
    Parameter(String),
    /// A password would be sent for everybody to read.
    #[error("a password needs TLS: take tls=none away, or the user name")]
    PasswordWithoutTls,
    /// TLS cannot be set up.
    #[error(transparent)]
    TlsSetup(#[from] BadTls),
    /// A limit is no number, or too small.
    #[error("{0} must be a whole number from 1 to 10000")]
    Limit(&'static str),
    /// A folder takes everything: nothing after or before it makes sense.
    #[error("file: cannot stand in a list with servers")]
    FolderAmongServers,
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Result<Self, BadSmtpUrl> {
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Self::Folder(PathBuf::from(path.strip_prefix("//").unwrap_or(path))));
        }
        let url = Url::parse(text)?;
        let (default_port, is_implicit) = match url.scheme() {
            "smtp" => (587, false),
            "smtps" => (465, true),
            _ => return Err(BadSmtpUrl::Scheme),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(BadSmtpUrl::NoHost)?.to_owned();
        let (mut wants_tls, mut authority, mut rate, mut connections) = (true, None, None, None);
        for (name, value) in url.query_pairs() {
            match (name.as_ref(), value.as_ref()) {
                ("tls", "required") => {}
                ("tls", "none") if !is_implicit => wants_tls = false,
                ("tls", _) => return Err(BadSmtpUrl::Tls),
                ("ca", file) => authority = Some(PathBuf::from(file)),
                ("rate", count) => rate = Some(per_second(limit("rate", count)?)),
                ("connections", count) => connections = Some(limit("connections", count)?),
                (other, _) => return Err(BadSmtpUrl::Parameter(other.to_owned())),
            }
        }
        let credentials = credentials(&url);
        if credentials.is_some() && !wants_tls {
            return Err(BadSmtpUrl::PasswordWithoutTls);
        }
        let tls = || connector(authority.as_deref());
        let security = match (wants_tls, is_implicit) {
            (false, _) => Security::None,
            (true, false) => Security::StartTls(tls()?),
            (true, true) => Security::Implicit(tls()?),
        };
        let port = url.port().unwrap_or(default_port);
        Ok(Self::Server(Server { host, port, security, credentials, rate, connections }))
    }
}

impl Server {
    /// `host:port`, for people.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

fn limit(name: &'static str, text: &str) -> Result<u32, BadSmtpUrl> {
    text.parse().ok().filter(|count| (1..=10_000).contains(count)).ok_or(BadSmtpUrl::Limit(name))
}

/// One by one, since all at once and then as many again were twice as many in the first second. Two, so that whoever wakes
/// up late loses no turn: that is one too many in a second at most.
fn per_second(count: u32) -> Rate {
    Rate { burst: count.min(2), interval: Duration::from_secs(1) / count }
}

fn credentials(url: &Url) -> Option<Credentials> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let password = decoded(url.password().unwrap_or_default());
    (!url.username().is_empty()).then(|| Credentials::new(decoded(url.username()), password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Server {
        match Endpoint::parse(text) {
            Ok(Endpoint::Server(server)) => server,
            _ => panic!("{text} is a server"),
        }
    }

    fn refused(text: &str) -> String {
        Endpoint::parse(text).err().expect("must be refused").to_string()
    }

    #[test]
    fn each_form_is_understood() {
        let plain = server("smtp://mail.example.com:25?tls=none");
        assert_eq!((plain.name().as_str(), plain.credentials.is_none()), ("mail.example.com:25", true));
        assert!(matches!(plain.security, Security::None));
        let submission = server("smtp://user:p%40ss%2B@mail.example.com");
        assert_eq!(submission.port, 587);
        assert!(matches!(submission.security, Security::StartTls(_)));
        assert_eq!(submission.credentials, Some(Credentials::new("user".into(), "p@ss+".into())));
        let implicit = server("smtps://mail.example.com");
        assert!(implicit.port == 465 && matches!(implicit.security, Security::Implicit(_)));
        let limited = server("smtps://mail.example.com?rate=14&connections=10");
        assert_eq!((limited.rate, limited.connections), (Some(per_second(14)), Some(10)));
        for (text, path) in [("file:data/mail", "data/mail"), ("file:/var/mail", "/var/mail"), ("file:///x", "/x")] {
            assert!(matches!(Endpoint::parse(text), Ok(Endpoint::Folder(found)) if found == *path));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        assert!(refused("http://mail.example.com").contains("smtp://, smtps:// or file:"));
        assert!(refused("mail.example.com").contains("no URL"));
        assert!(refused("smtp://").contains("no"));
        assert!(refused("smtp://h?tls=maybe").contains("required or none"));
        assert!(refused("smtps://h?tls=none").contains("required or none"));
        assert!(refused("smtp://h?tsl=none").contains("\"tsl\" is not a parameter"));
        assert!(
            refused("smtp://h?rate=0").contains("rate must be")
                && refused("smtp://h?connections=x").contains("connections")
        );
        assert!(refused("smtps://h?ca=/nowhere.pem").contains("ca=/nowhere.pem"));
        assert!(refused("smtp://user:hunter2@h?tls=none").contains("a password needs TLS"));
    }
}
