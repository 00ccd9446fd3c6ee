//! Which server of a cluster gets a command.

use fred::types::{ClusterHash, config::Server};

/// Which server of a cluster gets a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// The one that has this key.
    Key(&'a str),
    /// Any.
    Any,
}

/// Where a node of a cluster is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeAddress {
    /// Name or IP address.
    pub host: String,
    /// Its port for clients.
    pub port: u16,
}

/// Returns the slot of a cluster that a key is in: what has several keys must have them in one slot.
pub fn slot(key: &str) -> u16 {
    fred::util::redis_keyslot(key.as_bytes())
}

impl Route<'_> {
    /// fred heeds no other way to route a command that it has no method for.
    pub(crate) fn hash(self) -> ClusterHash {
        match self {
            Self::Key(key) => ClusterHash::Custom(slot(key)),
            Self::Any => ClusterHash::Random,
        }
    }
}

impl NodeAddress {
    pub(crate) fn of_server(server: &Server) -> Self {
        Self { host: server.host.to_string(), port: server.port }
    }

    /// Reads `host:port`, also of an IPv6 address without brackets.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }
}
