//! Staging: a system under test sends all mails to one address (`MAIL_REDIRECT_TO`), or withholds those to recipients that are
//! not allowed (`MAIL_ALLOW`).

use examhall_core::EmailAddress;
use lettre::{Address, message::Mailbox};

/// Where mails may go: by default to everybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Staging {
    redirect_to: Option<Mailbox>,
    allowed: Option<Vec<Allowed>>,
}

/// An entry of `MAIL_ALLOW`, in the form in which addresses are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    /// One mailbox.
    Address(String),
    /// All mailboxes of a domain.
    Domain(String),
    /// All mailboxes of the domains below a domain, which is kept with its dot.
    Subdomains(String),
}

/// Why `MAIL_REDIRECT_TO` and `MAIL_ALLOW` cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadStaging {
    /// An entry of the list names neither a domain nor an address.
    #[error("MAIL_ALLOW: {0:?} is no domain or address; write school.example, *.school.example or ada@school.example")]
    Entry(String),
    /// The list has no entry.
    #[error("MAIL_ALLOW names nobody: list domains or addresses, or do not set it")]
    Empty,
    /// Everything would be withheld.
    #[error(
        "MAIL_ALLOW does not contain MAIL_REDIRECT_TO, so no mail could be sent: add the address, or drop one of them"
    )]
    RedirectNotAllowed,
}

impl Staging {
    /// Parses both settings. `allow` is a list with commas.
    ///
    /// # Errors
    /// Returns an error that names the setting.
    pub(crate) fn new(redirect_to: Option<Mailbox>, allow: Option<&str>) -> Result<Self, BadStaging> {
        let allowed = allow.map(parse).transpose()?;
        let staging = Self { redirect_to, allowed };
        match &staging.redirect_to {
            Some(target) if !staging.allows(&target.email) => Err(BadStaging::RedirectNotAllowed),
            _ => Ok(staging),
        }
    }

    /// The address that gets all mails, if they are redirected.
    pub(crate) fn redirect_to(&self) -> Option<&Mailbox> {
        self.redirect_to.as_ref()
    }

    /// Returns whether mails may be sent to this address.
    pub(crate) fn allows(&self, address: &Address) -> bool {
        let Some(allowed) = &self.allowed else { return true };
        let address = EmailAddress::from_stored(address.to_string()).canonical();
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        allowed.iter().any(|entry| match entry {
            Allowed::Address(allowed) => *allowed == address,
            Allowed::Domain(allowed) => allowed == domain,
            Allowed::Subdomains(allowed) => domain.ends_with(allowed),
        })
    }

    /// What the settings do to mails, without an address; `None` if nothing.
    pub(crate) fn describe(&self) -> Option<String> {
        let allowed = self.allowed.as_ref().map(Vec::len);
        match (&self.redirect_to, allowed) {
            (Some(_), _) => Some("every mail goes to MAIL_REDIRECT_TO and to nobody else".to_owned()),
            (None, Some(1)) => Some("mails go only to the domain or address in MAIL_ALLOW".to_owned()),
            (None, Some(count)) => Some(format!("mails go only to the {count} domains and addresses in MAIL_ALLOW")),
            (None, None) => None,
        }
    }

    /// Warns that mails do not reach everybody: nobody should find that out in production by mails that are missing.
    pub(crate) fn warn(&self) {
        if let Some(effect) = self.describe() {
            tracing::warn!(effect, "STAGING: mails do not reach everybody");
        }
    }
}

fn parse(list: &str) -> Result<Vec<Allowed>, BadStaging> {
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let allowed = entries.map(|entry| entry_of(entry).ok_or_else(|| BadStaging::Entry(entry.to_owned())));
    let allowed = allowed.collect::<Result<Vec<_>, _>>()?;
    if allowed.is_empty() { Err(BadStaging::Empty) } else { Ok(allowed) }
}

fn entry_of(entry: &str) -> Option<Allowed> {
    let domain = |text: &str| EmailAddress::parse(&format!("x@{text}")).ok().map(|found| found.domain().to_owned());
    match entry.rsplit_once('@') {
        None => match entry.strip_prefix("*.") {
            Some(parent) => domain(parent).map(|parent| Allowed::Subdomains(format!(".{parent}"))),
            None => domain(entry).map(Allowed::Domain),
        },
        Some(("", of)) => domain(of).map(Allowed::Domain),
        Some(_) => EmailAddress::parse(entry).ok().map(|address| Allowed::Address(address.canonical())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &str, address: &str) -> bool {
        let staging = Staging::new(None, Some(list)).expect("a list");
        staging.allows(&Address::new_dangerous(
            address.rsplit_once('@').expect("an address").0,
            address.rsplit_once('@').expect("an address").1,
        ))
    }

    #[test]
    fn domains_and_addresses_are_allowed_in_every_spelling() {
        let list = " School.example, @bücher.example ,*.Exams.example,  Ada@Gmail.Example,";
        for allowed in [
            "zoe@school.example",
            "Zoe@SCHOOL.example",
            "a@xn--bcher-kva.example",
            "a@BÜCHER.example",
            "a@b.exams.example",
            "a@c.b.exams.example",
            "ada@gmail.example",
            "ADA@gmail.EXAMPLE",
        ] {
            assert!(allows(list, allowed), "{allowed}");
        }
        for withheld in [
            "a@school.example.org",
            "a@myschool.example",
            "a@sub.school.example",
            "a@exams.example",
            "a@notexams.example",
            "bob@gmail.example",
            "ada+x@gmail.example",
            "school.example@evil.example",
            "\"a@school.example\"@evil.example",
        ] {
            assert!(!allows(list, withheld), "{withheld}");
        }
    }

    #[test]
    fn invalid_list_is_refused_with_the_entry() {
        let refused = |list: &str| Staging::new(None, Some(list)).expect_err("must be refused").to_string();
        for (list, entry) in [
            ("school.example, not a domain", "\"not a domain\""),
            ("*", "\"*\""),
            ("a@@b", "\"a@@b\""),
            ("*.@x", "\"*.@x\""),
            ("192.0.2.1", "\"192.0.2.1\""),
            ("https://school.example", "https://"),
        ] {
            let refused = refused(list);
            assert!(refused.starts_with("MAIL_ALLOW") && refused.contains(entry), "{refused}");
        }
        assert!(refused(" , ").contains("names nobody"));
    }

    #[test]
    fn redirection_must_be_allowed() {
        let redirect_to = || Some("QA <qa@school.example>".parse().expect("a mailbox"));
        assert!(
            Staging::new(redirect_to(), Some("other.example")).is_err_and(|it| it == BadStaging::RedirectNotAllowed)
        );
        let both = Staging::new(redirect_to(), Some("school.example")).expect("settings");
        assert!(both.describe().is_some_and(|effect| effect.contains("MAIL_REDIRECT_TO") && !effect.contains('@')));
        assert_eq!(Staging::default().describe(), None);
    }
}
