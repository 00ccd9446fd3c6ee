//! The Redis servers of a cache: none, one, or the masters of a cluster; and which of them has a key.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use examhall_redis::{ClusterMaster, ClusterUrl, ClusterView, NodeAddress, SlotSet};
use parking_lot::RwLock;

use crate::{
    Error,
    connection::{connect, connect_node},
    events::EventSender,
    health::Health,
    redis::Redis,
    settings::Settings,
    slot_table::{ServerNumber, SlotTable},
};

/// The servers of a cache.
pub(crate) struct Servers {
    kind: Kind,
    pub(crate) health: Arc<Health>,
}

enum Kind {
    None,
    One(Arc<Redis>),
    Cluster(Box<Cluster>),
}

/// The masters of a cluster, each a server as if it were the only one.
pub(crate) struct Cluster {
    pub(crate) url: ClusterUrl,
    /// How long a node's view counts.
    proof: Duration,
    state: RwLock<State>,
}

struct State {
    slots: SlotTable,
    nodes: BTreeMap<ServerNumber, Node>,
    /// Number of the last node.
    last: u32,
}

struct Node {
    redis: Arc<Redis>,
    /// The masters that it knows, and when it was asked: that counts as long as a proof does.
    view: Option<(Instant, Vec<ClusterMaster>)>,
    /// Slots that it moves to another node.
    moving: SlotSet,
}

impl Servers {
    pub(crate) fn open(url: Option<&str>, settings: &Settings, events: &EventSender) -> Result<Self, Error> {
        let health = Arc::new(Health::new(settings.clone(), events.clone()));
        let kind = match (url, url.map(ClusterUrl::parse).transpose()?.flatten()) {
            (None, _) => Kind::None,
            (_, Some(cluster)) => Kind::Cluster(Box::new(Cluster::new(cluster, settings.proof()))),
            (Some(url), None) => {
                let redis = Redis::new(ServerNumber::default(), None, connect(url)?, Arc::clone(&health));
                Kind::One(Arc::new(redis))
            }
        };
        Ok(Self { kind, health })
    }

    /// From now on connections log in as another URL says.
    pub(crate) fn use_login(&self, url: &str) -> Result<(), Error> {
        match &self.kind {
            Kind::None => Ok(()),
            Kind::One(redis) => Ok(redis.commands().use_login(url)?),
            Kind::Cluster(cluster) => Ok(cluster.url.use_login(url)?),
        }
    }

    /// Returns whether there is no Redis at all.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self.kind, Kind::None)
    }

    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        if let Kind::Cluster(cluster) = &self.kind { Some(cluster) } else { None }
    }

    /// Returns the server that has a key; `None` also while no master of a cluster is known.
    pub(crate) fn of(&self, name: &str) -> Option<Arc<Redis>> {
        match &self.kind {
            Kind::None => None,
            Kind::One(redis) => Some(Arc::clone(redis)),
            Kind::Cluster(cluster) => cluster.route(examhall_redis::slot(name)),
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Redis>> {
        match &self.kind {
            Kind::None => Vec::new(),
            Kind::One(redis) => vec![Arc::clone(redis)],
            Kind::Cluster(cluster) => cluster.all(),
        }
    }

    /// Returns the slot of a key, as memory numbers it.
    pub(crate) fn slot(&self, name: &str) -> u16 {
        if self.cluster().is_some() { examhall_redis::slot(name) } else { 0 }
    }

    /// Returns whether the slot of a key is being moved from one node to another: the keys of one value may be on both, so no
    /// script finds them.
    pub(crate) fn is_moving(&self, name: &str) -> bool {
        self.cluster().is_some_and(|cluster| cluster.is_moving(examhall_redis::slot(name)))
    }

    /// Returns the slots that a server has, as memory numbers them.
    pub(crate) fn slots_of(&self, redis: &Redis) -> SlotSet {
        self.cluster().map_or_else(|| SlotSet::from_iter([0]), |cluster| cluster.owned_by(redis))
    }

    /// Returns the name of a key of the cache's own, within these slots of a cluster; `None` if there is no slot.
    pub(crate) fn own_key(&self, slots: &SlotSet, name: &str) -> Option<String> {
        if self.cluster().is_none() {
            return Some(format!("cc:{{{name}}}"));
        }
        let mut names = (0_u32..).map(|tag| format!("cc:{{{tag}}}{name}"));
        if slots.is_empty() { None } else { names.find(|name| slots.contains(examhall_redis::slot(name))) }
    }

    /// Returns whether every server has a proven link.
    pub(crate) fn are_proven(&self) -> bool {
        let all = self.all();
        !all.is_empty() && all.iter().all(|redis| redis.is_proven())
    }

    /// Returns whether the values of every server are trusted.
    pub(crate) fn are_trusted(&self) -> bool {
        let all = self.all();
        !all.is_empty() && all.iter().all(|redis| redis.is_trusted())
    }

    /// Returns whether there is a Redis, and the server that has a key is away or not trusted.
    pub(crate) fn is_away(&self, name: &str) -> bool {
        !self.is_none() && self.of(name).is_none_or(|redis| !redis.is_well())
    }

    /// Learns from a refusal that a slot has moved. Returns whether asking again is worth it.
    pub(crate) fn redirect(&self, refusal: &Error) -> bool {
        let (Some(cluster), Error::Redis(refusal)) = (self.cluster(), refusal) else { return false };
        refusal.moved_to().is_some_and(|(slot, owner)| cluster.redirect(slot, &owner))
    }
}

impl Cluster {
    fn new(url: ClusterUrl, proof: Duration) -> Self {
        let state = State { slots: SlotTable::new(), nodes: BTreeMap::new(), last: 0 };
        Self { url, proof, state: RwLock::new(state) }
    }

    /// Adds a master to which nothing is sent until it claims slots.
    pub(crate) fn add(&self, master: ClusterMaster, health: &Arc<Health>) -> Result<Arc<Redis>, Error> {
        let connection = connect_node(&self.url, &master.address)?;
        let mut state = self.state.write();
        state.last += 1;
        let number = ServerNumber(state.last);
        let redis = Arc::new(Redis::new(number, Some(master), connection, Arc::clone(health)));
        state.nodes.insert(number, Node { redis: Arc::clone(&redis), view: None, moving: SlotSet::new() });
        Ok(redis)
    }

    /// Removes a node. Returns the slots that it owned.
    pub(crate) fn remove(&self, redis: &Redis) -> SlotSet {
        let mut state = self.state.write();
        state.nodes.remove(&redis.number);
        state.slots.remove(redis.number)
    }

    /// Records what a node has reported just now. Returns the slots that begin a new epoch.
    pub(crate) fn learn(&self, redis: &Redis, view: ClusterView) -> SlotSet {
        let mut state = self.state.write();
        let Some(node) = state.nodes.get_mut(&redis.number) else { return SlotSet::new() };
        (node.view, node.moving) = (Some((Instant::now(), view.masters)), view.moving);
        state.slots.claim(redis.number, view.epoch, &view.owned)
    }

    pub(crate) fn owned_by(&self, redis: &Redis) -> SlotSet {
        self.state.read().slots.owned_by(redis.number)
    }

    /// Returns the masters that nodes report and that have no connection, and the nodes that are masters no more.
    pub(crate) fn changes(&self) -> (Vec<ClusterMaster>, Vec<Arc<Redis>>) {
        let state = self.state.read();
        let views = state.nodes.values().filter_map(|node| node.view.as_ref());
        let fresh: Vec<_> =
            views.filter(|(seen, _)| seen.elapsed() < self.proof).map(|(_, masters)| &masters[..]).collect();
        let nodes: Vec<_> = state.nodes.values().filter_map(|node| node.redis.master.as_ref()).collect();
        let (missing, surplus) = compare(&nodes, &fresh);
        let is_surplus = |redis: &Arc<Redis>| redis.master.as_ref().is_some_and(|master| surplus.contains(master));
        (missing, state.nodes.values().map(|node| Arc::clone(&node.redis)).filter(is_surplus).collect())
    }

    /// Returns whether no node has reported anything for a while.
    pub(crate) fn is_lost(&self) -> bool {
        let state = self.state.read();
        let is_fresh = |node: &Node| node.view.as_ref().is_some_and(|(seen, _)| seen.elapsed() < self.proof);
        !state.nodes.values().any(is_fresh)
    }

    fn all(&self) -> Vec<Arc<Redis>> {
        self.state.read().nodes.values().map(|node| Arc::clone(&node.redis)).collect()
    }

    /// Returns the node that has a slot; any if that is unknown, which refuses and names the right one.
    fn route(&self, slot: u16) -> Option<Arc<Redis>> {
        let state = self.state.read();
        let node = state.slots.route(slot).and_then(|number| state.nodes.get(&number));
        node.or_else(|| state.nodes.values().next()).map(|node| Arc::clone(&node.redis))
    }

    fn is_moving(&self, slot: u16) -> bool {
        let state = self.state.read();
        let node = state.slots.route(slot).and_then(|number| state.nodes.get(&number));
        node.is_some_and(|node| node.moving.contains(slot))
    }

    fn redirect(&self, slot: u16, owner: &NodeAddress) -> bool {
        let mut state = self.state.write();
        let is_owner = |redis: &Redis| redis.master.as_ref().is_some_and(|master| master.address == *owner);
        let Some(number) = state.nodes.values().find(|node| is_owner(&node.redis)).map(|node| node.redis.number) else {
            return false;
        };
        state.slots.redirect(slot, number);
        true
    }
}

/// Compares the masters to which there are connections with those that nodes report: returns the missing and the surplus
/// ones. While none reports anything, all are kept.
fn compare(connected: &[&ClusterMaster], views: &[&[ClusterMaster]]) -> (Vec<ClusterMaster>, Vec<ClusterMaster>) {
    let mut missing: Vec<ClusterMaster> = Vec::new();
    for master in views.iter().copied().flatten() {
        if !connected.contains(&master) && !missing.contains(master) {
            missing.push(master.clone());
        }
    }
    let is_surplus = |master: &&&ClusterMaster| !views.is_empty() && !views.iter().any(|view| view.contains(master));
    (missing, connected.iter().filter(is_surplus).map(|master| (*master).clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(id: &str, port: u16) -> ClusterMaster {
        ClusterMaster { id: id.to_owned(), address: NodeAddress { host: "10.0.0.1".to_owned(), port } }
    }

    #[test]
    fn connections_follow_what_nodes_report() {
        let [a, b, c, moved] = [master("a", 1), master("b", 2), master("c", 3), master("b", 9)];
        let both = [a.clone(), b.clone()];
        assert_eq!(compare(&[], &[&both, &both]), (vec![a.clone(), b.clone()], vec![]), "each once");
        assert_eq!(compare(&[&a, &b], &[]), (vec![], vec![]), "nobody reports");
        assert_eq!(compare(&[&a, &b], &[&both]), (vec![], vec![]));
        let failed_over = [a.clone(), c.clone()];
        assert_eq!(compare(&[&a, &b], &[&failed_over]), (vec![c.clone()], vec![b.clone()]));
        let disagreeing: (_, Vec<ClusterMaster>) = (vec![c], vec![]);
        assert_eq!(compare(&[&a, &b], &[&failed_over, &both]), disagreeing, "a cut off node is kept while it reports");
        assert_eq!(compare(&[&a, &b], &[&[a.clone(), moved.clone()]]), (vec![moved], vec![b]), "another address");
    }
}
