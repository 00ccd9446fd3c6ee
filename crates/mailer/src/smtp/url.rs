//! Parser of `SMTP_URL`.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{
    access::Access,
    ehlo_name::EhloName,
    limits::{BadLimit, Limits},
    login::{Credentials, Proof},
    oauth_parameters::{BadOAuth, OAuthParameters},
    tls::{BadTls, connector},
};

/// The destination that one URL names.
pub(super) enum Endpoint {
    Server(Server),
    Folder(PathBuf),
}

/// An SMTP server and how to connect to it.
pub(super) struct Server {
    /// Its name or address; an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    /// The mailer's own name.
    pub(super) ehlo_name: EhloName,
    /// How to log in, if at all.
    pub(super) access: Option<Access>,
    /// What all processes together may do.
    pub(super) limits: Limits,
}

/// Encryption of a connection.
pub(super) enum Security {
    /// Plaintext.
    None,
    /// STARTTLS (RFC 3207); if the server does not offer it, nothing is sent.
    StartTls(TlsConnector),
    /// TLS from the first byte (RFC 8314).
    Implicit(TlsConnector),
}

/// Why `SMTP_URL` is invalid. Contains no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadSmtpUrl {
    /// The scheme is unknown.
    #[error("it must begin with smtp://, smtps:// or file:")]
    Scheme,
    /// The text is not a URL.
    #[error("it is not a URL: {0}")]
    Syntax(#[from] url::ParseError),
    /// The host is missing.
    #[error("it names no host")]
    NoHost,
    /// The value of `tls` is unknown.
    #[error("tls must be required or none")]
    Tls,
    /// The parameter is unknown.
    #[error(
        "{0:?} is not a parameter; there are tls, ca, rate, recipient_rate, domain_rate, connections, preset, auth and those of auth=xoauth2"
    )]
    Parameter(String),
    /// The password would be sent in plaintext.
    #[error("a login needs TLS: remove tls=none, or the user name")]
    LoginWithoutTls,
    /// The parameters of `auth=xoauth2` are invalid.
    #[error(transparent)]
    OAuth(#[from] BadOAuth),
    /// The login by access tokens has a password.
    #[error("auth=xoauth2 uses no password: remove it from the URL")]
    PasswordAndTokens,
    /// The mailbox is missing whose tokens are used.
    #[error("auth=xoauth2 needs the mailbox as user name: smtp://no-reply%40school.example@host")]
    TokensWithoutUser,
    /// TLS cannot be set up.
    #[error(transparent)]
    TlsSetup(#[from] BadTls),
    /// A limit or preset is invalid.
    #[error(transparent)]
    Limit(#[from] BadLimit),
    /// A folder cannot be combined with servers.
    #[error("file: cannot be combined with servers")]
    FolderAmongServers,
}

impl Endpoint {
    /// Parses one URL. `ehlo_name` is the mailer's own name.
    pub(super) fn parse(text: &str, ehlo_name: &EhloName) -> Result<Self, BadSmtpUrl> {
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Self::Folder(PathBuf::from(path.strip_prefix("//").unwrap_or(path))));
        }
        let url = Url::parse(text)?;
        let (default_port, is_implicit) = match url.scheme() {
            "smtp" => (587, false),
            "smtps" => (465, true),
            _ => return Err(BadSmtpUrl::Scheme),
        };
        let host = host(&url)?;
        let (mut wants_tls, mut authority, mut limits, mut preset) = (true, None, Limits::default(), None);
        let mut oauth = OAuthParameters::default();
        for (name, value) in url.query_pairs() {
            match (name.as_ref(), value.as_ref()) {
                ("tls", "required") => {}
                ("tls", "none") if !is_implicit => wants_tls = false,
                ("tls", _) => return Err(BadSmtpUrl::Tls),
                ("ca", file) => authority = Some(PathBuf::from(file)),
                ("preset", name) => preset = Some(name.to_owned()),
                (name, value) if oauth.take(name, value) || limits.take(name, value)? => {}
                (other, _) => return Err(BadSmtpUrl::Parameter(other.to_owned())),
            }
        }
        let access = access(&url, &host, oauth)?;
        if access.is_some() && !wants_tls {
            return Err(BadSmtpUrl::LoginWithoutTls);
        }
        if let Some(preset) = preset {
            limits = limits.or_preset(&preset)?;
        }
        let tls = || connector(authority.as_deref());
        let security = match (wants_tls, is_implicit) {
            (false, _) => Security::None,
            (true, false) => Security::StartTls(tls()?),
            (true, true) => Security::Implicit(tls()?),
        };
        let port = url.port().unwrap_or(default_port);
        let ehlo_name = ehlo_name.clone();
        Ok(Self::Server(Server { host, port, security, ehlo_name, access, limits }))
    }
}

impl Server {
    /// `host:port`.
    pub(super) fn name(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Server {
    /// Name of the account whose limits count: two mailboxes at one server have limits of their own.
    pub(super) fn account(&self) -> String {
        match &self.access {
            Some(Access::Password(Credentials { user, .. }) | Access::Tokens { user, .. }) => {
                format!("{user}@{}", self.name())
            }
            None => self.name(),
        }
    }
}

/// Returns the host; a Unicode name in ASCII, which `url` does only for the web's schemes.
fn host(url: &Url) -> Result<String, BadSmtpUrl> {
    match url.host() {
        Some(Host::Ipv4(address)) => Ok(address.to_string()),
        Some(Host::Ipv6(address)) => Ok(address.to_string()),
        Some(Host::Domain(name)) if !name.is_empty() => {
            let name = percent_decode_str(name).decode_utf8_lossy();
            Ok(Host::parse(&name)?.to_string())
        }
        _ => Err(BadSmtpUrl::NoHost),
    }
}

/// How to log in: by the URL's password, or by access tokens for its user.
fn access(url: &Url, host: &str, oauth: OAuthParameters) -> Result<Option<Access>, BadSmtpUrl> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = decoded(url.username());
    match oauth.token_source(host)? {
        Some(_) if user.is_empty() => Err(BadSmtpUrl::TokensWithoutUser),
        Some(_) if url.password().is_some() => Err(BadSmtpUrl::PasswordAndTokens),
        Some(source) => Ok(Some(Access::Tokens { user, source: Box::new(source) })),
        None if user.is_empty() => Ok(None),
        None => {
            let password = SecretString::from(decoded(url.password().unwrap_or_default()));
            Ok(Some(Access::Password(Credentials { user, proof: Proof::Password(password) })))
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn server(text: &str) -> Server {
        match Endpoint::parse(text, &EhloName::Address) {
            Ok(Endpoint::Server(server)) => server,
            _ => panic!("{text} is a server"),
        }
    }

    fn refused(text: &str) -> String {
        Endpoint::parse(text, &EhloName::Address).err().expect("must be refused").to_string()
    }

    #[test]
    fn each_form_is_parsed() {
        let plain = server("smtp://mail.example.com:25?tls=none");
        assert_eq!((plain.name().as_str(), plain.access.is_none()), ("mail.example.com:25", true));
        assert!(matches!(plain.security, Security::None));
        let submission = server("smtp://user:p%40ss%2B@mail.example.com");
        assert_eq!(submission.port, 587);
        assert!(matches!(submission.security, Security::StartTls(_)));
        let Some(Access::Password(Credentials { user, proof: Proof::Password(password) })) = submission.access else {
            panic!("a login by password")
        };
        assert_eq!((user.as_str(), password.expose_secret()), ("user", "p@ss+"));
        let implicit = server("smtps://mail.example.com");
        assert!(implicit.port == 465 && matches!(implicit.security, Security::Implicit(_)));
        assert_eq!(server("smtps://mail.example.com?rate=14&connections=10").limits.connections, Some(10));
        assert_eq!(server("smtps://mail.example.com?preset=microsoft365").limits.connections, Some(3));
        assert_eq!(server("smtps://a%40b:c@mail.example.com").account(), "a@b@mail.example.com:465");
        for (text, path) in [("file:data/mail", "data/mail"), ("file:/var/mail", "/var/mail"), ("file:///x", "/x")] {
            assert!(matches!(Endpoint::parse(text, &EhloName::Address), Ok(Endpoint::Folder(found)) if found == *path));
        }
    }

    #[test]
    fn host_is_a_name_or_an_address() {
        let host = |text: &str| (server(text).host, server(text).name());
        for scheme in ["smtp", "smtps"] {
            let (host, name) = host(&format!("{scheme}://[2001:db8::1]:25"));
            assert_eq!((host.as_str(), name.as_str()), ("2001:db8::1", "[2001:db8::1]:25"));
        }
        assert_eq!(host("smtp://192.0.2.1").0, "192.0.2.1");
        assert_eq!(host("smtp://Mail.Prüfung.example").0, "mail.xn--prfung-4ya.example");
    }

    #[test]
    fn invalid_url_is_refused_with_a_reason() {
        assert!(refused("http://mail.example.com").contains("smtp://, smtps:// or file:"));
        assert!(refused("mail.example.com").contains("not a URL"));
        assert!(refused("smtp://").contains("no"));
        assert!(refused("smtp://h?tls=maybe").contains("required or none"));
        assert!(refused("smtps://h?tls=none").contains("required or none"));
        assert!(refused("smtp://h?tsl=none").contains("\"tsl\" is not a parameter"));
        assert!(
            refused("smtp://h?rate=0").contains("rate must be")
                && refused("smtp://h?connections=x").contains("connections")
        );
        assert!(refused("smtps://h?ca=/nowhere.pem").contains("ca=/nowhere.pem"));
        assert!(refused("smtp://user:hunter2@h?tls=none").contains("a login needs TLS"));
        let oauth = "auth=xoauth2&client_id=a&client_secret=hunter2&token_url=https://t.example";
        assert!(refused(&format!("smtp://h?{oauth}")).contains("the mailbox as user name"));
        assert!(refused(&format!("smtp://a%40b:hunter2@h?{oauth}")).contains("no password"));
        assert!(refused(&format!("smtp://a%40b@h?tls=none&{oauth}")).contains("needs TLS"));
        let tokens = server(&format!("smtp://a%40b@h?{oauth}")).access;
        assert!(matches!(tokens, Some(Access::Tokens { user, .. }) if user == "a@b"));
    }
}
