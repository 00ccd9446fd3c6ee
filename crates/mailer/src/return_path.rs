//! The envelope's sender, which bounces come back to, and which may name the mail (VERP: variable envelope return path).

use anyhow::{Context, bail};
use examhall_core::EmailAddress;
use examhall_delivery::JobName;
use lettre::Address;
use ring::digest::{SHA256, digest};

/// `MAIL_RETURN_PATH`: the envelope's sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReturnPath {
    /// Local part before the `*`; the whole of it if there is none.
    before: String,
    /// Local part behind the `*`, which stands for the mail's token.
    after: Option<String>,
    domain: String,
}

impl ReturnPath {
    /// Parses the setting.
    ///
    /// # Errors
    /// Returns an error if it is not an address, or leaves no room for a token.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let address = EmailAddress::parse(&text.replacen('*', "x", 1)).context("must be like bounces+*@example.com")?;
        let local = text.trim().rsplit_once('@').map_or(text, |(local, _)| local);
        if address.local_part().contains('*') || text.rsplit('@').next().is_some_and(|domain| domain.contains('*')) {
            bail!("must hold one * at most, before the @");
        }
        let (before, after) = match local.split_once('*') {
            Some((before, after)) => (before.to_owned(), Some(after.to_owned())),
            None => (address.local_part().to_owned(), None),
        };
        let path = Self { before, after, domain: address.domain().to_owned() };
        if path.after.is_some() && path.room() < HASHED {
            bail!("leaves no room for the mail's id: at most {} characters around the *", 64 - HASHED);
        }
        Ok(path)
    }

    /// The sender of a mail with this token.
    pub(crate) fn address(&self, token: &str) -> Address {
        let local = match &self.after {
            Some(after) => format!("{}{token}{after}", self.before),
            None => self.before.clone(),
        };
        Address::new_dangerous(local, self.domain.as_str())
    }

    /// The token of a mail; `None` if all mails have the same sender.
    pub(crate) fn token(&self, message_id: &str) -> Option<String> {
        self.after.as_ref()?;
        let local = message_id.trim_matches(['<', '>']).rsplit_once('@').map_or(message_id, |(local, _)| local);
        let is_told = JobName::of_local_part(local).is_some() && is_plain(local) && local.len() <= self.room();
        Some(if is_told { local.to_owned() } else { hashed(message_id) })
    }

    /// The token in an address that a mail came back to.
    pub(crate) fn token_in<'a>(&self, address: &'a str) -> Option<&'a str> {
        let (local, domain) = address.trim().trim_matches(['<', '>']).rsplit_once('@')?;
        if !domain.eq_ignore_ascii_case(&self.domain) {
            return None;
        }
        let (start, end) = (self.before.len(), local.len().checked_sub(self.after.as_ref()?.len())?);
        let token = local.get(start..end)?;
        let is_around = local[..start].eq_ignore_ascii_case(&self.before)
            && self.after.as_deref().is_some_and(|after| local[end..].eq_ignore_ascii_case(after));
        (is_around && !token.is_empty()).then_some(token)
    }

    /// Longest token (RFC 5321, section 4.5.3.1.1).
    fn room(&self) -> usize {
        let around = self.before.len() + self.after.as_ref().map_or(0, String::len);
        EmailAddress::MAX_LOCAL_LEN.saturating_sub(around)
    }
}

/// Length of a [`hashed`] token.
const HASHED: usize = 34;

/// A token of a name that cannot be a part of an address.
fn hashed(name: &str) -> String {
    format!("h-{}", hex::encode(&digest(&SHA256, name.as_bytes()).as_ref()[..16]))
}

/// Returns whether a text survives servers that ignore case.
fn is_plain(text: &str) -> bool {
    !text.contains("..")
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "m-018f4e3a-0000-7000-8000-000000000001";

    fn path(text: &str) -> ReturnPath {
        ReturnPath::parse(text).expect("an address")
    }

    #[test]
    fn each_mail_comes_back_to_its_own_address() {
        let verp = path("bounces+*@Bücher.example");
        for (message_id, token) in [
            (format!("<{UUID}@x.example>"), UUID.to_owned()),
            ("<7.17@x.example>".to_owned(), "7.17".to_owned()),
            ("<Digest-42.17@x.example>".to_owned(), hashed("<Digest-42.17@x.example>")),
            ("<h-0123.17@x.example>".to_owned(), hashed("<h-0123.17@x.example>")),
            (format!("<{}.17@x.example>", "x".repeat(60)), hashed(&format!("<{}.17@x.example>", "x".repeat(60)))),
            ("<a..b.17@x.example>".to_owned(), hashed("<a..b.17@x.example>")),
        ] {
            assert_eq!(verp.token(&message_id), Some(token.clone()));
            let address = verp.address(&token).to_string();
            assert_eq!(address, format!("bounces+{token}@xn--bcher-kva.example"));
            assert_eq!(verp.token_in(&address), Some(token.as_str()));
            assert!(EmailAddress::parse(&address).is_ok(), "{address}");
        }
        assert_eq!(verp.token_in(&format!("<BOUNCES+{UUID}@XN--BCHER-KVA.example>")), Some(UUID));
        for foreign in ["bounces@xn--bcher-kva.example", "bounces+@xn--bcher-kva.example", "bounces+x@y.example", "x"] {
            assert_eq!(verp.token_in(foreign), None, "{foreign}");
        }
        let behind = path("b-*-x@y.example");
        assert_eq!((behind.token_in("b-7.17-x@y.example"), behind.token_in("b-x@y.example")), (Some("7.17"), None));
        let one = path("bounces@x.example");
        assert_eq!((one.token("<7.17@x>"), one.address("7.17").to_string().as_str()), (None, "bounces@x.example"));
        for bad in ["", "bounces", "a*b*c@x.example", "*", "x@*", &format!("{}*@x.example", "x".repeat(31))] {
            assert!(ReturnPath::parse(bad).is_err(), "{bad}");
        }
    }
}
