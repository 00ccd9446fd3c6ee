//! Login (RFC 4954) by the mechanisms PLAIN (RFC 4616) and LOGIN, which every server offers that offers any.

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString};

/// User name and password.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: SecretString,
}

/// A mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    Login,
}

impl Mechanism {
    /// In order of preference.
    pub(super) const ALL: [Self; 2] = [Self::Plain, Self::Login];

    /// Its name in SMTP.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// Returns the command that begins the login, without its line end.
    pub(super) fn command(self, credentials: &Credentials) -> String {
        match self {
            Self::Plain => format!("AUTH PLAIN {}", plain(credentials)),
            Self::Login => "AUTH LOGIN".to_owned(),
        }
    }

    /// Returns the answer to the `n`th challenge, from 0; `None` if there should be no further one.
    ///
    /// The texts of LOGIN's challenges are not standardized: the first asks for the user name, whatever it says. A server
    /// that ignores PLAIN's initial response asks for it.
    pub(super) fn answer(self, credentials: &Credentials, n: usize) -> Option<String> {
        match (self, n) {
            (Self::Plain, 0) => Some(plain(credentials)),
            (Self::Login, 0) => Some(BASE64_STANDARD.encode(&credentials.user)),
            (Self::Login, 1) => Some(BASE64_STANDARD.encode(credentials.password.expose_secret())),
            _ => None,
        }
    }
}

fn plain(credentials: &Credentials) -> String {
    BASE64_STANDARD.encode(format!("\0{}\0{}", credentials.user, credentials.password.expose_secret()))
}

/// Returns whether the mechanism was refused and not the login: another one may be accepted (RFC 4954, section 4).
pub(super) fn refuses_mechanism(code: u16) -> bool {
    matches!(code, 500..=504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_answered_in_order_whatever_they_say() {
        let credentials = Credentials { user: "zoë".to_owned(), password: SecretString::from("a b") };
        let [plain, login] = Mechanism::ALL;
        let response = BASE64_STANDARD.encode("\0zoë\0a b");
        assert_eq!(plain.command(&credentials), format!("AUTH PLAIN {response}"));
        assert_eq!((plain.answer(&credentials, 0), plain.answer(&credentials, 1)), (Some(response), None));
        assert_eq!(login.command(&credentials), "AUTH LOGIN");
        let answers: Vec<_> = (0..3).map(|n| login.answer(&credentials, n)).collect();
        assert_eq!(answers, [Some(BASE64_STANDARD.encode("zoë")), Some(BASE64_STANDARD.encode("a b")), None]);
        assert!(!format!("{credentials:?}").contains("a b"));
    }

    #[test]
    fn refused_mechanism_is_not_a_refused_login() {
        assert!(refuses_mechanism(504) && refuses_mechanism(500));
        assert!(!refuses_mechanism(535) && !refuses_mechanism(534) && !refuses_mechanism(454));
    }
}
