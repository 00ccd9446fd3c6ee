//! The name that the mailer gives itself in EHLO (RFC 5321, section 4.1.1.1).
//!
//! Many servers refuse a name that is not fully qualified, such as a pod's.

use std::{fmt, net::IpAddr};

use lettre::transport::smtp::extension::ClientId;

/// The name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EhloName {
    /// `SMTP_EHLO_NAME`.
    Setting(String),
    /// The fully qualified name of this host.
    Host(String),
    /// An address literal (RFC 5321, section 4.1.3): the host has no such name.
    Address,
}

/// `SMTP_EHLO_NAME` is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a domain name like mail.example.com, or an address like [192.0.2.1]")]
pub(crate) struct BadEhloName;

impl EhloName {
    /// The setting's name, or else this host's.
    pub(crate) fn new(setting: Option<&str>) -> Result<Self, BadEhloName> {
        if let Some(setting) = setting {
            return parse(setting).map(Self::Setting).ok_or(BadEhloName);
        }
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        Ok(qualified(&ClientId::default().to_string(), &hosts).map_or(Self::Address, Self::Host))
    }

    /// The name in EHLO on a connection from this address.
    pub(super) fn on(&self, from: Option<IpAddr>) -> String {
        match (self, from) {
            (Self::Setting(name) | Self::Host(name), _) => name.clone(),
            (Self::Address, Some(IpAddr::V6(address))) => match address.to_ipv4_mapped() {
                Some(address) => format!("[{address}]"),
                None => format!("[IPv6:{address}]"),
            },
            (Self::Address, Some(IpAddr::V4(address))) => format!("[{address}]"),
            (Self::Address, None) => "[127.0.0.1]".to_owned(),
        }
    }
}

/// For operators.
impl fmt::Display for EhloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(name) => write!(f, "{name} (SMTP_EHLO_NAME)"),
            Self::Host(name) => write!(f, "{name} (this host's name)"),
            Self::Address => f.write_str("the connection's own address: this host has no fully qualified name"),
        }
    }
}

/// Returns a name in the form of SMTP, a Unicode domain in ASCII.
fn parse(name: &str) -> Option<String> {
    let name = name.trim();
    if let Some(literal) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address = literal.strip_prefix("IPv6:").unwrap_or(literal);
        return match address.parse().ok()? {
            IpAddr::V4(address) => Some(format!("[{address}]")),
            IpAddr::V6(address) => Some(format!("[IPv6:{address}]")),
        };
    }
    match url::Host::parse(name.trim_end_matches('.')).ok()? {
        url::Host::Domain(domain) => Some(domain).filter(|domain| is_domain(domain)),
        _ => None,
    }
}

fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Returns the fully qualified name of a host: its own, or that which the hosts file has for it.
fn qualified(host: &str, hosts: &str) -> Option<String> {
    let is_qualified = |name: &&str| name.contains('.') && is_domain(name) && !name.starts_with("localhost.");
    let of_host = hosts.lines().filter_map(|line| {
        let names: Vec<_> = line.split('#').next()?.split_whitespace().skip(1).collect();
        names.contains(&host).then(|| names.into_iter().find(is_qualified)).flatten()
    });
    let host = host.trim_end_matches('.');
    std::iter::once(host).chain(of_host).find(is_qualified).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_is_a_domain_or_an_address() {
        let parsed = |text: &str| EhloName::new(Some(text)).map(|name| name.on(None));
        assert_eq!(parsed("Mail.Example.com"), Ok("mail.example.com".to_owned()));
        assert_eq!(parsed("mail.prüfung.example"), Ok("mail.xn--prfung-4ya.example".to_owned()));
        assert_eq!(parsed("[192.0.2.1]"), Ok("[192.0.2.1]".to_owned()));
        assert_eq!(parsed("[2001:db8::1]"), Ok("[IPv6:2001:db8::1]".to_owned()));
        assert_eq!(parsed("vm"), Ok("vm".to_owned()), "an operator may know better");
        for bad in
            ["a b", "x\r\nMAIL", "192.0.2.1", "[x]", "-a.example", "a..b", "a_b.example", "mail.example.com:25", ""]
        {
            assert_eq!(parsed(bad), Err(BadEhloName), "{bad:?}");
        }
    }

    #[test]
    fn host_name_counts_only_if_it_is_qualified() {
        let hosts = "127.0.0.1 localhost localhost.localdomain\n127.0.1.1 vm.example.com vm # vm.comment.example\n10.0.0.1 pod\n";
        assert_eq!(qualified("vm", hosts).as_deref(), Some("vm.example.com"));
        assert_eq!(qualified("mail.example.com", hosts).as_deref(), Some("mail.example.com"));
        for host in ["pod", "other", "localhost", "", "a_b.example"] {
            assert_eq!(qualified(host, hosts), None, "{host}");
        }
    }

    #[test]
    fn address_literal_is_that_of_the_connection() {
        let on = |address: &str| EhloName::Address.on(address.parse().ok());
        assert_eq!(on("192.0.2.1"), "[192.0.2.1]");
        assert_eq!(on("2001:db8::1"), "[IPv6:2001:db8::1]");
        assert_eq!(on("::ffff:192.0.2.1"), "[192.0.2.1]");
    }
}
