//! The mails there are, on their way through the outbox.

use std::time::Duration;

use examhall_core::{EmailAddress, EmailJob, MailClass, Priority, Timestamp};
use examhall_store::{NewMail, WaitingMail};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::{seal::Seal, templates};
use crate::auth::SecretToken;

/// How long the link of a verification mail works.
pub(crate) const VERIFICATION_LIFE: Duration = Duration::from_hours(24);

/// A mail by what it is to say.
pub(crate) enum Letter {
    /// "Is this address yours?"
    Verification { name: String, token: SecretToken },
    /// "Somebody signed up with your address, which has an account."
    AlreadyRegistered { name: String },
}

/// Puts letters into outbox rows, and makes e-mail jobs of such rows.
pub(crate) struct Mailroom {
    seal: Seal,
    public_url: Url,
}

#[derive(Serialize, Deserialize)]
struct Params {
    name: String,
}

/// Why a row of the outbox cannot be made into a mail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotCompose {
    #[error("there is no template {0:?}")]
    NoSuchTemplate(String),
    #[error("its parameters cannot be read: {0}")]
    Params(#[from] serde_json::Error),
    #[error(transparent)]
    Sealed(#[from] super::seal::CannotOpen),
    #[error("its template cannot be rendered: {0}")]
    Template(#[from] askama::Error),
}

impl Mailroom {
    /// Seals with `secret`; links begin with `public_url`.
    pub(crate) fn new(secret: &SecretString, public_url: Url) -> Self {
        Self { seal: Seal::new(secret), public_url }
    }

    /// The outbox row of a letter.
    pub(crate) fn envelope(&self, to: EmailAddress, letter: &Letter, now: Timestamp) -> NewMail {
        let id = Uuid::now_v7();
        let (template, name, secret, expires_at) = match letter {
            Letter::Verification { name, token } => {
                ("verification", name, Some(token.as_str()), Some(now.plus(VERIFICATION_LIFE)))
            }
            Letter::AlreadyRegistered { name } => ("already-registered", name, None, None),
        };
        NewMail {
            id,
            class: MailClass::Verification,
            template: template.to_owned(),
            to,
            params: json!(Params { name: name.clone() }),
            sealed: secret.map(|secret| self.seal.close(id, secret)).unwrap_or_default(),
            priority: Priority::HIGHEST,
            expires_at,
        }
    }

    /// The job of an outbox row: the same bytes, however often it is made.
    pub(crate) fn compose(&self, waiting: &WaitingMail) -> Result<EmailJob, CannotCompose> {
        let mail = &waiting.mail;
        let Params { name } = serde_json::from_value(mail.params.clone())?;
        let texts = match mail.template.as_str() {
            "verification" => {
                let token = self.seal.open(mail.id, &mail.sealed)?;
                templates::verification::render(&name, &self.link("verify", &token))?
            }
            "already-registered" => templates::already_registered::render(&name, self.public_url.as_str())?,
            other => return Err(CannotCompose::NoSuchTemplate(other.to_owned())),
        };
        Ok(EmailJob {
            to: mail.to.as_str().into(),
            subject: texts.subject,
            html: texts.html,
            text: Some(texts.text),
            expires_at: mail.expires_at,
            class: mail.class,
            ..EmailJob::default()
        })
    }

    /// `PUBLIC_URL/page?token=...`
    fn link(&self, page: &str, token: &str) -> String {
        let mut link = self.public_url.clone();
        link.set_path(&format!("{}/{page}", link.path().trim_end_matches('/')));
        link.query_pairs_mut().clear().append_pair("token", token);
        link.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailroom(public_url: &str) -> Mailroom {
        Mailroom::new(&"s".repeat(32).into(), public_url.parse().expect("a URL"))
    }

    fn waiting(mailroom: &Mailroom, letter: &Letter) -> WaitingMail {
        let created_at = Timestamp::from_millis(0);
        let to = EmailAddress::parse("ada@example.com").expect("an address");
        WaitingMail { mail: mailroom.envelope(to, letter, created_at), created_at }
    }

    fn verification(name: &str) -> Letter {
        let token = SecretToken::from_text("planted-token".into());
        Letter::Verification { name: name.into(), token }
    }

    #[test]
    fn a_row_holds_the_token_sealed_only() {
        let row = waiting(&mailroom("http://localhost:8000"), &verification("Ada"));
        assert!(!format!("{row:?}").contains("planted"));
        assert!(!row.mail.sealed.windows(7).any(|bytes| bytes == b"planted"));
    }

    #[test]
    fn composing_twice_gives_the_same_mail() {
        let mailroom = mailroom("http://localhost:8000");
        let row = waiting(&mailroom, &verification("Ada"));
        assert_eq!(mailroom.compose(&row).expect("composed"), mailroom.compose(&row).expect("composed"));
    }

    #[test]
    fn the_link_stands_under_the_public_url() {
        for (public, link) in [
            ("http://localhost:8000", "http://localhost:8000/verify?token=planted-token"),
            ("https://exams.example.com/hall/", "https://exams.example.com/hall/verify?token=planted-token"),
        ] {
            let mailroom = mailroom(public);
            let job = mailroom.compose(&waiting(&mailroom, &verification("Ada"))).expect("composed");
            assert!(job.html.contains(link) && job.text.is_some_and(|text| text.contains(link)), "{link}");
        }
    }

    #[test]
    fn a_name_cannot_write_html() {
        let mailroom = mailroom("http://localhost:8000");
        let job = mailroom.compose(&waiting(&mailroom, &verification("<b>Ada</b> & co"))).expect("composed");
        assert!(!job.html.contains("<b>Ada"), "{}", job.html);
    }

    #[test]
    fn a_row_that_cannot_be_composed_says_why() {
        let mailroom = mailroom("http://localhost:8000");
        let mut row = waiting(&mailroom, &verification("Ada"));
        row.mail.template = "gone".into();
        assert!(matches!(mailroom.compose(&row), Err(CannotCompose::NoSuchTemplate(_))));
        let other = Mailroom::new(&"o".repeat(32).into(), "http://localhost".parse().expect("a URL"));
        let row = waiting(&mailroom, &verification("Ada"));
        assert!(matches!(other.compose(&row), Err(CannotCompose::Sealed(_))));
    }

    #[test]
    fn what_the_mails_say() {
        let mailroom = mailroom("https://exams.example.com");
        for (name, letter) in [
            ("verification", verification("Ada")),
            ("already-registered", Letter::AlreadyRegistered { name: "Ada".into() }),
        ] {
            let job = mailroom.compose(&waiting(&mailroom, &letter)).expect("composed");
            let text = job.text.unwrap_or_default();
            insta::assert_snapshot!(name, format!("Subject: {}\n\n{text}\n-----\n{}", job.subject, job.html));
        }
    }
}
