//! The nodes of a Redis Cluster: what each reports of itself and of the others, and a connection to each.

use std::{sync::Arc, time::Duration};

use fred::{
    interfaces::ClientLike,
    types::config::{Config, Server, ServerConfig},
};

use crate::{
    Connection, ConnectionOptions, Error,
    login::Login,
    route::{NodeAddress, Route},
    slots::SlotSet,
};

/// How to connect to the nodes of a Redis Cluster one by one. A [`Connection`] of a cluster's URL leads to all of them
/// together, and waits for all of them when one is lost.
#[derive(Clone, Debug)]
pub struct ClusterUrl {
    config: Config,
    login: Option<Arc<Login>>,
}

/// A master of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterMaster {
    /// Its node ID.
    pub id: String,
    /// Where it is.
    pub address: NodeAddress,
}

/// What a node reports (`CLUSTER NODES`, `CLUSTER INFO`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterView {
    /// Whether the node serves keys: it sees enough of the cluster (`cluster_state:ok`).
    pub is_serving: bool,
    /// Its configuration epoch: of two nodes that claim a slot the one with the greater epoch owns it.
    pub epoch: u64,
    /// Slots that it owns as a master, without those that are [`moving`](Self::moving).
    pub owned: SlotSet,
    /// Slots that it owns and that are being moved to another node: their keys are on either.
    pub moving: SlotSet,
    /// The masters that have slots, as it knows them.
    pub masters: Vec<ClusterMaster>,
}

impl ClusterUrl {
    /// Returns `None` if a URL leads to no cluster.
    ///
    /// # Errors
    /// As of [`Connection::open`].
    pub fn parse(url: &str) -> Result<Option<Self>, Error> {
        let mut config = Connection::config(url)?;
        let login = Login::of(&mut config);
        Ok(config.server.is_clustered().then_some(Self { config, login }))
    }

    /// Returns the nodes that the URL names.
    pub fn seeds(&self) -> Vec<NodeAddress> {
        self.config.server.hosts().iter().map(NodeAddress::of_server).collect()
    }

    /// As [`Connection::use_login`], for the connections to all nodes.
    ///
    /// # Errors
    /// As of [`Connection::use_login`].
    pub fn use_login(&self, url: &str) -> Result<(), Error> {
        let config = Connection::config(url)?;
        self.login.iter().for_each(|login| login.replace(&config));
        Ok(())
    }

    /// Connects to one node, with the login and TLS of the URL. It stays with this node: an answer that names another one
    /// ([`Error::moved_to`]) is returned.
    ///
    /// # Errors
    /// As of [`Connection::open`].
    ///
    /// # Panics
    /// Panics outside a Tokio runtime.
    pub fn connect(&self, node: &NodeAddress, options: ConnectionOptions) -> Result<Connection, Error> {
        let server = ServerConfig::Centralized { server: Server::new(node.host.clone(), node.port) };
        Connection::from_config(Config { server, ..self.config.clone() }, options)
    }
}

impl Connection {
    /// Asks the node of a cluster to which this connection leads (see [`ClusterUrl::connect`]) for what it knows.
    ///
    /// # Errors
    /// Returns an error if it refuses or does not answer within `timeout`.
    pub async fn cluster_view(&self, timeout: Duration) -> Result<ClusterView, Error> {
        let ask = |what: &'static str| self.command_within(timeout, "CLUSTER", Route::Any, vec![what.into()]);
        let (nodes, info): (Result<String, _>, Result<String, _>) = tokio::join!(ask("NODES"), ask("INFO"));
        let config = self.client.client_config();
        let asked = config.server.hosts().first().map(NodeAddress::of_server);
        let mut view = ClusterView::parse(&nodes?, asked.as_ref(), config.uses_tls());
        view.is_serving = info?.contains("cluster_state:ok");
        Ok(view)
    }
}

impl ClusterView {
    /// Reads the answer to `CLUSTER NODES` (Redis's documentation: a node a line, `id address flags master ping pong epoch
    /// link slots...`). The one that was asked may not know its own address.
    fn parse(nodes: &str, asked: Option<&NodeAddress>, prefers_names: bool) -> Self {
        let mut view = Self::default();
        for line in nodes.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [id, address, flags, _, _, _, epoch, _, slots @ ..] = &words[..] else { continue };
            let is = |flag: &str| flags.split(',').any(|it| it == flag);
            if !is("master") || is("handshake") {
                continue;
            }
            if is("myself") {
                view.epoch = epoch.parse().unwrap_or(0);
                (view.owned, view.moving) = parse_slots(slots);
            }
            if slots.is_empty() {
                continue;
            }
            let known = parse_address(address, prefers_names).filter(|known| !known.host.is_empty());
            let address = known.or_else(|| asked.cloned().filter(|_| is("myself")));
            view.masters.extend(address.map(|address| ClusterMaster { id: (*id).to_owned(), address }));
        }
        view
    }
}

/// Reads `ip:port@bus port,name`. Certificates are for names.
fn parse_address(text: &str, prefers_names: bool) -> Option<NodeAddress> {
    let (address, rest) = text.split_once('@').unwrap_or((text, ""));
    let mut address = NodeAddress::parse(address)?;
    let name = rest.split(',').nth(1).filter(|name| !name.is_empty() && !name.contains('='));
    if let Some(name) = name.filter(|_| prefers_names || address.host.is_empty()) {
        name.clone_into(&mut address.host);
    }
    Some(address)
}

/// Reads slots: `5`, `0-99`, `[77->-node]` of one that is being moved to a node, `[93-<-node]` of one that comes from it.
/// Returns those that stay, and those that are moving away.
fn parse_slots(words: &[&str]) -> (SlotSet, SlotSet) {
    let (mut owned, mut moving) = (SlotSet::new(), SlotSet::new());
    for word in words.iter().filter(|word| !word.starts_with('[')) {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse()) {
            (first..=last).for_each(|slot| owned.insert(slot));
        }
    }
    let away = words.iter().filter_map(|word| word.strip_prefix('[')?.split_once("->-")?.0.parse().ok());
    for slot in away {
        owned.remove(slot);
        moving.insert(slot);
    }
    (owned, moving)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> NodeAddress {
        NodeAddress { host: host.to_owned(), port }
    }

    #[test]
    fn nodes_are_read_with_their_stable_slots() {
        let nodes = "\
            a1 127.0.0.1:30001@31001,,shard-id=7f myself,master - 0 0 7 connected 0-3 9 [2->-b2] [77-<-b2]\n\
            b2 127.0.0.1:30002@31002,b.example.com master - 0 1 2 connected 10-20\n\
            c3 ::1:30003@31003 slave a1 0 1 7 connected\n\
            d4 127.0.0.1:30004@31004 master,fail - 1 1 3 disconnected\n\
            e5 :0@0 master,noaddr - 1 1 3 disconnected 30\n";
        let view = ClusterView::parse(nodes, None, false);
        let [owned, moving] = [&view.owned, &view.moving].map(|slots| slots.iter().collect::<Vec<_>>());
        assert_eq!((view.epoch, owned, moving), (7, vec![0, 1, 3, 9], vec![2]));
        let masters = |view: ClusterView| -> Vec<_> {
            view.masters.into_iter().map(|master| (master.id, master.address.host, master.address.port)).collect()
        };
        let [a1, b2] = [("a1", 30001), ("b2", 30002)].map(|(id, port)| (id.to_owned(), "127.0.0.1".to_owned(), port));
        assert_eq!(masters(view), [a1.clone(), b2.clone()]);
        let named = ClusterView::parse(nodes, None, true);
        assert_eq!(masters(named), [a1, ("b2".to_owned(), "b.example.com".to_owned(), 30002)]);
    }

    #[test]
    fn node_that_does_not_know_its_address_has_the_asked_one() {
        let asked = address("redis-0", 6379);
        let view = ClusterView::parse("a1 :6379@16379 myself,master - 0 0 0 connected 0-16383\n", Some(&asked), false);
        assert_eq!(view.masters[0].address, asked);
        assert!(view.owned.contains(0) && view.owned.contains(16_383));
        assert_eq!(parse_address("::1:7000@17000", false), Some(address("::1", 7000)));
        assert_eq!(ClusterView::parse("", None, false).masters, []);
    }

    #[test]
    fn replica_owns_nothing() {
        let nodes = "c3 127.0.0.1:30003@31003 myself,slave a1 0 1 7 connected\n";
        let view = ClusterView::parse(nodes, None, false);
        assert!(view.owned.is_empty() && view.masters.is_empty());
    }
}
