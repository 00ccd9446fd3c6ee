//! Login (RFC 4954): by password with the mechanisms PLAIN (RFC 4616) and LOGIN, which every server offers that offers any,
//! or by an access token with XOAUTH2, as Google and Microsoft define it.

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString};

/// Characters of a server's challenge that are shown.
const SHOWN: usize = 200;

/// User name and what proves it.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) proof: Proof,
}

/// What proves who the user is.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    Password(SecretString),
    /// An access token of OAuth 2.0.
    Token(SecretString),
}

/// A mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    Login,
    XOauth2,
}

impl Proof {
    /// Mechanisms in order of preference.
    pub(super) fn mechanisms(&self) -> &'static [Mechanism] {
        match self {
            Self::Password(_) => &[Mechanism::Plain, Mechanism::Login],
            Self::Token(_) => &[Mechanism::XOauth2],
        }
    }

    /// What a server lacks that offers none of the mechanisms.
    pub(super) fn missing(&self) -> &'static str {
        match self {
            Self::Password(_) => "AUTH PLAIN or LOGIN",
            Self::Token(_) => "AUTH XOAUTH2",
        }
    }

    fn expose(&self) -> &str {
        match self {
            Self::Password(secret) | Self::Token(secret) => secret.expose_secret(),
        }
    }
}

impl Credentials {
    /// A server's text without the user name and the secret, should it repeat them.
    pub(super) fn hide(&self, text: &str) -> String {
        let hidden = [(self.proof.expose(), "(secret)"), (self.user.as_str(), "(user)")];
        hidden
            .into_iter()
            .filter(|(word, _)| word.len() > 2)
            .fold(text.to_owned(), |text, (word, shown)| text.replace(word, shown))
    }
}

impl Mechanism {
    /// Its name in SMTP.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::XOauth2 => "XOAUTH2",
        }
    }

    /// Returns the command that begins the login, without its line end.
    pub(super) fn command(self, credentials: &Credentials) -> String {
        match self {
            Self::Plain => format!("AUTH PLAIN {}", plain(credentials)),
            Self::Login => "AUTH LOGIN".to_owned(),
            Self::XOauth2 => format!("AUTH XOAUTH2 {}", xoauth2(credentials)),
        }
    }

    /// Returns the answer to the `n`th challenge, from 0; `None` if there should be no further one.
    ///
    /// The texts of LOGIN's challenges are not standardized: the first asks for the user name, whatever it says. A server
    /// that ignores the initial response of the others asks for it with an empty challenge. Any other challenge of XOAUTH2
    /// says why the token is refused; after an empty answer the server refuses the login.
    pub(super) fn answer(self, credentials: &Credentials, n: usize, challenge: &str) -> Option<String> {
        match (self, n) {
            (Self::Plain, 0) => Some(plain(credentials)),
            (Self::Login, 0) => Some(BASE64_STANDARD.encode(&credentials.user)),
            (Self::Login, 1) => Some(BASE64_STANDARD.encode(credentials.proof.expose())),
            (Self::XOauth2, 0) if challenge.trim().is_empty() => Some(xoauth2(credentials)),
            (Self::XOauth2, 0 | 1) => Some(String::new()),
            _ => None,
        }
    }

    /// What a challenge says about the refusal that follows: XOAUTH2's is JSON in base64.
    pub(super) fn reason(self, challenge: &str) -> Option<String> {
        let json = BASE64_STANDARD.decode(challenge.trim()).ok().filter(|_| self == Self::XOauth2)?;
        let text = String::from_utf8(json).ok().filter(|text| !text.trim().is_empty())?;
        Some(text.chars().filter(|c| !c.is_control()).take(SHOWN).collect())
    }
}

fn plain(credentials: &Credentials) -> String {
    BASE64_STANDARD.encode(format!("\0{}\0{}", credentials.user, credentials.proof.expose()))
}

fn xoauth2(credentials: &Credentials) -> String {
    BASE64_STANDARD.encode(format!("user={}\x01auth=Bearer {}\x01\x01", credentials.user, credentials.proof.expose()))
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
        let credentials = Credentials { user: "zoë".to_owned(), proof: Proof::Password(SecretString::from("a b")) };
        let [plain, login] = credentials.proof.mechanisms() else { panic!("two mechanisms") };
        let response = BASE64_STANDARD.encode("\0zoë\0a b");
        assert_eq!(plain.command(&credentials), format!("AUTH PLAIN {response}"));
        assert_eq!(plain.answer(&credentials, 0, "x"), Some(response));
        assert_eq!(plain.answer(&credentials, 1, "x"), None);
        assert_eq!(login.command(&credentials), "AUTH LOGIN");
        let answers: Vec<_> = (0..3).map(|n| login.answer(&credentials, n, "x")).collect();
        assert_eq!(answers, [Some(BASE64_STANDARD.encode("zoë")), Some(BASE64_STANDARD.encode("a b")), None]);
        assert!(!format!("{credentials:?}").contains("a b"));
    }

    #[test]
    fn token_is_sent_and_its_refusal_is_acknowledged() {
        let proof = Proof::Token(SecretString::from("vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg=="));
        let credentials = Credentials { user: "someuser@example.com".to_owned(), proof };
        let [xoauth2] = credentials.proof.mechanisms() else { panic!("one mechanism") };
        // Google's own example: developers.google.com/workspace/gmail/imap/xoauth2-protocol.
        let response = "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB2RjlkZnQ0cW1UYzJOdmIzUmxja0JoZEhSaGRtbHpkR0V1WTI5dENnPT0BAQ==";
        assert_eq!(xoauth2.command(&credentials), format!("AUTH XOAUTH2 {response}"));
        assert_eq!(xoauth2.answer(&credentials, 0, "").as_deref(), Some(response), "the initial response was ignored");
        let challenge = BASE64_STANDARD.encode(r#"{"status":"401","schemes":"bearer"}"#);
        assert_eq!(xoauth2.answer(&credentials, 0, &challenge).as_deref(), Some(""));
        assert_eq!(xoauth2.answer(&credentials, 1, &challenge).as_deref(), Some(""));
        assert_eq!(xoauth2.answer(&credentials, 2, &challenge), None);
        assert_eq!(xoauth2.reason(&challenge).as_deref(), Some(r#"{"status":"401","schemes":"bearer"}"#));
        assert_eq!(
            (xoauth2.reason(""), xoauth2.reason("no base64"), Mechanism::Plain.reason(&challenge)),
            (None, None, None)
        );
        let hidden =
            credentials.hide("5.7.8 someuser@example.com with vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg== fails");
        assert_eq!(hidden, "5.7.8 (user) with (secret) fails");
    }

    #[test]
    fn refused_mechanism_is_not_a_refused_login() {
        assert!(refuses_mechanism(504) && refuses_mechanism(500));
        assert!(!refuses_mechanism(535) && !refuses_mechanism(534) && !refuses_mechanism(454));
    }
}
